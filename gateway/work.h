/* gateway/work.h -- what a request is between its hold and its settlement: who works
 * on it, and what came of that so far.  A part of struct request. */
#ifndef MAAS_WORK_H
#define MAAS_WORK_H
#include "auth/limits.h"
#include "backends/backend.h"
#include "backends/route.h"
#include "base/money.h"
#include "gateway/delivery.h"
#include "gateway/wait.h"

struct hold_more;
struct recount;

enum work_phase {
    WORK_SEEKS, /* a backend; in the end again, for another attempt */
    WORK_RUNS,
    WORK_ENDED,
};

struct work { /* between hold and settle */
    enum work_phase phase;
    const struct catalog_model *served; /* the model whose backends do the work */
    const struct catalog_route *route;
    struct backend *backend;
    struct backend_call *call;
    struct backend_order order;
    struct backend_end end;
    struct span body; /* rewritten for the backend; lies in body_memory or in the intake */
    struct backend_format format; /* of that body */
    char *body_memory;
    bool delivered, paused, cancelled;
    bool waits;                /* for a backend with room */
    enum status refused;       /* why its answer is not taken any further; OK: it is */
    bool unpriced, clamped;    /* of the bill */
    bool filtered;             /* an event told that the provider's filter ended the answer */
    uint64_t choices_finished; /* of a stream with several */
    bool repeated;             /* work that was lost with its backend was begun once more */
    enum health_call health_call;
    enum wait_end wait_end;
    struct waiter *waiter;    /* of the last wait; in the arena */
    struct limits_grant seat; /* what was taken of the backend's limits */
    int64_t likely_tokens;
    bool retries; /* counts against the loop's retry budget, from the decision to the end */
    unsigned attempts;
    money_t hold;
    uint64_t output_most;    /* tokens the backend may make; r->bound has those that are held */
    struct hold_more *more;  /* NULL: all of them are held */
    struct recount *recount; /* of a model with a tokenizer, else NULL */
    struct route_set tried;  /* routes of `served` */
    struct costs *costs; /* of calls to backends, as far as they are known; in the arena (cost.h) */
    struct usage so_far; /* reported up to now */
    struct delivery delivery;
    int64_t drain_until_ns;     /* the client has left and the call goes on; 0: no */
    struct span usage_event;    /* kept back until the bill is on disk */
    int64_t checkpoint_ns;      /* when the last checkpoint was made; 0: none was */
    uint64_t checkpoint_events; /* that had been sent then */
    struct span stream_id;      /* of the first event: keep-alive chunks repeat it */
    int64_t began_ns, first_byte_ns, last_event_ns;
};

#endif
