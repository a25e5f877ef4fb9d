/* gateway/probe.c -- see probe.h.
 *
 * The job goes to a loop as a message, waits there a moment for a backend that is
 * just being connected, makes its call and goes back when the timer is closed.
 */
#include "gateway/probe_parts.h"
#include <stddef.h>

enum {
    TICK_MS = 50,
    WAIT_UP_MS = 3000, /* longer than a worker's longest back-off */
    ANSWER_BYTES_MAX = 64 << 20,
};

static int64_t now_ms(const struct probe *p)
{
    return loop_now_ns(p->loop) / 1000000;
}

/* ---- the end ---- */

static void on_closed(uv_handle_t *handle)
{
    struct probe *p = handle->data;
    struct admin_job *job = p->job;
    snapshot_unref(p->loop, p->snapshot);
    job->result = probe_report(p);
    buf_free(&p->body);
    generation_unref(p->generation);
    admin_job_end(job, job->result ? STATUS_OK : STATUS_NO_MEMORY);
}

static void finish(struct probe *p)
{
    if (!p->ended)
        uv_close((uv_handle_t *)&p->tick, on_closed);
    p->ended = true;
}

/* ---- the call ---- */

static void on_data(void *arg, const struct backend_data *d)
{
    struct probe *p = arg;
    if (!p->first_byte_ns)
        p->first_byte_ns = loop_now_ns(p->loop);
    p->bytes += d->len;
    p->events++;
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct probe *p = arg;
    desk_ended(p->backend, p->health_call, end, loop_now_ns(p->loop), true);
    p->call = NULL;
    p->end = *end;
    probe_judge(p);
    finish(p);
}

static void begin(struct probe *p)
{
    static const struct backend_events events = { on_data, on_end };
    p->order.rid = rid_next(&p->loop->rids, p->loop->daemon->env);
    p->order.trace = &p->trace;
    p->order.answer_bytes_max = ANSWER_BYTES_MAX;
    p->started_ns = loop_now_ns(p->loop);
    enum status s = p->backend->driver->start(p->backend, &p->order, &events, p, &p->call);
    if (s == STATUS_OK) {
        p->health_call = desk_began(p->backend, loop_now_ns(p->loop));
        return;
    }
    p->end = (struct backend_end){ .status = s };
    probe_judge(p);
    finish(p);
}

/* A backend that is just being connected is given a moment; a daemon that ends waits for nobody. */
static void on_tick(uv_timer_t *tick)
{
    struct probe *p = tick->data;
    bool draining = atomic_load(&p->loop->daemon->draining);
    if (p->call) {
        if (draining)
            p->backend->driver->cancel(p->call);
        return;
    }
    bool up = atomic_load_explicit(&p->backend->stats.up, memory_order_relaxed);
    p->trace = (struct trace){ .http_status = 0 };
    p->backend->driver->explain(p->backend, &p->trace);
    if (up)
        begin(p);
    else if (draining || now_ms(p) - p->begun_ms >= WAIT_UP_MS)
        finish(p);
}

static struct backend *find_backend(const struct snapshot *s, const struct probe *p)
{
    for (size_t i = 0; i < s->catalog->backend_count; i++)
        if (strcmp(s->catalog->backends[i].name, p->conf->name) == 0)
            return s->backends[i];
    return NULL;
}

static void begin_here(struct loop *l, struct loop_message *m)
{
    struct probe *p = (struct probe *)m;
    p->loop = l;
    p->snapshot = l->snapshot;
    snapshot_ref(p->snapshot);
    p->backend = find_backend(p->snapshot, p);
    p->begun_ms = now_ms(p);
    uv_timer_init(&l->uv, &p->tick);
    p->tick.data = p;
    if (p->backend) {
        uv_timer_start(&p->tick, on_tick, 0, TICK_MS);
    } else {
        trace_failed(&p->trace, TRACE_CONNECT, "look into the log for backend_not_opened",
                     "the backend could not be opened");
        finish(p);
    }
}

/* ---- the main thread ---- */

#define AT(field) offsetof(struct admin_args, field)
const struct json_spec probe_args[] = {
    { "name", WANT_TEXT, true, AT(name), 1, 64 },
    { "model", WANT_TEXT, false, AT(model), 1, 256 },
    { "stream", WANT_BOOL, false, AT(stream), 0, 0 },
    { "timeout_ms", WANT_INT, false, AT(timeout_ms), 1, PROBE_TIMEOUT_MS_MAX },
    { 0 },
};

enum status probe_run(struct admin_job *job, struct db *db, int64_t now_us)
{
    struct daemon *d = job->daemon;
    struct probe *p = arena_alloc(job->arena, sizeof *p);
    (void)db, (void)now_us;
    if (!p)
        return STATUS_NO_MEMORY;
    p->job = job;
    buf_init(&p->body, PROBE_BODY_BYTES_MAX);
    enum status s = probe_choose(p, daemon_catalog(d));
    if (s != STATUS_OK) {
        buf_free(&p->body);
        return s;
    }
    p->generation = d->generation;
    atomic_fetch_add_explicit(&p->generation->refs, 1, memory_order_relaxed);
    p->message.run = begin_here;
    loop_post(&d->loops[0], &p->message);
    return STATUS_OK;
}
