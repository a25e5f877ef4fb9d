/* gateway/snapshot.c -- a configuration as one loop serves it.
 *
 * A new configuration opens only the backends that changed; the others are taken
 * over.  An old snapshot, and what only it uses, goes when its last request ends. */
#include "gateway/loop.h"
#include "base/log.h"
#include "base/tls.h"
#include "conf/catalog.h"
#include "gateway/desk.h"
#include "gateway/pricing.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct generation *generation_repriced(struct generation *of)
{
    struct generation *owner = of->conf_of ? of->conf_of : of;
    struct generation *g = generation_new(owner->conf, owner->roster);
    if (g) {
        atomic_fetch_add_explicit(&owner->refs, 1, memory_order_relaxed);
        g->conf_of = owner;
    }
    return g;
}

struct generation *generation_new(struct conf *conf, struct roster *roster)
{
    struct generation *g = calloc(1, sizeof *g);
    if (g)
        g->standings = roster_enroll(roster, conf->catalog);
    if (!g || !g->standings) {
        free(g);
        return NULL;
    }
    g->conf = conf;
    g->roster = roster;
    atomic_init(&g->refs, 1);
    return g;
}

void generation_unref(struct generation *g)
{
    if (!g || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1)
        return;
    roster_dismiss(g->roster, g->standings, g->conf->catalog->backend_count);
    pricing_free(g->pricing);
    if (g->conf_of)
        generation_unref(g->conf_of);
    else
        conf_free(g->conf);
    free(g);
}

static bool same_text(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static bool same_backend(const struct catalog_backend *a, const struct catalog_backend *b)
{
    return same_text(a->name, b->name) && a->transport == b->transport &&
           same_text(a->address, b->address) && same_text(a->secret, b->secret) &&
           tls_same(a->tls, b->tls) && a->http_version == b->http_version &&
           a->concurrency == b->concurrency &&
           a->first_byte_timeout_ms == b->first_byte_timeout_ms &&
           a->chunk_timeout_ms == b->chunk_timeout_ms &&
           a->connect_timeout_ms == b->connect_timeout_ms && a->on_disconnect == b->on_disconnect &&
           a->drain_timeout_ms == b->drain_timeout_ms && a->drain_calls_max == b->drain_calls_max &&
           a->repeat_unanswered == b->repeat_unanswered && a->eject_after == b->eject_after &&
           a->ejection_ms == b->ejection_ms && a->requests_per_minute == b->requests_per_minute &&
           a->tokens_per_minute == b->tokens_per_minute && a->queue_max == b->queue_max &&
           a->queue_timeout_ms == b->queue_timeout_ms && egress_same(a->egress, b->egress) &&
           compose_same(&a->http, &b->http);
}

/* The loops see the same backends, so one of them speaks for all. */
void snapshot_tell_troubles(struct loop *l)
{
    for (size_t i = 0; l->index == 0 && i < l->snapshot->catalog->backend_count; i++)
        if (l->snapshot->backends[i])
            desk_tell_trouble(l->snapshot->backends[i]);
}

static struct backend *taken_over(const struct snapshot *old, const struct catalog_backend *conf)
{
    for (size_t i = 0; old && i < old->catalog->backend_count; i++) {
        struct backend *b = old->backends[i];
        if (b && same_backend(b->conf, conf)) {
            desk_of(b)->snapshots++;
            return b;
        }
    }
    return NULL;
}

static struct backend *opened(struct loop *l, struct generation *g,
                              const struct catalog_backend *conf)
{
    struct desk *desk = calloc(1, sizeof *desk);
    const struct backend_driver *driver = backend_driver_find(conf->transport);
    struct backend *b = NULL;
    enum status s = desk ? driver->open(conf, &l->uv, l->daemon->env, &b) : STATUS_NO_MEMORY;
    if (s != STATUS_OK) {
        free(desk);
        log_env("backend_not_opened backend=%s status=%s", conf->name, status_info(s)->name);
        return NULL;
    }
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    *desk = (struct desk){ .snapshots = 1, .lent = g, .loop = l };
    desk->standing = g->standings[conf->index];
    desk->health.eject_after = conf->eject_after;
    desk->health.ejection_ms = (int64_t)conf->ejection_ms;
    b->owner = desk;
    l->open_backends++;
    return b;
}

static struct snapshot *snapshot_new(struct loop *l, struct generation *g)
{
    struct snapshot *s = calloc(1, sizeof *s);
    const struct catalog *c = g->conf->catalog;
    if (s)
        s->backends = calloc(c->backend_count + 1, sizeof *s->backends);
    if (!s || !s->backends) {
        free(s);
        return NULL;
    }
    s->generation = g;
    s->conf = g->conf;
    s->catalog = c;
    s->refs = 1;
    for (size_t i = 0; i < c->backend_count; i++) {
        s->backends[i] = taken_over(l->snapshot, &c->backends[i]);
        if (!s->backends[i])
            s->backends[i] = opened(l, g, &c->backends[i]);
    }
    return s;
}

static void backend_closed(void *arg)
{
    struct desk *desk = arg;
    desk->loop->open_backends--;
    generation_unref(desk->lent);
    free(desk);
}

static void backend_let_go(struct backend *b)
{
    struct desk *desk = desk_of(b);
    assert(desk->snapshots > 0);
    if (--desk->snapshots > 0)
        return;
    desk_close(desk);
    b->driver->close(b, backend_closed, desk);
}

void snapshot_ref(struct snapshot *s)
{
    s->refs++;
}

void snapshot_unref(struct loop *l, struct snapshot *s)
{
    (void)l;
    if (!s || --s->refs > 0)
        return;
    for (size_t i = 0; i < s->catalog->backend_count; i++)
        if (s->backends[i])
            backend_let_go(s->backends[i]);
    generation_unref(s->generation);
    free(s->backends);
    free(s);
}

/* Takes the caller's reference to g. */
static void snapshot_switch(struct loop *l, struct generation *g)
{
    struct snapshot *next = snapshot_new(l, g);
    if (!next) {
        log_env("configuration_not_served loop=%u reason=\"out of memory\"", l->index);
        generation_unref(g);
        return;
    }
    struct snapshot *old = l->snapshot;
    l->snapshot = next;
    snapshot_unref(l, old);
}

bool snapshot_first(struct loop *l, struct generation *g)
{
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    snapshot_switch(l, g);
    return l->snapshot != NULL;
}

struct publication {
    struct loop_message message;
    struct generation *generation;
};

static void publish_here(struct loop *l, struct loop_message *m)
{
    struct publication *p = (struct publication *)m;
    snapshot_switch(l, p->generation);
    free(p);
}

void loop_publish(struct loop *l, struct generation *g)
{
    struct publication *p = calloc(1, sizeof *p);
    if (!p) {
        log_env("configuration_not_served loop=%u reason=\"out of memory\"", l->index);
        return;
    }
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    p->message.run = publish_here;
    p->generation = g;
    loop_post(l, &p->message);
}
