/* auth/limits.h -- how much, how fast, how many at once.
 *
 * GCRA over one atomic word per limit (reference/reliability.md 4.1).  Pure: the
 * clock is an argument.  Any thread.  Tokens are reserved at admission by an
 * upper bound and corrected at the end.
 */
#ifndef MAAS_LIMITS_H
#define MAAS_LIMITS_H
#include "base/status.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A rate: `units` per minute, `burst` units at once.  units 0 refuses everything, RATE_FREE nothing.
 * A state belongs to one rate for life: its word means nothing to another. */
struct rate {
    int64_t units, burst;
};

/* The usual shape: a whole minute's worth at once, so that "3 a minute" lets three pass. */
static inline struct rate rate_per_minute(int64_t units)
{
    return (struct rate){ units, units };
}

#define RATE_FREE ((struct rate){ -1, 0 })

struct rate_state {
    _Atomic int64_t
        tat; /* theoretical arrival time, in ticks of its rate (see limits.c); 0: full */
};

struct rate_answer {
    bool allowed, impossible; /* impossible: the cost alone exceeds the burst */
    int64_t remaining;        /* units left after this decision */
    int64_t reset_ns;         /* until the bucket is full again */
    int64_t retry_ns;         /* when refused: until the same cost would pass */
};

struct rate_answer rate_take(struct rate_state *s, struct rate r, int64_t cost, int64_t now_ns);
/* Nanoseconds until `cost` would pass, nothing taken; 0: now; INT64_MAX: never. */
int64_t rate_wait_ns(const struct rate_state *s, struct rate r, int64_t cost, int64_t now_ns);
/* Gives back `cost` taken at `taken_ns`: nothing once time has refilled it anyway. */
void rate_give_back(struct rate_state *s, struct rate r, int64_t cost, int64_t taken_ns,
                    int64_t now_ns);
/* Takes without asking: what was used beyond its reservation becomes debt. */
void rate_owe(struct rate_state *s, struct rate r, int64_t cost, int64_t now_ns);

/* What one key may do. */
struct limits {
    struct rate requests, tokens; /* per minute */
    int64_t concurrency;
};

struct limits_state { /* one per key; process lifetime */
    struct rate_state requests, tokens;
    _Atomic int64_t running;
};

/* What an admission took; kept in the request, given to limits_leave once. */
struct limits_grant {
    bool held;
    int64_t tokens, taken_ns;
};

struct limits_view { /* for the x-ratelimit-* headers */
    struct rate_answer requests, tokens;
};

/* All or nothing: concurrency, then requests, then tokens; an earlier one is
 * undone when a later one refuses.  OK, RATE_CONCURRENCY, RATE_REQUESTS,
 * RATE_TOKENS or TOO_LARGE_FOR_LIMIT; *ret_view is filled in every case. */
MUST_CHECK enum status limits_enter(struct limits_state *s, const struct limits *l, int64_t tokens,
                                    int64_t now_ns, struct limits_grant *ret_grant,
                                    struct limits_view *ret_view);
/* Corrects the tokens to `used` (< 0: none of them) and frees the place.  Repeatable: the second call does nothing. */
void limits_leave(struct limits_state *s, const struct limits *l, struct limits_grant *g,
                  int64_t used, int64_t now_ns);
#endif
