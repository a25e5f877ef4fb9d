/* gateway/status_report.c -- see status_report.h. */
#include "gateway/status_report.h"
#include "backends/backend.h"
#include "gateway/desk.h"
#include "gateway/loop.h"
#include <stdlib.h>

struct question {
    struct loop_message message;
    uv_sem_t answered;
    json_t *backends; /* array; objects are added to */
    size_t models_down;
};

static void add_int(json_t *object, const char *key, uint64_t more)
{
    json_int_t now = json_integer_value(json_object_get(object, key));
    json_object_set_new(object, key, json_integer(now + (json_int_t)more));
}

/* The first loop that has something to say. */
static void add_text(json_t *object, const char *key, const char *text)
{
    const char *now = json_string_value(json_object_get(object, key));
    if (!now || !*now)
        json_object_set_new(object, key, json_string(text ? text : ""));
}

/* The members in the order in which people read them. */
static json_t *object_for(json_t *list, const struct catalog_backend *conf)
{
    size_t i;
    json_t *b;
    json_array_foreach (list, i, b)
        if (strcmp(json_string_value(json_object_get(b, "name")), conf->name) == 0)
            return b;
    b = json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "name", conf->name, "state", "",
                  "transport", transport_name(conf->transport), "loops", 0, "up", 0, "running", 0,
                  "queue", 0, "ttft_ms", 0, "started", 0, "failed", 0, "ejections", 0);
    json_object_set_new(b, "trouble", json_string(""));
    json_object_set_new(b, "address", json_string(conf->address));
    json_array_append_new(list, b);
    return b;
}

static void at_least(json_t *object, const char *key, int64_t value)
{
    if (value > json_integer_value(json_object_get(object, key)) || !json_object_get(object, key))
        json_object_set_new(object, key, json_integer(value));
}

static int64_t left_ms(int64_t until_ms, int64_t now_ms)
{
    return until_ms > now_ms ? until_ms - now_ms : 0;
}

/* What all loops together know of it: once. */
static void add_standing(json_t *o, const struct standing *st, int64_t now_ms)
{
    json_object_set_new(o, "queue", json_integer(atomic_load(&st->waiting)));
    json_object_set_new(o, "word", json_string(word_name(atomic_load(&st->word))));
    json_object_set_new(o, "limited_for_ms",
                        json_integer(left_ms(atomic_load(&st->rest_until_ms), now_ms)));
}

static void add_health(json_t *o, const struct desk_stats *s, int64_t now_ms)
{
    int64_t until = atomic_load_explicit(&s->ejected_until_ms, memory_order_relaxed);
    add_int(o, "ejected", until != 0);
    at_least(o, "ejected_for_ms", left_ms(until, now_ms));
    at_least(o, "failures_in_a_row",
             atomic_load_explicit(&s->failures_in_a_row, memory_order_relaxed));
    at_least(o, "ttft_ms",
             (int64_t)(atomic_load_explicit(&s->ttft_ns, memory_order_relaxed) / 1000000));
}

