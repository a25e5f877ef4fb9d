/* backends/route.h -- which of a model's routes takes this request.  Pure.
 *
 * Priorities are a ladder: a rung is used as long as one of its backends has room.
 * Inside a rung two candidates are drawn by weight, and of these that one takes the
 * request from which its first token is expected earlier (power of two choices):
 *
 *     expected = pace * (1 + running / weight)
 *
 * with pace as in pace.h.  Paces that are unknown or within a quarter of each other
 * count as equal.  When both are expected at the same time the first drawn takes it,
 * so an idle rung is shared by weight.  Drawing looks at a few backends, not at all:
 * what a choice costs does not grow with their number while most have room.
 */
#ifndef MAAS_ROUTE_H
#define MAAS_ROUTE_H
#include "conf/catalog.h"

enum { ROUTE_NONE = -1, ROUTE_FULL = -2 };
#define ROUTE_DOWN UINT32_MAX

struct route_set { /* bit per route of a model */
    uint64_t bits[CATALOG_ROUTES_MAX / 64];
};

static inline bool route_set_has(const struct route_set *s, size_t i)
{
    return s->bits[i / 64] >> (i % 64) & 1;
}

static inline void route_set_add(struct route_set *s, size_t i)
{
    s->bits[i / 64] |= UINT64_C(1) << (i % 64);
}

struct route_state { /* of the route's backend, for this request, on this loop */
    bool able;       /* it could take the request, now or when it has room */
    bool room;       /* able, and it has room now */
    uint32_t running;
    uint64_t pace; /* 0: unknown */
};

/* A model's routes as a request sees them. */
struct route_view {
    const struct catalog_route *routes;
    size_t count;
    struct route_set tried; /* not these any more */
    struct route_state (*look)(void *arg, size_t at);
    uint32_t (*load)(void *arg, size_t at); /* only what runs there; ROUTE_DOWN: not connected */
    void *arg;
};

/* Index of the route; ROUTE_FULL: those that could have no room; ROUTE_NONE: none could. */
int route_choose(const struct route_view *v, uint64_t random);

/* Whether so many ejections are more likely a trouble of all, or of the network, than of
 * these backends: when more than half of those that could work are ejected, all are used. */
static inline bool route_panics(size_t able, size_t ejected)
{
    return 2 * ejected > able;
}

/* Whether one more of `able` backends may be ejected: at most half of them, rounded up. */
static inline bool route_may_eject(size_t able, size_t ejected)
{
    return 2 * (ejected + 1) <= able + 1;
}

/* At most a fifth of the calls that run may be retries, but three always may. */
static inline bool route_may_retry(uint32_t running, uint32_t retries)
{
    return retries < 3 || UINT64_C(5) * (retries + 1) <= running;
}

#endif
