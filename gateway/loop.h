/* gateway/loop.h -- one event-loop thread: its libuv loop, its HTTP server, its
 * backend connections, its requests.  N of them, alike; a request never moves.
 *
 * libmicrohttpd is driven as reference/runtime.md 1.1 says: its epoll descriptor
 * is polled by libuv; resumes only mark the loop dirty, and one run per turn
 * (before and after the poll) serves all of them.
 */
#ifndef MAAS_LOOP_H
#define MAAS_LOOP_H
#include "base/mpsc.h"
#include "base/rid.h"
#include "gateway/coverage.h"
#include "gateway/daemon.h"
#include "gateway/handover.h"
#include "gateway/metrics.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <uv.h>

struct MHD_Daemon;
struct MHD_Response;
struct backend;
struct conn;
struct pricing;
struct request;

/* One configuration as the process sees it; the loops' snapshots share it. */
struct generation {
    struct conf *conf;
    struct pricing *pricing;    /* owned; set before a loop sees it */
    struct generation *conf_of; /* whose conf it is; NULL: its own */
    struct roster *roster;
    struct standing **standings; /* by catalog index */
    atomic_uint refs;
};
/* One reference.  Takes conf, unless it is NULL: no memory. */
struct generation *generation_new(struct conf *conf, struct roster *roster);
/* The same configuration at other prices.  One reference.  NULL: no memory. */
struct generation *generation_repriced(struct generation *of);
void generation_unref(struct generation *g); /* the last one frees conf */

/* One configuration as one loop sees it: with that loop's connections to the
 * backends.  Requests pin it; not shared between threads. */
struct snapshot {
    struct generation *generation;
    const struct conf *conf;
    const struct catalog *catalog;
    struct backend **backends; /* by catalog index; shared with an older snapshot when unchanged */
    unsigned refs;
};

struct loop_message {
    struct mpsc_node node;
    void (*run)(struct loop *l, struct loop_message *m); /* on the loop thread */
};

/* Connections by what they are waited for; each list is in order of deadline,
 * because the time allowed is the same for all of its members. */
enum conn_phase { CONN_IDLE, CONN_HEADERS, CONN_BODY, CONN_BUSY, CONN_PHASES };

struct conn {
    struct conn *prev, *next; /* in loop->conns[phase] */
    struct loop *loop;
    struct request *request; /* NULL between requests */
    int fd;
    enum conn_phase phase;
    bool left; /* the peer sends no more; it is said once */
    int64_t since_ns;
    uint64_t ip_slot; /* of the acceptor's per-address table */
};

struct conn_list {
    struct conn *first, *last;
};

struct loop {
    unsigned index;
    struct daemon *daemon;
    uv_thread_t thread;
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t spin;
    uv_timer_t tick;
    uv_poll_t http_poll, hup_poll, wake_poll;
    struct mpsc inbox;
    int wake_fd; /* rings when the inbox was empty: libuv's own bell spins while its sender is preempted */
    struct handover to_ledger;
    struct MHD_Daemon *http;
    int hup_fd; /* epoll of EPOLLRDHUP of every client: seen also while suspended */
    bool dirty, in_run, spinning, started, stopping;
    struct snapshot *snapshot;
    struct conn_list conns[CONN_PHASES];
    struct request *requests;     /* doubly linked */
    TAILQ_HEAD(, request) direct; /* streams with something to send */
    unsigned request_count;
    struct rid_source rids;
    uint64_t random;        /* xorshift state for routing */
    _Atomic uint64_t ticks; /* moves every half second: the watchdog looks */
    atomic_bool ended;
    unsigned lefts;          /* connections whose peer sends no more */
    atomic_uint connections; /* the acceptor reads it to balance */
    struct counters counters;
    struct coverage coverage;
    unsigned open_backends;
    unsigned ejected;        /* of them */
    unsigned calls, retries; /* calls that run; retries under way or waiting */
    struct waiter *waiters;  /* doubly linked */
    uv_timer_t look;         /* runs while somebody waits */
    int64_t drain_deadline_ns;
    uint64_t adopting_ip_slot; /* of the connection being handed to the HTTP server */
};

/* Makes the thread; returns when it serves, or fails with a sentence. */
enum status loop_start(struct loop *l, struct generation *g, char err[static 256]);
/* Any thread. */
void loop_post(struct loop *l, struct loop_message *m);
/* Main thread: hand over an accepted socket (owned by the loop afterwards). */
void loop_adopt(struct loop *l, int fd, const struct sockaddr *addr, socklen_t len,
                uint64_t ip_slot);
/* Main thread: from now on serve this configuration. */
void loop_publish(struct loop *l, struct generation *g);
/* Main thread: refuse new requests; end when the last one has ended, or cut all at `deadline_ns`. */
void loop_drain(struct loop *l, int64_t deadline_ns);
void loop_join(struct loop *l);

/* The loop of the calling thread; NULL elsewhere. */
struct loop *loop_current(void);
/* The HTTP server has work that no descriptor will announce. */
void loop_mark_dirty(struct loop *l);
uint64_t loop_random(struct loop *l);
int64_t loop_now_ns(const struct loop *l);

/* At the thread's start.  False: no memory. */
bool snapshot_first(struct loop *l, struct generation *g);
void snapshot_ref(struct snapshot *s);
void snapshot_unref(struct loop *l, struct snapshot *s);
/* Logs what has changed about why backends cannot be reached. */
void snapshot_tell_troubles(struct loop *l);

void conn_enter(struct conn *c, enum conn_phase phase);
/* Ends a connection, also one that is suspended or whose peer takes nothing. */
void conn_cut(struct conn *c);

#endif
