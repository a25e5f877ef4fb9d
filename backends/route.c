/* backends/route.c -- see route.h. */
#include "backends/route.h"

static bool available(const struct route_state *s)
{
    return s->up && s->running < s->capacity;
}

/* The available routes of the lowest priority, as bits. */
static uint32_t lowest_rung(const struct catalog_route *routes, size_t n,
                            const struct route_state *states, uint32_t tried)
{
    uint32_t rung = 0, lowest = UINT32_MAX;
    for (unsigned i = 0; i < n; i++) {
        if (tried >> i & 1 || !available(&states[i]) || routes[i].priority > lowest)
            continue;
        if (routes[i].priority < lowest)
            rung = 0;
        lowest = routes[i].priority;
        rung |= UINT32_C(1) << i;
    }
    return rung;
}

/* One of the bits of a rung, each as likely as its weight says.  Rung is not empty. */
static int draw(const struct catalog_route *routes, uint32_t rung, uint32_t random)
{
    uint64_t total = 0;
    for (uint32_t left = rung; left; left &= left - 1)
        total += routes[__builtin_ctz(left)].weight;
    uint64_t at = (uint64_t)((unsigned __int128)random * total >> 32);
    for (uint32_t left = rung; left; left &= left - 1) {
        int i = __builtin_ctz(left);
        if (at < routes[i].weight)
            return i;
        at -= routes[i].weight;
    }
    return __builtin_ctz(rung); /* only when every weight is 0 */
}

int route_choose(const struct catalog_route *routes, size_t n, const struct route_state *states,
                 uint64_t random, unsigned tried_mask)
{
    uint32_t rung = lowest_rung(routes, n < ROUTE_MAX ? n : ROUTE_MAX, states, tried_mask);
    if (!rung)
        return -1;
    int first = draw(routes, rung, (uint32_t)random);
    rung &= ~(UINT32_C(1) << first);
    if (!rung)
        return first;
    int second = draw(routes, rung, (uint32_t)(random >> 32));
    uint64_t load_first = (uint64_t)states[first].running * routes[second].weight;
    uint64_t load_second = (uint64_t)states[second].running * routes[first].weight;
    return load_second < load_first ? second : first;
}
