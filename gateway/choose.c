/* gateway/choose.c -- see choose.h. */
#include "gateway/choose.h"
#include "backends/affinity.h"
#include "gateway/conversation.h"
#include "gateway/desk.h"
#include "gateway/request.h"
#include "gateway/wait.h"

enum { RACES_MAX = 4, RETRY_MS = 1000 };

/* ---- a backend as it is for this request ---- */

struct backend *choice_backend(const struct choice *c, size_t route)
{
    return c->request->snapshot->backends[c->model->routes[route].backend->index];
}

/* A token for every 4 bytes of the body, and the most that one answer may have. */
static uint64_t likely_context(const struct request *r)
{
    return r->in.body_len / 4 + (uint64_t)r->ask.max_out;
}

static bool fits_context(const struct request *r, const struct catalog_route *p)
{
    uint64_t tokens = likely_context(r);
    return tokens >= p->context_min && (!p->context_max || tokens <= p->context_max);
}

static bool fits_cost(const struct request *r, const struct catalog_route *p)
{
    return !p->cost_max.atoms || r->work.hold.atoms <= p->cost_max.atoms;
}

static bool is_connected(const struct backend *b)
{
    return b && atomic_load_explicit(&b->stats.up, memory_order_relaxed) &&
           atomic_load_explicit(&desk_of(b)->standing->word, memory_order_relaxed) == WORD_ENABLED;
}

static bool has_room(const struct backend *b, uint32_t running)
{
    const struct standing *st = desk_of(b)->standing;
    return running < atomic_load_explicit(&b->stats.capacity, memory_order_relaxed) &&
           atomic_load_explicit(&st->waiting, memory_order_relaxed) == 0 &&
           atomic_load_explicit(&st->state.running, memory_order_relaxed) < st->limits.concurrency;
}

/* Its limits aside, could it take the request? */
static bool is_usable(const struct choice *c, size_t at)
{
    const struct catalog_route *p = &c->model->routes[at];
    const struct backend *b = choice_backend(c, at);
    if (!is_connected(b))
        return false;
    if (c->model->conditions && !(fits_context(c->request, p) && fits_cost(c->request, p)))
        return false;
    return c->panic || health_available(&desk_of(b)->health, c->now_ns / 1000000);
}

/* A backend that rests, or whose rate is used up, for longer than anybody waits is as good as down. */
static struct route_state look(void *arg, size_t at)
{
    const struct choice *c = arg;
    struct route_state s = { .able = false };
    if (!is_usable(c, at))
        return s;
    const struct backend *b = choice_backend(c, at);
    const struct desk *desk = desk_of(b);
    int64_t wait = standing_wait_ms(desk->standing, c->request->work.likely_tokens, c->now_ns);
    s.able = wait <= (int64_t)desk->standing->queue_timeout_ms;
    s.running = atomic_load_explicit(&b->stats.running, memory_order_relaxed);
    s.room = wait == 0 && has_room(b, s.running);
    if (desk_used_up(b, c->now_ns)) /* as if it were full: others come first, it before none */
        s.running += b->conf->concurrency;
    s.pace = pace_now(&desk->pace, c->now_ns);
    return s;
}

static uint32_t load(void *arg, size_t at)
{
    const struct backend *b = choice_backend(arg, at);
    return is_connected(b) ? atomic_load_explicit(&b->stats.running, memory_order_relaxed)
                           : ROUTE_DOWN;
}

static bool is_ejected(const struct choice *c, size_t at)
{
    return !health_available(&desk_of(choice_backend(c, at))->health, c->now_ns / 1000000);
}

/* Of all that would be usable were nobody ejected; what was tried counts, too. */
static void count_ejected(struct choice *c, size_t *ret_able, size_t *ret_ejected)
{
    *ret_able = *ret_ejected = 0;
    c->panic = true;
    for (size_t i = 0; i < c->model->route_count; i++)
        if (is_usable(c, i)) {
            ++*ret_able;
            *ret_ejected += is_ejected(c, i);
        }
}

/* With a parent to fall back to, the model's own backends need not be forced. */
static bool may_panic(const struct choice *c)
{
    return c->request->loop->ejected > 0 && !c->model->fallback_to_parent;
}

static bool panics(struct choice *c)
{
    size_t able, ejected;
    if (!may_panic(c))
        return false;
    count_ejected(c, &able, &ejected);
    return route_panics(able, ejected);
}

const struct route_view *choice_open(struct choice *c, struct request *r,
                                     const struct catalog_model *m)
{
    *c = (struct choice){ .request = r, .model = m, .now_ns = request_now_ns(r) };
    c->view = (struct route_view){
        .routes = m->routes, .count = m->route_count, .look = look, .load = load, .arg = c
    };
    if (m == r->work.served)
        c->view.tried = r->work.tried;
    c->panic = panics(c);
    return &c->view;
}

bool choice_able(const struct choice *c, size_t route)
{
    return !route_set_has(&c->view.tried, route) && c->view.look(c->view.arg, route).able;
}

/* ---- before the hold ---- */

static bool any_room_of(const struct choice *c, bool *ret_able)
{
    *ret_able = false;
    for (size_t i = 0; i < c->model->route_count; i++) {
        struct route_state s = c->view.look(c->view.arg, i);
        if (s.room)
            return true;
        *ret_able = *ret_able || s.able;
    }
    return false;
}

