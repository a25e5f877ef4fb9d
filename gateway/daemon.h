/* gateway/daemon.h -- what the whole process shares; built by main.c, lent to all. */
#ifndef MAAS_DAEMON_H
#define MAAS_DAEMON_H
#include "auth/keys.h"
#include "base/digest.h"
#include "base/env.h"
#include "base/version.h"
#include "billing/ledger.h"
#include "conf/catalog.h"
#include "conf/conf.h"
#include "gateway/standing.h"
#include "gateway/upkeep.h"
#include <stdatomic.h>
#include <uv.h>

struct acceptor;
struct admin;
struct courier;
struct generation;
struct loop;
struct metrics_server;
struct reader;

struct daemon {
    const struct env *env;
    uv_loop_t *main_loop;
    const char *conf_path;
    struct conf
        *conf; /* main thread only; replaced at reload.  Loops see it through their own snapshot */
    struct roster roster; /* of backends */
    struct hmac_key conversations;
    struct ledger *ledger;
    struct keyring *keyring;
    struct generation *generation; /* conf's owner */
    struct reader *reader;
    struct courier *courier;
    struct upkeep upkeep;
    struct acceptor *acceptor;
    struct admin *admin;
    struct metrics_server *metrics;
    struct loop *loops; /* loop_count of them */
    unsigned loop_count;
    bool direct; /* streams may be written past the HTTP library: http_proof */
    int64_t started_us;
    atomic_bool ready; /* listening, ledger healthy */
    atomic_bool draining;
    _Atomic uint64_t refused_connections; /* beyond connections_max or connections_per_ip_max */
};

enum { DAEMON_ERROR_BYTES = CONF_ERROR_BYTES };

/* Everything in order of need: store, keys, prices, loops, doors.  On failure
 * what was opened is closed again; err says which part and why. */
MUST_CHECK enum status daemon_open(struct daemon *d, const char *conf_path,
                                   char err[static DAEMON_ERROR_BYTES]);
/* After the loops have ended. */
void daemon_close(struct daemon *d);

/* The models at the list's prices: those in force now, or at an instant.  Main thread. */
const struct catalog *daemon_catalog(const struct daemon *d);
const struct catalog *daemon_list_at(const struct daemon *d, int64_t us);
/* Prices in the store have changed: every loop gets them (main thread). */
MUST_CHECK enum status daemon_reprice(struct daemon *d, char err[static DAEMON_ERROR_BYTES]);
/* Reads the file again and publishes it (main thread).  On failure nothing changes; err says why. */
MUST_CHECK enum status daemon_reload(struct daemon *d, char err[static DAEMON_ERROR_BYTES]);

#endif