static void add_backend(json_t *list, const struct backend *b, int64_t now_ms)
{
    json_t *o = object_for(list, b->conf);
    const struct desk *desk = desk_of(b);
#define ADD(from, field) \
    add_int(o, #field, atomic_load_explicit(&(from)->field, memory_order_relaxed))
    add_int(o, "loops", 1);
    ADD(&b->stats, up);
    ADD(&b->stats, suspect);
    ADD(&b->stats, running);
    ADD(&b->stats, started);
    ADD(&b->stats, ok);
    ADD(&b->stats, failed);
    ADD(&b->stats, cancelled);
    ADD(&b->stats, protocol_errors);
    ADD(&b->stats, connects);
    ADD(&desk->stats, ejections);
    ADD(&desk->stats, affinity_hits);
    ADD(&desk->stats, affinity_misses);
#undef ADD
    at_least(
        o, "used_up_for_ms",
        left_ms(atomic_load_explicit(&b->stats.limited_until_ms, memory_order_relaxed), now_ms));
    add_health(o, &desk->stats, now_ms);
    add_standing(o, desk->standing, now_ms);
    add_text(o, "worker", b->worker);
    add_text(o, "trouble", b->trouble);
}

static bool has(json_t *b, const char *key)
{
    return json_integer_value(json_object_get(b, key)) > 0;
}

/* One word for it, the gravest first. */
static const char *state_of(json_t *b)
{
    const char *word = json_string_value(json_object_get(b, "word"));
    if (strcmp(word, word_name(WORD_DISABLED)) == 0)
        return has(b, "running") ? "disabling" : "disabled";
    if (strcmp(word, word_name(WORD_DRAINED)) == 0)
        return has(b, "running") ? "draining" : "drained";
    if (!has(b, "up"))
        return has(b, "suspect") ? "suspect" : "down";
    if (has(b, "ejected"))
        return "ejected";
    return has(b, "limited_for_ms") ? "limited" : "up";
}

static void add_states(json_t *backends)
{
    size_t i;
    json_t *b;
    json_array_foreach (backends, i, b)
        json_object_set_new(b, "state", json_string(state_of(b)));
}

static void answer(struct loop *l, struct loop_message *m)
{
    struct question *q = (struct question *)m;
    const struct snapshot *s = l->snapshot;
    int64_t now_ms = loop_now_ns(l) / 1000000;
    for (size_t i = 0; s && i < s->catalog->backend_count; i++)
        if (s->backends[i])
            add_backend(q->backends, s->backends[i], now_ms);
    size_t down = s ? coverage_models_down(l) : 0;
    q->models_down = down > q->models_down ? down : q->models_down;
    uv_sem_post(&q->answered);
}

json_t *status_backends(struct daemon *d, size_t *ret_models_down)
{
    *ret_models_down = 0;
    struct question q = { .message.run = answer, .backends = json_array() };
    if (!q.backends || uv_sem_init(&q.answered, 0) != 0)
        return q.backends;
    for (unsigned i = 0; i < d->loop_count; i++) {
        if (!d->loops[i].started)
            continue;
        loop_post(&d->loops[i], &q.message);
        uv_sem_wait(&q.answered); /* one after the other: the array has one writer at a time */
    }
    uv_sem_destroy(&q.answered);
    add_states(q.backends);
    *ret_models_down = q.models_down;
    return q.backends;
}

static json_t *ledger_status(struct daemon *d)
{
    const struct ledger_stats *s = ledger_stats(d->ledger);
#define READ(field) (json_int_t) atomic_load_explicit(&s->field, memory_order_relaxed)
    return json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "healthy", ledger_healthy(d->ledger),
                     "clock_behind_ms", (json_int_t)ledger_clock_behind_us(d->ledger) / 1000,
                     "holds", READ(holds), "settles", READ(settles), "refused", READ(refused),
                     "commits", READ(commits), "recovered", READ(recovered), "wal_bytes",
                     READ(wal_bytes));
#undef READ
}

static json_t *loops_status(struct daemon *d)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < d->loop_count; i++)
        json_array_append_new(
            list, json_pack("{s:i,s:I,s:I}", "loop", i, "connections",
                            (json_int_t)atomic_load(&d->loops[i].connections), "requests",
                            (json_int_t)atomic_load(&d->loops[i].counters.requests)));
    return list;
}

json_t *daemon_status(struct daemon *d)
{
    int64_t up_s = (d->env->wall_us(d->env->arg) - d->started_us) / 1000000;
    size_t models_down;
    json_t *backends = status_backends(d, &models_down);
    return json_pack("{s:s,s:b,s:b,s:I,s:I,s:o,s:o,s:o}", "version", MAAS_VERSION, "ready",
                     (int)atomic_load(&d->ready), "draining", (int)atomic_load(&d->draining),
                     "uptime_seconds", (json_int_t)up_s, "models_without_backend",
                     (json_int_t)models_down, "ledger", ledger_status(d), "loops", loops_status(d),
                     "backends", backends);
}
