/* gateway/courier_parts.h -- what the files of the courier share; no other includes it.
 *
 * courier.c       its life, what is due, how it went
 * courier_sign.c  an event as a signed post
 * courier_test.c  an event that an operator asks for
 */
#ifndef MAAS_COURIER_PARTS_H
#define MAAS_COURIER_PARTS_H
#include "backends/http_post.h"
#include "base/buf.h"
#include "base/mpsc.h"
#include "billing/alert_due.h"
#include "conf/catalog.h"
#include "gateway/courier.h"
#include "gateway/daemon.h"

enum { EVENT_BYTES_MAX = 16 << 10, SIGNED_HEADERS = 4, SIGNED_HEADER_BYTES = 128 };

struct signed_post { /* lives until its post is done or cancelled */
    struct http_post post;
    struct buf body;
    char line[SIGNED_HEADERS][SIGNED_HEADER_BYTES];
    const char *headers[SIGNED_HEADERS + 1];
};

/* Makes the post ready: everything but `done` and `arg`.  The body is there; id is the event's. */
MUST_CHECK bool courier_sign(struct signed_post *p, const struct catalog *c,
                             const struct catalog_webhook *w, const char *id, int64_t now_us);

struct route { /* to one webhook */
    struct courier *courier;
    const struct catalog_webhook *webhook;
    struct alert_due due; /* on its way, while busy */
    struct signed_post signed_post;
    bool busy;
    int64_t not_before_us; /* nothing is tried: the ledger could not note the last attempt */
};

struct courier {
    struct daemon *daemon;
    struct db *db; /* the thread's */
    struct http_poster *poster;
    pthread_t thread;
    bool stopped; /* the main thread's */
    atomic_bool stop;
    _Atomic(struct catalog *) next; /* to be taken over; owned */
    struct mpsc tests;
    struct courier_stats stats;
    struct catalog *wanted; /* the main thread's: what the ledger was told last */
    /* The thread's. */
    struct catalog *catalog; /* NULL: none yet */
    struct route routes[ALERT_WEBHOOKS_MAX];
    size_t route_count;
    struct test *running; /* a list */
};

/* courier_test.c, on the courier's thread: begins what was asked for; ends all that runs. */
void courier_begin_tests(struct courier *c, struct mpsc_node *asked);
void courier_drop_tests(struct courier *c);
#endif
