/* backends/route.c -- see route.h. */
#include "backends/route.h"

enum { DRAWS_MAX = 4 }; /* for one candidate, before all are looked at */

struct candidate {
    int at;
    struct route_state state;
};

static struct route_state look(const struct route_view *v, size_t at)
{
    if (route_set_has(&v->tried, at))
        return (struct route_state){ .able = false };
    return v->look(v->arg, at);
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* The first route of [first, end) whose sum of weights is beyond `at`. */
static size_t find_weight(const struct route_view *v, size_t first, size_t end, uint64_t at)
{
    while (first + 1 < end) {
        size_t middle = first + (end - first) / 2;
        if (v->routes[middle - 1].weight_sum > at)
            end = middle;
        else
            first = middle;
    }
    return first;
}

static size_t draw(const struct route_view *v, size_t first, size_t end, uint64_t *random)
{
    uint64_t total = v->routes[end - 1].weight_sum;
    return find_weight(v, first, end, (next_random(random) >> 32) * total >> 32);
}

/* One with room, other than `besides`; at is ROUTE_NONE when a few draws found none. */
static struct candidate sample(const struct route_view *v, size_t first, size_t end, int besides,
                               uint64_t *random)
{
    for (int i = 0; i < DRAWS_MAX; i++) {
        int at = (int)draw(v, first, end, random);
        struct route_state s =
            at == besides ? (struct route_state){ .room = false } : look(v, (size_t)at);
        if (s.room)
            return (struct candidate){ at, s };
    }
    return (struct candidate){ .at = ROUTE_NONE };
}

/* Two paces on one scale; equal when one is unknown or they are about the same. */
static void even_out(uint64_t *a, uint64_t *b)
{
    bool alike = *a <= *b + *b / 4 && *b <= *a + *a / 4;
    if (!*a || !*b || alike)
        *a = *b = 1;
}

static bool is_earlier(const struct route_view *v, const struct candidate *a,
                       const struct candidate *b)
{
    uint64_t pace_a = a->state.pace, pace_b = b->state.pace;
    uint64_t weight_a = v->routes[a->at].weight, weight_b = v->routes[b->at].weight;
    even_out(&pace_a, &pace_b);
    unsigned __int128 load_a = (unsigned __int128)(weight_a + a->state.running) * weight_b;
    unsigned __int128 load_b = (unsigned __int128)(weight_b + b->state.running) * weight_a;
    return load_a * pace_a < load_b * pace_b;
}

static int better(const struct route_view *v, struct candidate first, struct candidate second)
{
    return second.at >= 0 && is_earlier(v, &second, &first) ? second.at : first.at;
}

/* ---- all of a rung ---- */

struct rung {
    size_t count;
    uint64_t weight;
    struct candidate all[CATALOG_ROUTES_MAX]; /* with room */
    bool able;
};

static void gather(const struct route_view *v, size_t first, size_t end, struct rung *g)
{
    g->count = 0;
    g->weight = 0;
    g->able = false;
    for (size_t i = first; i < end; i++) {
        struct route_state s = look(v, i);
        g->able = g->able || s.able;
        if (!s.room)
            continue;
        g->all[g->count++] = (struct candidate){ (int)i, s };
        g->weight += v->routes[i].weight;
    }
}

/* Takes one out of what was gathered. */
static struct candidate take(const struct route_view *v, struct rung *g, uint64_t *random)
{
    if (!g->count)
        return (struct candidate){ .at = ROUTE_NONE };
    uint64_t at = (next_random(random) >> 32) * g->weight >> 32;
    size_t i = 0;
    for (; i + 1 < g->count && at >= v->routes[g->all[i].at].weight; i++)
        at -= v->routes[g->all[i].at].weight;
    struct candidate taken = g->all[i];
    g->weight -= v->routes[taken.at].weight;
    g->all[i] = g->all[--g->count];
    return taken;
}

static int choose_of_all(const struct route_view *v, size_t first, size_t end, uint64_t *random)
{
    struct rung g;
    gather(v, first, end, &g);
    struct candidate one = take(v, &g, random);
    if (one.at < 0)
        return g.able ? ROUTE_FULL : ROUTE_NONE;
    return better(v, one, take(v, &g, random));
}

static int choose_of_rung(const struct route_view *v, size_t first, size_t end, uint64_t *random)
{
    if (end - first > 2 * DRAWS_MAX) {
        struct candidate one = sample(v, first, end, ROUTE_NONE, random);
        struct candidate two = { .at = ROUTE_NONE };
        if (one.at >= 0)
            two = sample(v, first, end, one.at, random);
        if (two.at >= 0)
            return better(v, one, two);
    }
    return choose_of_all(v, first, end, random);
}

int route_choose(const struct route_view *v, uint64_t random)
{
    int best = ROUTE_NONE;
    if (v->count == 1) { /* the usual model pays for nothing else */
        struct route_state s = look(v, 0);
        return s.room ? 0 : s.able ? ROUTE_FULL : ROUTE_NONE;
    }
    for (size_t first = 0; first < v->count; first = v->routes[first].rung_end) {
        int at = choose_of_rung(v, first, v->routes[first].rung_end, &random);
        if (at >= 0)
            return at;
        if (at == ROUTE_FULL)
            best = ROUTE_FULL;
    }
    return best;
}
