/* backends/affinity.c -- see affinity.h. */
#include "backends/affinity.h"
#include <math.h>

struct rung {
    size_t first, end;
    uint64_t running, weight; /* of all that are connected */
    bool alike;               /* they all have the same weight */
    struct seat {
        double distance; /* INFINITY: not this one */
        uint32_t running;
        bool room; /* but crowded */
    } seats[CATALOG_ROUTES_MAX];
};

/* Uniform in (0, 1), the same for the same conversation and route. */
static double lot(const struct catalog_route *p, uint64_t key)
{
    uint64_t z = key ^ p->identity;
    z = (z ^ z >> 33) * UINT64_C(0xff51afd7ed558ccd);
    z = (z ^ z >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    z ^= z >> 33;
    return ((double)(z >> 11) + 0.5) * 0x1p-53;
}

/* The least comes first.  -ln(lot) / weight is least as often as the weight says; among equals the
 * order of the lots is the same without a logarithm each. */
static double distance(const struct rung *g, const struct catalog_route *p, uint64_t key)
{
    double u = lot(p, key);
    return g->alike ? 1 - u : -log(u) / p->weight;
}

static void gather(const struct route_view *v, struct rung *g, size_t first)
{
    g->first = first;
    g->end = v->routes[first].rung_end;
    g->running = g->weight = 0;
    g->alike = true;
    for (size_t i = g->first; i < g->end; i++) {
        uint32_t running = route_set_has(&v->tried, i) ? ROUTE_DOWN : v->load(v->arg, i);
        g->seats[i] = (struct seat){ .running = running };
        g->running += running != ROUTE_DOWN ? running : 0;
        g->weight += running != ROUTE_DOWN ? v->routes[i].weight : 0;
        g->alike = g->alike && v->routes[i].weight == v->routes[first].weight;
    }
}

static void measure(const struct route_view *v, struct rung *g, uint64_t key)
{
    for (size_t i = g->first; i < g->end; i++)
        g->seats[i].distance =
            g->seats[i].running == ROUTE_DOWN ? INFINITY : distance(g, &v->routes[i], key);
}

static bool is_crowded(const struct route_view *v, const struct rung *g, size_t i)
{
    uint64_t share = 5 * (g->running + 1) * v->routes[i].weight / (4 * g->weight);
    return g->seats[i].running > share + AFFINITY_SLACK;
}

/* The nearest that was not passed over; ROUTE_NONE: there is none left. */
static int nearest(const struct rung *g)
{
    int best = ROUTE_NONE;
    double least = INFINITY;
    for (size_t i = g->first; i < g->end; i++)
        if (g->seats[i].distance < least) {
            least = g->seats[i].distance;
            best = (int)i;
        }
    return best;
}

/* Those with room are all crowded, because others have none: the least so. */
static int any_with_room(const struct rung *g)
{
    int best = ROUTE_NONE;
    for (size_t i = g->first; i < g->end; i++)
        if (g->seats[i].room && (best < 0 || g->seats[i].running < g->seats[best].running))
            best = (int)i;
    return best;
}

/* Looks at one after the other, the nearest first.  *home: the first that is able. */
static int choose_of_rung(const struct route_view *v, struct rung *g, int *home)
{
    int at;
    *home = ROUTE_NONE;
    while ((at = nearest(g)) >= 0) {
        struct route_state s = v->look(v->arg, (size_t)at);
        if (s.able && *home < 0)
            *home = at;
        if (s.room && !is_crowded(v, g, (size_t)at))
            return at;
        g->seats[at].room = s.room;
        g->seats[at].distance = INFINITY;
    }
    return any_with_room(g);
}

int affinity_choose(const struct route_view *v, uint64_t key, bool *ret_home)
{
    int verdict = ROUTE_NONE, home;
    struct rung g; /* large: only what a rung has is filled in */
    *ret_home = false;
    for (size_t first = 0; first < v->count; first = g.end) {
        gather(v, &g, first);
        measure(v, &g, key);
        int at = choose_of_rung(v, &g, &home);
        *ret_home = at >= 0 && at == home && verdict == ROUTE_NONE;
        if (at >= 0)
            return at;
        if (home >= 0)
            verdict = ROUTE_FULL;
    }
    return verdict;
}
