/* gateway/coverage.c -- see coverage.h. */
#include "gateway/coverage.h"
#include "conf/catalog.h"
#include "gateway/desk.h"
#include "gateway/loop.h"

#define COUNTED_FOR_NS INT64_C(500000000)

bool coverage_has(const struct snapshot *s, const struct catalog_model *m, int64_t now_ns)
{
    for (size_t i = 0; i < m->route_count; i++)
        if (desk_available(s->backends[m->routes[i].backend->index], now_ns / 1000000))
            return true;
    return m->fallback_to_parent && coverage_has(s, m->parent, now_ns);
}

size_t coverage_models_down(struct loop *l)
{
    struct coverage *c = &l->coverage;
    const struct snapshot *s = l->snapshot;
    int64_t now_ns = loop_now_ns(l);
    if (c->of == s && c->counted_ns && now_ns - c->counted_ns < COUNTED_FOR_NS)
        return c->models_down;
    *c = (struct coverage){ .counted_ns = now_ns, .of = s };
    for (size_t i = 0; i < s->catalog->model_count; i++) {
        const struct catalog_model *m = &s->catalog->models[i];
        bool wanted = m->life != LIFE_RETIRED && m->life != LIFE_UNAVAILABLE;
        c->models_down += wanted && !coverage_has(s, m, now_ns);
    }
    return c->models_down;
}
