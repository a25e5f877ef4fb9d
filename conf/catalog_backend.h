/* conf/catalog_backend.h -- the part of catalog.h that says where models run. */
#ifndef MAAS_CATALOG_BACKEND_H
#define MAAS_CATALOG_BACKEND_H
#include "conf/compose.h"
#include "conf/egress.h"
#include <stdbool.h>
#include <stdint.h>

struct tls;
struct catalog_model;

enum transport { TRANSPORT_SHM, TRANSPORT_SOCKET, TRANSPORT_HTTP };
enum http_version { HTTP_VERSION_AUTO, HTTP_VERSION_1_1 };
enum on_disconnect { DISCONNECT_CANCEL, DISCONNECT_DRAIN };

struct catalog_backend {
    const char *name;
    enum transport transport;
    /* shm: path of the worker's socket; socket: unix:/path or host:port; http: base URL */
    const char *address;
    const char *secret_file; /* what http signs with; "" none.  The secret itself is in `secret` */
    char *secret;            /* read at load; masked everywhere; NULL when none */
    /* https: PEM files, "" none; what they held at load is in `tls` */
    const char *ca_file, *client_cert_file, *client_key_file;
    struct tls *tls;                /* the catalog's own; NULL without https */
    enum http_version http_version; /* https: HTTP/2 when the server chooses it */
    uint32_t concurrency;           /* most calls in flight, of the whole process */
    uint64_t first_byte_timeout_ms, chunk_timeout_ms; /* 0: the setting's, at each request */
    uint64_t connect_timeout_ms;                      /* its own or the setting's; not 0 */
    enum on_disconnect on_disconnect;
    uint64_t drain_timeout_ms; /* of a call that goes on after its client has left */
    uint32_t drain_calls_max;  /* of such calls at once per loop thread */
    bool repeat_unanswered;    /* a call whose connection died unanswered may be run elsewhere */
    uint32_t eject_after;      /* failures in a row */
    uint64_t ejection_ms;      /* the first time; longer when it fails again soon */
    uint64_t requests_per_minute, tokens_per_minute; /* of the process; 0: no limit */
    uint32_t queue_max;                              /* requests that wait for it */
    uint64_t queue_timeout_ms;
    const struct egress *egress; /* where it may connect to; the catalog's */
    struct compose http;         /* what an http backend is composed of */
    /* What its models cost us, kept as prices of a model are: short_name is the backend's own name,
     * id `@BACKEND/NAME`; nothing else of them is set. */
    const struct catalog_model *costs;
    size_t cost_count;
    unsigned index; /* position in catalog.backends */
    int64_t db_id; /* row id of the name in the store; set once by the gateway before publication */
};

const char *transport_name(enum transport t);
#endif
