/* gateway/choose.c -- see choose.h. */
#include "gateway/choose.h"
#include "backends/route.h"
#include "gateway/desk.h"
#include "gateway/request.h"

static struct backend *backend_of(const struct request *r, const struct catalog_route *route)
{
    return r->snapshot->backends[route->backend->index];
}

static int choose_of(struct request *r, const struct catalog_model *m, unsigned tried)
{
    struct route_state states[ROUTE_MAX];
    size_t n = m->route_count < ROUTE_MAX ? m->route_count : ROUTE_MAX;
    int64_t now_ms = request_now_ns(r) / 1000000;
    for (size_t i = 0; i < n; i++) {
        const struct backend *b = backend_of(r, &m->routes[i]);
        states[i] = (struct route_state){
            .up = desk_available(b, now_ms),
            .running = b ? atomic_load_explicit(&b->stats.running, memory_order_relaxed) : 0,
            .capacity = m->routes[i].backend->concurrency,
        };
    }
    return route_choose(m->routes, n, states, loop_random(r->loop), tried);
}

enum status choose_backend(struct request *r)
{
    struct work *w = &r->work;
    int at = choose_of(r, w->served, w->tried);
    if (at < 0 && w->served->fallback_to_parent) {
        COUNT(&r->loop->counters, fallbacks);
        w->served = w->served->parent;
        w->tried = 0;
        return choose_backend(r); /* parents end: the catalog refuses cycles */
    }
    if (at < 0)
        return STATUS_NO_BACKEND;
    w->tried |= 1u << at;
    w->route = &w->served->routes[at];
    w->backend = backend_of(r, w->route);
    return STATUS_OK;
}
