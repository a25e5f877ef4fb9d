/* conf/catalog_route.h -- the part of catalog.h that says which backends run a model, and when. */
#ifndef MAAS_CATALOG_ROUTE_H
#define MAAS_CATALOG_ROUTE_H
#include "base/money.h"
#include <stdbool.h>
#include <stdint.h>

enum { CATALOG_ROUTES_MAX = 128 }; /* of one model */

struct catalog_backend;
struct catalog_model;

struct catalog_route {
    const struct catalog_backend *backend;
    const char *model;                /* the backend's own name for it */
    const struct catalog_model *cost; /* what it costs there (catalog_backend.h); NULL: not said */
    uint32_t weight;                  /* >= 1 */
    uint32_t priority;                /* lower first; a model's routes are in this order */
    /* Conditions; 0: none.  Tokens are estimated. */
    uint64_t context_min, context_max;
    money_t cost_max; /* of the request's hold */
    /* Made at load. */
    uint32_t weight_sum; /* of its rung (the routes of one priority), up to and with this one */
    uint32_t rung_end;   /* position of the first route behind its rung */
    uint64_t identity;   /* of (backend, model), the same in every process */
};

#endif
