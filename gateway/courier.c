/* gateway/courier.c -- see courier.h. */
#include "base/db.h"
#include "base/log.h"
#include "billing/alert.h"
#include "gateway/courier_parts.h"
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { READ_DEADLINE_MS = 5000 };
#define REST_US (INT64_C(3600) * 1000000) /* longest sleep */

static int64_t now_us(const struct courier *c)
{
    return c->daemon->env->wall_us(c->daemon->env->arg);
}

/* ---- the ledger is told -------------------------------------------------------------------- */

struct told { /* a call that its thread waits for */
    struct ledger_call call;
    struct courier *courier;
    uv_sem_t done;
    /* How an attempt went. */
    const struct route *route;
    enum alert_outcome outcome;
    bool given_up;
};

static void on_told(struct ledger_op *op)
{
    uv_sem_post(&((struct told *)op)->done);
}

static enum status tell(struct told *t)
{
    t->call.op.kind = LEDGER_CALL;
    t->call.op.done = on_told;
    if (uv_sem_init(&t->done, 0) != 0)
        return STATUS_NO_MEMORY;
    ledger_submit(t->courier->daemon->ledger, &t->call.op);
    uv_sem_wait(&t->done);
    uv_sem_destroy(&t->done);
    return t->call.op.status;
}

static enum status note(struct ledger_call *call, struct db *db, int64_t ledger_us)
{
    struct told *t = (struct told *)call;
    const struct route *r = t->route;
    return alert_note(db, &r->due, &r->courier->catalog->alerts, t->outcome,
                      r->signed_post.post.error, ledger_us, &t->given_up);
}

static void on_recorded(void *courier)
{
    courier_wake(courier);
}

static enum status want(struct ledger_call *call, struct db *db, int64_t ledger_us)
{
    struct courier *c = ((struct told *)call)->courier;
    (void)db, (void)ledger_us;
    ledger_want_alerts(c->daemon->ledger, &c->wanted->alerts, on_recorded, c);
    return STATUS_OK;
}

/* ---- how an attempt went ------------------------------------------------------------------- */

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void log_attempt(const struct route *r, const struct told *t)
{
    char why[LOG_QUOTE_BYTES];
    const struct alert_due *d = &r->due;
    long long attempt = (long long)d->attempts + 1;
    if (t->outcome == ALERT_DELIVERED)
        log_info("alert_delivered webhook=%s id=%s attempt=%lld", d->webhook, d->id, attempt);
    else
        log_peer("%s webhook=%s id=%s attempt=%lld reason=%s",
                 t->given_up ? "alert_given_up" : "alert_not_delivered", d->webhook, d->id, attempt,
                 log_quote(r->signed_post.post.error, why));
}

/* 410: the receiver says that it wants no more of it.  It is the operator's to believe it of the
 * webhook; of this event it is believed. */
static void on_done(struct http_post *post)
{
    struct route *r = post->arg;
    struct courier *c = r->courier;
    struct told t = { .call.run = note, .courier = c, .route = r };
    t.outcome = !post->error[0]            ? ALERT_DELIVERED
                : post->http_status == 410 ? ALERT_REFUSED
                                           : ALERT_FAILED;
    enum status s = tell(&t);
    if (s && s != STATUS_NOT_FOUND) {
        r->not_before_us = now_us(c) + alert_wait_us(&c->catalog->alerts, 1);
        log_env("alert_not_noted webhook=%s id=%s reason=\"%s\"", r->due.webhook, r->due.id,
                status_info(s)->text);
    }
    log_attempt(r, &t);
    count(t.outcome == ALERT_DELIVERED ? &c->stats.delivered : &c->stats.failed);
    if (t.given_up)
        count(&c->stats.given_up);
    buf_clear(&r->signed_post.body);
    r->busy = false;
}

/* ---- what is due --------------------------------------------------------------------------- */

static bool begin(struct route *r, int64_t now)
{
    struct courier *c = r->courier;
    struct signed_post *p = &r->signed_post;
    buf_clear(&p->body);
    if (alert_body(c->db, r->due.alert, &p->body) != STATUS_OK ||
        !courier_sign(p, c->catalog, r->webhook, r->due.id, now))
        return false;
    p->post.done = on_done;
    p->post.arg = r;
    r->busy = http_poster_begin(c->poster, &p->post);
    return r->busy;
}

/* When it has to be looked at again. */
static int64_t look_at(struct route *r, int64_t now)
{
    int64_t rest_us = now + REST_US;
    if (r->busy)
        return rest_us; /* its end wakes us */
    if (r->not_before_us > now)
        return r->not_before_us;
    enum status s = alert_next(r->courier->db, r->webhook->name, &r->due);
    if (s == STATUS_NOT_FOUND)
        return rest_us;
    if (!s && r->due.due_us > now)
        return r->due.due_us;
    if (s || !begin(r, now))
        r->not_before_us = now + alert_wait_us(&r->courier->catalog->alerts, 1);
    return r->busy ? rest_us : r->not_before_us;
}

