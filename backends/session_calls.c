/* backends/session_calls.c -- calls: slots, time-outs, cancelling, and their one end.
 *
 * A slot is free, or belongs to one generation of one call.  After a cancel the
 * caller is told soon, but the slot stays a zombie until the worker's FINAL, so
 * that a late answer can never reach another request.
 */
#include "backends/session.h"
#include <stdlib.h>

/* Only the loop thread writes, so a plain read and a plain write do; metrics read at any time. */
void session_count(_Atomic uint64_t *n, uint64_t more)
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

void session_count_capacity(struct session *s)
{
    atomic_store_explicit(&s->base.stats.capacity, s->slots - s->zombies, memory_order_relaxed);
}

static void count_running(struct session *s, int more)
{
    uint32_t now = atomic_load_explicit(&s->base.stats.running, memory_order_relaxed);
    atomic_store_explicit(&s->base.stats.running, more > 0 ? now + 1 : now - 1,
                          memory_order_relaxed);
}

static uint64_t read_clock(struct session *s)
{
    s->now_ms = (uint64_t)(s->env->mono_ns(s->env->arg) / 1000000);
    return s->now_ms;
}

void session_calls_ready(struct session *s)
{
    s->free_calls = NULL;
    for (uint32_t i = s->slots; i-- > 0;) {
        assert(s->calls[i].state == CALL_FREE);
        s->calls[i].next_free = s->free_calls;
        s->free_calls = &s->calls[i];
    }
    s->up_ms = read_clock(s);
}

static void on_tick(uv_timer_t *t)
{
    session_calls_clock(t->data);
}

bool session_has_format(const struct backend_order *o)
{
    return o->format.content_type || o->format.tensors;
}

static struct backend_call *take_slot(struct session *s)
{
    struct backend_call *c = s->free_calls;
    if (!c)
        return NULL;
    s->free_calls = c->next_free;
    if (s->in_use++ == 0) {
        s->ping_ms = s->hope_ms = s->now_ms;
        uv_timer_start(&s->tick, on_tick, SESSION_TICK_MS, SESSION_TICK_MS);
    }
    c->gen++;
    return c;
}

enum status session_start(struct backend *b, const struct backend_order *order,
                          const struct backend_events *events, void *arg, struct backend_call **ret)
{
    struct session *s = (struct session *)b;
    if (s->state != SESSION_UP || s->suspect)
        return STATUS_NO_BACKEND;
    if (session_has_format(order) && s->version < 2)
        return STATUS_NO_BACKEND; /* this worker's protocol has no words for it */
    if (strlen(order->model) > SESSION_NAME_BYTES_MAX ||
        strlen(order->public_model) > SESSION_NAME_BYTES_MAX)
        return STATUS_BAD_REQUEST;
    read_clock(s);
    struct backend_call *c = take_slot(s);
    if (!c)
        return STATUS_OVERLOADED;
    c->state = CALL_WAITS;
    c->stream = order->stream;
    c->paused = c->data_seen = c->cancel_due = c->silent = c->format_known = false;
    c->events = events;
    c->arg = arg;
    c->order = *order;
    c->body_sent = 0;
    c->started_ms = c->heard_ms = s->now_ms;
    c->credit = WIRE_CREDIT_BYTES;
    c->owed = 0;
    c->count = (struct wire_data){ 0 };
    c->so_far = (struct usage){ .present = 0 };
    session_count(&s->base.stats.started, 1);
    count_running(s, 1);
    session_queue(c);
    *ret = c;
    return STATUS_OK;
}

/* ---- ending ---- */

void session_call_free(struct backend_call *c)
{
    struct session *s = c->session;
    if (c->state == CALL_ZOMBIE) {
        s->zombies--;
        session_count_capacity(s);
    }
    c->state = CALL_FREE;
    c->next_free = s->free_calls;
    s->free_calls = c;
    s->in_use--;
}

static void count_end(struct session *s, enum status status)
{
    struct backend_stats *t = &s->base.stats;
    count_running(s, -1);
    session_count(status == STATUS_OK            ? &t->ok
                  : status == STATUS_CLIENT_GONE ? &t->cancelled
                                                 : &t->failed,
                  1);
}

/* The one place that calls on_end.  `after` is CALL_FREE or CALL_ZOMBIE. */
void session_call_end(struct backend_call *c, struct backend_end *end, enum call_state after)
{
    struct session *s = c->session;
    const struct backend_events *events = c->events;
    void *arg = c->arg;
    assert(events && (after == CALL_FREE || after == CALL_ZOMBIE));
    free(c->part);
    c->part = NULL;
    c->part_len = c->part_size = 0;
    c->events = NULL;
    c->arg = NULL;
    c->order = (struct backend_order){ 0 };
    if (after == CALL_FREE) {
        session_call_free(c);
    } else {
        c->state = CALL_ZOMBIE;
        s->zombies++;
        session_count_capacity(s);
    }
    count_end(s, end->status);
    events->on_end(arg, end);
}

/* Tells the worker to stop, and ends the call for its caller now. */
void session_call_abort(struct backend_call *c, enum status status)
{
    struct backend_end end = { .status = status,
                               .usage = c->so_far,
                               .untouched = c->state == CALL_WAITS,
                               .health = c->silent ? HEALTH_BAD : HEALTH_UNKNOWN };
    if (c->state == CALL_WAITS) {
        session_call_end(c, &end, CALL_FREE);
        return;
    }
    if (c->state == CALL_RUNS) {
        c->cancel_due = true;
        session_queue(c);
    }
    session_call_end(c, &end, CALL_ZOMBIE);
}

