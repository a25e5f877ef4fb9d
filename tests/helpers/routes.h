/* tests/helpers/routes.h -- routes and backends made by hand, and a random source of one's own. */
#ifndef MAAS_TEST_ROUTES_H
#define MAAS_TEST_ROUTES_H
#include "backends/route.h"

struct scene {
    struct catalog_route routes[CATALOG_ROUTES_MAX];
    struct route_state states[CATALOG_ROUTES_MAX];
    struct route_view view;
    unsigned looks; /* at backends, so far */
};

uint64_t test_random(void);
/* `count` routes of one rung, of weight 1, with room and idle. */
void scene_open(struct scene *s, size_t count);
/* After weights and priorities were set, these in order: what the configuration reader adds. */
void scene_seal(struct scene *s);

#endif