static void count_waiting(struct courier *c)
{
    int64_t all = 0, some;
    for (size_t i = 0; i < c->route_count; i++)
        if (alert_waiting(c->db, c->routes[i].webhook->name, &some) == STATUS_OK)
            all += some;
    atomic_store_explicit(&c->stats.waiting, (uint64_t)all, memory_order_relaxed);
}

/* Milliseconds until something has to be done. */
static uint64_t do_what_is_due(struct courier *c)
{
    int64_t now = now_us(c), next = now + REST_US;
    for (size_t i = 0; i < c->route_count; i++) {
        int64_t at = look_at(&c->routes[i], now);
        next = at < next ? at : next;
    }
    count_waiting(c);
    return next > now ? (uint64_t)(next - now + 999) / 1000 : 0;
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* What was on its way still waits in the store. */
static void drop_routes(struct courier *c)
{
    for (size_t i = 0; i < c->route_count; i++) {
        if (c->routes[i].busy)
            http_poster_cancel(c->poster, &c->routes[i].signed_post.post);
        buf_free(&c->routes[i].signed_post.body);
    }
    c->route_count = 0;
    catalog_unref(c->catalog);
    c->catalog = NULL;
}

static void take_configuration(struct courier *c)
{
    struct catalog *next = atomic_exchange(&c->next, NULL);
    if (!next)
        return;
    courier_drop_tests(c);
    drop_routes(c);
    c->catalog = next;
    for (size_t i = 0; i < next->alerts.webhook_count; i++) {
        struct route *r = &c->routes[c->route_count++];
        *r = (struct route){ .courier = c, .webhook = &next->alerts.webhooks[i] };
        buf_init(&r->signed_post.body, EVENT_BYTES_MAX);
    }
}

/* A test is of the configuration that was there when it was asked for, or of a later one: what is
 * asked for is taken first, so that a reload just before it is not the end of it. */
static void take_what_came(struct courier *c)
{
    struct mpsc_node *tests = mpsc_take(&c->tests);
    take_configuration(c);
    courier_begin_tests(c, tests);
}

static void *courier_main(void *arg)
{
    struct courier *c = arg;
    while (!atomic_load(&c->stop)) {
        take_what_came(c);
        http_poster_wait(c->poster, do_what_is_due(c));
    }
    take_what_came(c);
    courier_drop_tests(c);
    drop_routes(c);
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------- */

void courier_wake(struct courier *c)
{
    http_poster_wake(c->poster);
}

const struct courier_stats *courier_stats(const struct courier *c)
{
    return &c->stats;
}

/* Of a call that failed nobody knows which alerts the ledger follows: both are kept. */
enum status courier_configure(struct courier *c, struct catalog *catalog)
{
    struct told t = { .call.run = want, .courier = c };
    struct catalog *before = c->wanted;
    c->wanted = catalog_ref(catalog);
    enum status s = tell(&t);
    if (!s)
        catalog_unref(before);
    catalog_unref(atomic_exchange(&c->next, catalog_ref(catalog)));
    courier_wake(c);
    return s;
}

static enum status open_parts(struct courier *c, char err[static 256])
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/ledger.db", c->daemon->conf->state_dir);
    c->poster = http_poster_new();
    if (!c->poster)
        return STATUS_NO_MEMORY;
    enum status s = db_open(path, DB_READER, &c->db, err);
    if (s)
        return s;
    db_deadline(c->db, READ_DEADLINE_MS);
    if (pthread_create(&c->thread, NULL, courier_main, c) == 0)
        return STATUS_OK;
    snprintf(err, 256, "the courier's thread cannot be started");
    return STATUS_NO_MEMORY;
}

enum status courier_open(struct daemon *d, struct courier **ret, char err[static 256])
{
    struct courier *c = calloc(1, sizeof *c);
    snprintf(err, 256, "there is no memory for the courier");
    if (!c)
        return STATUS_NO_MEMORY;
    c->daemon = d;
    enum status s = open_parts(c, err);
    c->stopped = s != STATUS_OK;
    if (!s)
        s = courier_configure(c, d->conf->catalog);
    if (s) {
        courier_stop(c);
        courier_free(c);
        return s;
    }
    *ret = c;
    return STATUS_OK;
}

void courier_stop(struct courier *c)
{
    if (!c || c->stopped)
        return;
    c->stopped = true;
    atomic_store(&c->stop, true);
    courier_wake(c);
    pthread_join(c->thread, NULL);
    db_close(c->db); /* before the ledger's: the last connection leaves no WAL behind */
    c->db = NULL;
}

void courier_free(struct courier *c)
{
    if (!c)
        return;
    assert(c->stopped);
    catalog_unref(atomic_load(&c->next));
    catalog_unref(c->wanted);
    if (c->db)
        db_close(c->db);
    http_poster_free(c->poster);
    free(c);
}