/* Nobody is left but the ejected: a call to one of them may fail, none at all would for certain. */
static bool last_resort(struct choice *c)
{
    if (c->panic || !may_panic(c))
        return false;
    return c->panic = true;
}

static bool any_room(struct choice *c, bool *ret_able)
{
    bool found = any_room_of(c, ret_able);
    if (!found && !*ret_able && last_resort(c))
        found = any_room_of(c, ret_able);
    return found;
}

/* OK when it is a matter of backends, not of the request. */
static enum status for_whom(const struct request *r, const struct catalog_model *m)
{
    bool context = false, both = false;
    for (size_t i = 0; i < m->route_count; i++) {
        bool fits = fits_context(r, &m->routes[i]);
        context = context || fits;
        both = both || (fits && fits_cost(r, &m->routes[i]));
    }
    return both ? STATUS_OK : context ? STATUS_TOO_LARGE_FOR_LIMIT : STATUS_CONTEXT_LENGTH;
}

static bool fall_back(struct request *r)
{
    struct work *w = &r->work;
    if (!w->served->fallback_to_parent)
        return false;
    COUNT(&r->loop->counters, fallbacks);
    w->served = w->served->parent; /* parents end: the catalog refuses cycles */
    w->tried = (struct route_set){ { 0 } };
    return true;
}

enum status choose_model(struct request *r)
{
    r->work.served = r->model;
    enum status unfit = r->model->conditions ? for_whom(r, r->model) : STATUS_OK;
    do {
        struct choice c;
        bool able;
        choice_open(&c, r, r->work.served);
        if (any_room(&c, &able))
            return STATUS_OK;
        if (able)
            return wait_possible(r) ? STATUS_OK : STATUS_OVERLOADED;
    } while (fall_back(r));
    return unfit ? unfit : STATUS_NO_BACKEND;
}

/* ---- after it ---- */

static int pick(struct request *r, const struct choice *c)
{
    uint64_t key = c->model->affinity == AFFINITY_PREFIX ? conversation_key(r) : 0;
    bool home;
    if (!key)
        return route_choose(&c->view, c->view.count > 1 ? loop_random(r->loop) : 0);
    int at = affinity_choose(&c->view, key, &home);
    if (at >= 0)
        desk_count_affinity(choice_backend(c, (size_t)at), home);
    return at;
}

static bool take(struct request *r, const struct choice *c, size_t at)
{
    struct work *w = &r->work;
    struct backend *b = choice_backend(c, at);
    if (!standing_take(desk_of(b)->standing, w->likely_tokens, c->now_ns, &w->seat))
        return false;
    route_set_add(&w->tried, at);
    w->route = &w->served->routes[at];
    w->backend = b;
    return true;
}

enum status choose_backend(struct request *r)
{
    struct choice c;
    for (int races = 0; races < RACES_MAX;) {
        choice_open(&c, r, r->work.served);
        int at = pick(r, &c);
        if (at == ROUTE_NONE && last_resort(&c))
            at = pick(r, &c);
        if (at == ROUTE_FULL)
            return STATUS_OVERLOADED;
        if (at == ROUTE_NONE && !fall_back(r))
            return STATUS_NO_BACKEND;
        if (at < 0)
            continue;
        if (take(r, &c, (size_t)at))
            return STATUS_OK;
        races++; /* another loop took the last place */
    }
    return STATUS_OVERLOADED;
}

void choose_called(struct request *r, size_t route, const struct limits_grant *g)
{
    struct work *w = &r->work;
    w->seat = *g;
    route_set_add(&w->tried, route);
    w->route = &w->served->routes[route];
    w->backend = r->snapshot->backends[w->route->backend->index];
}

bool choose_may_eject(struct request *r)
{
    size_t able, ejected;
    struct choice c = { .request = r, .model = r->work.served, .now_ns = request_now_ns(r) };
    if (r->loop->ejected == 0)
        return true;
    count_ejected(&c, &able, &ejected);
    return route_may_eject(able, ejected);
}

bool choose_holds(struct request *r)
{
    struct choice c;
    choice_open(&c, r, r->work.served);
    return is_usable(&c, (size_t)(r->work.route - r->work.served->routes));
}

void choose_leave(struct request *r, int64_t used, int64_t now_ns)
{
    struct standing *st = desk_of(r->work.backend)->standing;
    if (standing_leave(st, &r->work.seat, used, now_ns))
        wait_offer(&r->loop->daemon->roster, st, now_ns);
}

enum status choose_problem(struct request *r, int64_t *ret_retry_ms)
{
    const struct catalog_model *m = r->work.served;
    int64_t least = INT64_MAX, now_ns = request_now_ns(r);
    for (size_t i = 0; i < m->route_count; i++) {
        const struct backend *b = r->snapshot->backends[m->routes[i].backend->index];
        if (!is_connected(b))
            continue;
        int64_t wait = standing_wait_ms(desk_of(b)->standing, r->work.likely_tokens, now_ns);
        if (wait > 0 && wait < least)
            least = wait;
    }
    *ret_retry_ms = least < INT64_MAX && least > RETRY_MS ? least : RETRY_MS;
    return least < INT64_MAX ? STATUS_OVERLOADED : STATUS_NO_BACKEND;
}
