/* backends/affinity.c -- see affinity.h. */
#include "backends/affinity.h"
#include <math.h>

struct rung {
    size_t first, end;
    uint64_t running, weight; /* of all that are able */
    struct route_state states[CATALOG_ROUTES_MAX];
};

/* -ln(u) / weight, u uniform and the same for the same conversation and route: the least comes
 * first, and each is first as often as its weight says. */
static double distance(const struct catalog_route *p, uint64_t key)
{
    uint64_t z = key ^ p->identity;
    z = (z ^ z >> 33) * UINT64_C(0xff51afd7ed558ccd);
    z = (z ^ z >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    z ^= z >> 33;
    return -log(((double)(z >> 11) + 0.5) * 0x1p-53) / p->weight;
}

static void gather(const struct route_view *v, struct rung *g)
{
    for (size_t i = g->first; i < g->end; i++) {
        struct route_state s = { .able = false };
        if (!route_set_has(&v->tried, i))
            s = v->look(v->arg, i);
        g->states[i] = s;
        g->running += s.able ? s.running : 0;
        g->weight += s.able ? v->routes[i].weight : 0;
    }
}

static bool is_crowded(const struct route_view *v, const struct rung *g, size_t i)
{
    uint64_t share = 5 * (g->running + 1) * v->routes[i].weight / (4 * g->weight);
    return g->states[i].running > share + AFFINITY_SLACK;
}

/* The nearest of those that are able and, if asked, have room and are not crowded. */
static int nearest(const struct route_view *v, const struct rung *g, uint64_t key, bool usable)
{
    int best = ROUTE_NONE;
    double least = INFINITY;
    for (size_t i = g->first; i < g->end; i++) {
        const struct route_state *s = &g->states[i];
        if (!s->able || (usable && (!s->room || is_crowded(v, g, i))))
            continue;
        double d = distance(&v->routes[i], key);
        if (d < least) {
            least = d;
            best = (int)i;
        }
    }
    return best;
}

/* Crowded or not: only those with room are looked at when the others all were passed over. */
static int any_with_room(const struct rung *g)
{
    int best = ROUTE_NONE;
    for (size_t i = g->first; i < g->end; i++)
        if (g->states[i].room && (best < 0 || g->states[i].running < g->states[best].running))
            best = (int)i;
    return best;
}

int affinity_choose(const struct route_view *v, uint64_t key, bool *ret_home)
{
    int verdict = ROUTE_NONE;
    *ret_home = false;
    for (size_t first = 0; first < v->count; first = v->routes[first].rung_end) {
        struct rung g = { .first = first, .end = v->routes[first].rung_end };
        gather(v, &g);
        int home = nearest(v, &g, key, false), at = nearest(v, &g, key, true);
        if (at < 0)
            at = any_with_room(&g);
        *ret_home = at >= 0 && at == home && verdict == ROUTE_NONE;
        if (at >= 0)
            return at;
        if (home >= 0)
            verdict = ROUTE_FULL;
    }
    return verdict;
}
