/* backends/route.h -- which of a model's routes takes this request.  Pure.
 *
 * Priorities are a ladder: a lower number is used as long as one of its backends
 * is available.  Inside a rung two candidates are drawn by weight and the one
 * with less outstanding work per weight takes it (power of two choices); when
 * they are equal the first drawn does, so an idle rung is shared by weight.
 */
#ifndef MAAS_ROUTE_H
#define MAAS_ROUTE_H
#include "conf/catalog.h"

enum { ROUTE_MAX = 32 }; /* bits of tried_mask; routes beyond are not used */

struct route_state { /* of the route's backend on this loop */
    bool up;
    uint32_t running, capacity;
};

/* Index of the route, or -1: none is available.  Bit i of tried_mask: not route i. */
int route_choose(const struct catalog_route *routes, size_t n, const struct route_state *states,
                 uint64_t random, unsigned tried_mask);
#endif