void session_cancel(struct backend_call *c)
{
    struct session *s = c->session;
    if (c->state == CALL_WAITS) {
        c->state = CALL_ENDS;
        s->ending++;
    } else if (c->state == CALL_RUNS) {
        c->state = CALL_CANCELLED;
        c->cancelled_ms = read_clock(s);
        c->cancel_due = true;
        session_queue(c);
    }
    session_touch(s);
}

/* Calls that were cancelled before the worker heard of them. */
void session_calls_end_waiting(struct session *s)
{
    for (uint32_t i = 0; s->ending && i < s->call_count; i++) {
        struct backend_call *c = &s->calls[i];
        if (c->state != CALL_ENDS)
            continue;
        s->ending--;
        struct backend_end end = { .status = STATUS_CLIENT_GONE, .untouched = true };
        session_call_end(c, &end, CALL_FREE);
    }
}

static enum status lost_status(const struct backend_call *c, bool closing)
{
    if (closing || c->state == CALL_CANCELLED || c->state == CALL_ENDS)
        return STATUS_CLIENT_GONE;
    return c->data_seen ? STATUS_BACKEND_CUT : STATUS_BACKEND_FAILED;
}

static struct backend_end lost_end(const struct backend_call *c, bool closing)
{
    bool unsent = c->state == CALL_WAITS || c->state == CALL_ENDS;
    return (struct backend_end){
        .status = lost_status(c, closing),
        .usage = c->so_far,
        .untouched = unsent,
        .unanswered = !closing && !c->data_seen,
        .health = closing || unsent ? HEALTH_UNKNOWN : HEALTH_BAD,
    };
}

/* The connection is gone: nothing can come any more, so every slot is free at once.  However many
 * calls it carried, it failed once. */
void session_calls_end_all(struct session *s, bool closing)
{
    bool told = false;
    s->ending = 0;
    s->out_first = s->out_last = NULL;
    for (uint32_t i = 0; i < s->call_count; i++) {
        struct backend_call *c = &s->calls[i];
        c->queued = false;
        if (c->state == CALL_FREE)
            continue;
        if (c->state == CALL_ZOMBIE) {
            session_call_free(c);
            continue;
        }
        struct backend_end end = lost_end(c, closing);
        if (told)
            end.health = HEALTH_UNKNOWN;
        told = told || end.health == HEALTH_BAD;
        session_call_end(c, &end, CALL_FREE);
    }
}

void session_pause(struct backend_call *c, bool paused)
{
    c->paused = paused;
    if (paused)
        return;
    c->heard_ms = c->session->now_ms; /* its silence counts from here */
    session_owe(c, 0);
}

/* ---- clocks ---- */

/* All the time that the caller gives is not the worker's fault; its silence is. */
static bool is_silent(const struct backend_call *c, uint64_t now)
{
    const struct backend_order *o = &c->order;
    /* A paused stream is silent because its reader is slow, not the worker. */
    if (c->data_seen)
        return !c->paused && now - c->heard_ms >= o->chunk_timeout_ms;
    return now - c->started_ms >= o->first_byte_timeout_ms;
}

static void clock_running(struct backend_call *c, uint64_t now)
{
    bool late = now - c->started_ms >= c->order.total_timeout_ms;
    c->silent = !late && is_silent(c, now);
    if (late || c->silent)
        session_call_abort(c, STATUS_DEADLINE);
}

static void clock_call(struct backend_call *c, uint64_t now)
{
    if (c->state == CALL_CANCELLED && now - c->cancelled_ms >= SESSION_CANCEL_GRACE_MS)
        session_call_abort(c, STATUS_CLIENT_GONE);
    else if (c->state == CALL_WAITS || c->state == CALL_RUNS)
        clock_running(c, now);
}

/* One PING at a time, so that a stopped worker does not gather them. */
static void clock_ping(struct session *s)
{
    if (!s->ping_out && s->now_ms - s->ping_ms >= SESSION_PING_MS) {
        s->ping_out = s->ping_due = true;
        s->ping_gen++;
        s->ping_ms = s->now_ms;
        session_touch(s);
    } else if (s->ping_out && !s->suspect && s->now_ms - s->ping_ms >= SESSION_SUSPECT_MS) {
        s->suspect = true;
        atomic_store_explicit(&s->base.stats.up, false, memory_order_relaxed);
        atomic_store_explicit(&s->base.stats.suspect, true, memory_order_relaxed);
    }
}

/* A worker that keeps every slot and ends none, or that has been silent while nobody waits for it
 * any more, does not recover by waiting: behind it may be a new one that nobody has called yet. */
static void give_up_the_hopeless(struct session *s)
{
    bool all_dead = s->zombies == s->slots, nobody_waits = s->zombies == s->in_use;
    if (!nobody_waits || !(s->suspect || all_dead))
        s->hope_ms = s->now_ms;
    else if (s->now_ms - s->hope_ms >= SESSION_HOPELESS_MS && s->suspect)
        session_lost(s, "the worker does not answer");
    else if (s->now_ms - s->hope_ms >= SESSION_HOPELESS_MS)
        session_broken(s, "the worker ended none of its cancelled calls");
}

void session_calls_clock(struct session *s)
{
    uint64_t now = read_clock(s);
    uint32_t left = s->in_use; /* behind the last of them may be thousands of free slots */
    for (uint32_t i = 0; left > 0 && i < s->slots && s->state == SESSION_UP; i++) {
        left -= s->calls[i].state != CALL_FREE;
        clock_call(&s->calls[i], now);
    }
    if (s->state != SESSION_UP)
        return;
    clock_ping(s);
    give_up_the_hopeless(s);
    if (s->state == SESSION_UP && !s->in_use && !s->ping_out)
        uv_timer_stop(&s->tick);
}
