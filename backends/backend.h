/* backends/backend.h -- what every way to reach a model must offer, nothing more.
 *
 * A backend is one configured endpoint as seen by ONE loop thread; everything
 * here is called on that thread.  Nothing blocks.  A driver knows how to carry a
 * request and an answer; it knows nothing of keys, money or the client's HTTP.
 */
#ifndef MAAS_BACKEND_H
#define MAAS_BACKEND_H
#include "backends/health.h"
#include "backends/trace.h"
#include "base/allowance.h"
#include "base/rid.h"
#include "base/span.h"
#include "base/status.h"
#include "base/usage.h"
#include "conf/catalog.h"
#include <uv.h>

struct backend;      /* every driver's struct starts with it */
struct backend_call; /* opaque: one request in flight */

/* What bytes are when they are not one JSON object.  All zero: one JSON object. */
struct backend_format {
    const char *content_type; /* printable ASCII, at most 127 bytes; NULL: application/json */
    bool tensors;             /* binary tensors of the Open Inference Protocol: */
    uint64_t header_len;      /* so many bytes of JSON (0: none), then the tensors.  Of an answer
                                 the caller checks that it has as many bytes. */
};

/* Lent to start(); strings and body stay valid until on_end. */
struct backend_order {
    rid_t rid;
    enum capability capability;
    const char *model;        /* the backend's own name */
    const char *public_model; /* the name the client used; echoed in answers */
    bool stream;
    bool any_format; /* the answer need not be JSON (audio, plain text, tensors), nor a stream when
                        that was asked for: then it comes with a format */
    struct backend_format format; /* of the body: JSON, multipart/form-data or tensors */
    struct span body;             /* already spliced for this backend */
    /* A driver that must have an answer whole ends the call beyond it; 0: its own limit. */
    uint64_t answer_bytes_max;
    /* Where such a driver counts what it has gathered, and how much all together may have; NULL: nowhere. */
    struct allowance *answers;
    uint64_t answers_bytes_max;
    uint64_t max_out; /* reported output beyond it is clamped by the meter, not here */
    uint64_t first_byte_timeout_ms, chunk_timeout_ms, total_timeout_ms; /* from start(); never 0 */
    struct trace *trace; /* how each step went is noted there until on_end; NULL: nobody asks */
    uint64_t client_timeout_ms; /* what is left of the time that the client gave; 0: it gave none */
    unsigned hops; /* gateways that the request came through before this one: see gateway/hops.h */
};

struct backend_data {
    const char *bytes; /* valid during the call only */
    size_t len;
    bool usage_event; /* stream: the extra chunk that only carries usage; in a stream without one,
                         the event that tells of usage and ends it (transcript.text.done) */
    const struct usage *so_far; /* cumulative, up to and including this piece; NULL: unknown */
    const struct backend_format *format; /* not a stream: of the whole answer; NULL: JSON */
};

struct backend_end {
    enum status status; /* OK: the answer is complete */
    struct usage usage; /* what was reported, complete or not; nothing present: nothing reported */
    bool untouched;     /* certain that the backend did not begin to work: another may be tried */
    bool unanswered;    /* there was no connection, or it ended before any byte of an answer, and
                        nothing of that work can be heard of any more */
    enum health_verdict health; /* what this end tells of the backend */
    uint32_t retry_after_ms;    /* the backend asked for it; 0 none */
    char message[200]; /* for the client, printable, no secrets; "" = the status's own sentence */
    char param[64];    /* the field it is about; "" none */
};

/* on_data zero or more times, then on_end exactly once, also after cancel and
 * also when start() has returned OK and the connection dies.  Never from inside
 * start(), cancel() or pause().  In a stream each on_data is one whole event: the
 * JSON text without "data: " and line ends; the end marker is not passed on.
 * Otherwise each is a piece of the body: JSON may be gathered until it is whole;
 * anything else is passed on as it comes, each piece with the same format, and
 * only after the backend has said that it succeeded. */
struct backend_events {
    void (*on_data)(void *arg, const struct backend_data *d);
    void (*on_end)(void *arg, const struct backend_end *end);
};

struct backend_stats { /* owner thread writes, metrics read */
    _Atomic uint64_t started, ok, failed, cancelled, bytes_in, protocol_errors, connects;
    /* An HTTP backend has said not to ask before this time of env's monotonic clock (Retry-After,
     * or a limit that is used up and when it comes back); 0: it has not.  The driver itself still
     * takes calls: gateway/choose.c prefers others meanwhile. */
    _Atomic int64_t limited_until_ms;
    _Atomic uint32_t running;
    _Atomic uint32_t capacity; /* calls at once that this loop's connection can carry now */
    _Atomic bool up;           /* connected, and it answers */
    _Atomic bool suspect;      /* connected, but it has stopped answering */
};

struct backend_driver {
    enum transport transport;
    /* Begins to connect in the background and keeps trying, with back-off, until close. */
    enum status (*open)(const struct catalog_backend *conf, uv_loop_t *loop, const struct env *env,
                        struct backend **ret);
    /* Cancels what runs (each on_end comes first), then frees and calls closed(arg). */
    void (*close)(struct backend *b, void (*closed)(void *arg), void *arg);
    /* NO_BACKEND: not connected, or it cannot carry this capability or format; OVERLOADED: full;
     * on either nothing was begun and on_end will not come. */
    enum status (*start)(struct backend *b, const struct backend_order *order,
                         const struct backend_events *events, void *arg, struct backend_call **ret);
    void (*cancel)(
        struct backend_call *call); /* on_end still comes, with CLIENT_GONE unless it had ended */
    void (*pause)(struct backend_call *call,
                  bool paused); /* this stream's reader is slow / has caught up */
    /* Notes the steps that lie before any call, and what is in the way when it is not up. */
    void (*explain)(struct backend *b, struct trace *t);
};

/* Through how many gateways a request may come, and how each is called: see gateway/hops.h. */
#define BACKEND_HOP_NAME "maasgate"
enum { BACKEND_HOPS_MAX = 3, BACKEND_TROUBLE_BYTES = 160 };

struct backend {
    const struct backend_driver *driver;
    const struct catalog_backend
        *conf; /* lent: the opener pins the catalog for the backend's life */
    struct backend_stats stats;
    char worker[49]; /* what the other side calls itself, printable; "" unknown */
    void *owner;
    /* Why it could not be reached when it was last tried; "" no reason is known.  A sentence for
     * the operator, printable, without secrets.  `troubles` counts its changes. */
    char trouble[BACKEND_TROUBLE_BYTES];
    unsigned troubles;
};

/* For drivers.  The same sentence again is no change. */
void backend_trouble(struct backend *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void backend_no_trouble(struct backend *b);

/* The list is written out in backends/registry.c: no constructor magic. */
const struct backend_driver *backend_driver_find(enum transport t);

#endif
