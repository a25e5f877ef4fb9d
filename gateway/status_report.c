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

static json_t *object_for(json_t *list, const struct catalog_backend *conf)
{
    size_t i;
    json_t *b;
    json_array_foreach (list, i, b)
        if (strcmp(json_string_value(json_object_get(b, "name")), conf->name) == 0)
            return b;
    b = json_pack("{s:s,s:s,s:s}", "name", conf->name, "transport", transport_name(conf->transport),
                  "address", conf->address);
    json_array_append_new(list, b);
    return b;
}

static void add_backend(json_t *list, const struct backend *b)
{
    json_t *o = object_for(list, b->conf);
    const struct desk *desk = desk_of(b);
#define ADD(field) add_int(o, #field, atomic_load_explicit(&b->stats.field, memory_order_relaxed))
    add_int(o, "loops", 1);
    ADD(up);
    ADD(running);
    ADD(started);
    ADD(ok);
    ADD(failed);
    ADD(cancelled);
    ADD(protocol_errors);
    ADD(connects);
#undef ADD
#define ADD(field) \
    add_int(o, #field, atomic_load_explicit(&desk->stats.field, memory_order_relaxed))
    ADD(ejections);
    ADD(affinity_hits);
    ADD(affinity_misses);
#undef ADD
    json_object_set_new(
        o, "queue",
        json_integer(atomic_load_explicit(&desk->standing->waiting, memory_order_relaxed)));
    add_text(o, "worker", b->worker);
    add_text(o, "trouble", b->trouble);
}

static void answer(struct loop *l, struct loop_message *m)
{
    struct question *q = (struct question *)m;
    const struct snapshot *s = l->snapshot;
    for (size_t i = 0; s && i < s->catalog->backend_count; i++)
        if (s->backends[i])
            add_backend(q->backends, s->backends[i]);
    uv_sem_post(&q->answered);
}

json_t *status_backends(struct daemon *d)
{
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
    return q.backends;
}

static json_t *ledger_status(struct daemon *d)
{
    const struct ledger_stats *s = ledger_stats(d->ledger);
#define READ(field) (json_int_t) atomic_load_explicit(&s->field, memory_order_relaxed)
    return json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:I}", "healthy", ledger_healthy(d->ledger), "holds",
                     READ(holds), "settles", READ(settles), "refused", READ(refused), "commits",
                     READ(commits), "recovered", READ(recovered), "wal_bytes", READ(wal_bytes));
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
    return json_pack("{s:s,s:b,s:b,s:I,s:o,s:o,s:o}", "version", MAAS_VERSION, "ready",
                     (int)atomic_load(&d->ready), "draining", (int)atomic_load(&d->draining),
                     "uptime_seconds", (json_int_t)up_s, "ledger", ledger_status(d), "loops",
                     loops_status(d), "backends", status_backends(d));
}
