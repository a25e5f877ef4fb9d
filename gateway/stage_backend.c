/* gateway/stage_backend.c -- the model works.
 *
 * A call that certainly never began may be tried on another backend.  So may, once
 * and where the operator allows it, one whose backend died before any byte of an
 * answer.  After the first byte, never. */
#include "gateway/choose.h"
#include "gateway/desk.h"
#include "gateway/kind.h"
#include "gateway/order_body.h"
#include "gateway/request.h"
#include "gateway/uptake.h"
#include <stdio.h>

/* No more of this answer is wanted. */
static void refuse(struct request *r, enum status why)
{
    r->work.refused = why;
    if (!r->work.cancelled) {
        r->work.cancelled = true;
        r->work.backend->driver->cancel(r->work.call);
    }
}

static void on_data(void *arg, const struct backend_data *d)
{
    struct request *r = arg;
    int64_t now = request_now_ns(r);
    if (!r->work.first_byte_ns)
        r->work.first_byte_ns = now;
    r->work.last_event_ns = now;
    if (d->so_far)
        r->work.so_far = *d->so_far;
    enum status s = r->work.refused ? STATUS_OK : uptake_data(r, d);
    if (s)
        refuse(r, s);
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct request *r = arg;
    struct health *health = &desk_of(r->work.backend)->health;
    health_end(health, r->work.health_call, end->health, request_now_ns(r) / 1000000, true);
    r->work.end = *end;
    r->work.ended = true;
    r->work.call = NULL;
    request_drained(r);
    request_resume(r);
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What remains of the request's time; a client's own patience shortens it. */
static uint64_t time_left_ms(const struct request *r)
{
    uint64_t allowed = r->snapshot->conf->request_timeout_ms;
    uint64_t spent = (uint64_t)(request_now_ns(r) - r->started_ns) / 1000000;
    if (r->in.timeout_ms > 0)
        allowed = lesser(allowed, (uint64_t)r->in.timeout_ms);
    return allowed > spent ? allowed - spent : 0;
}

static enum status begin(struct request *r)
{
    static const struct backend_events events = { on_data, on_end };
    struct work *w = &r->work;
    const struct conf *conf = r->snapshot->conf;
    const struct catalog_backend *b = w->backend->conf;
    uint64_t left = time_left_ms(r);
    if (left == 0)
        return STATUS_DEADLINE;
    enum status s = order_body(r);
    if (s != STATUS_OK)
        return s;
    w->ended = w->cancelled = w->paused = false;
    w->refused = STATUS_OK;
    w->order = (struct backend_order){
        .rid = r->rid,
        .capability = r->target.row->capability,
        .model = w->route->model,
        .public_model = r->model->id,
        .stream = r->ask.stream,
        .any_format = kind_of(r->target.row->capability)->any_format,
        .format = w->format,
        .body = w->body,
        .answer_bytes_max = conf->answer_bytes_max,
        .max_out = r->bound.output_tokens_max,
        .first_byte_timeout_ms =
            lesser(left, b->first_byte_timeout_ms ? b->first_byte_timeout_ms
                                                  : conf->first_byte_timeout_ms),
        .chunk_timeout_ms =
            lesser(left, b->chunk_timeout_ms ? b->chunk_timeout_ms : conf->chunk_timeout_ms),
        .total_timeout_ms = left,
    };
    s = w->backend->driver->start(w->backend, &w->order, &events, r, &w->call);
    if (s == STATUS_OK)
        w->health_call = health_begin(&desk_of(w->backend)->health, request_now_ns(r) / 1000000);
    return s;
}

/* Until one takes the call.  NO_BACKEND and OVERLOADED mean that nothing began. */
static enum verdict begin_somewhere(struct request *r)
{
    for (;;) {
        enum status s = begin(r);
        if (s == STATUS_OK)
            return WAIT;
        if (s != STATUS_NO_BACKEND && s != STATUS_OVERLOADED)
            return request_fail(r, s, NULL, NULL);
        if (choose_backend(r) != STATUS_OK) {
            r->answer.retry_after_ms = 1000;
            return request_fail(r, s, "model", NULL);
        }
    }
}

/* Work that was lost is run again once: a request that kills its backend shall not kill them all. */
static bool is_repeatable(const struct work *w)
{
    return w->end.unanswered && w->backend->conf->repeat_unanswered && !w->repeated;
}

static bool may_try_again(struct request *r)
{
    struct work *w = &r->work;
    bool repeats = !w->end.untouched;
    if (w->delivered || r->gone || ++w->attempts >= REQUEST_ATTEMPTS_MAX)
        return false;
    if ((repeats && !is_repeatable(w)) || choose_backend(r) != STATUS_OK)
        return false;
    if (repeats) {
        w->repeated = true;
        COUNT(&r->loop->counters, repeats);
    }
    return true;
}

/* Its answer could not be taken.  In a stream that has begun the client has had a part of it. */
static enum verdict refused(struct request *r)
{
    enum status why = r->work.refused;
    COUNT(&r->loop->counters, backend_failures);
    if (why == STATUS_BACKEND_GARBAGE && !r->ask.stream)
        return request_fail(r, why, NULL, "the answer is larger than answer_bytes_max");
    return request_fail(r, r->work.delivered ? STATUS_BACKEND_CUT : why, NULL, NULL);
}

static enum verdict complete(struct request *r)
{
    enum status s = uptake_end(r);
    if (s == STATUS_OK)
        return NEXT;
    COUNT(&r->loop->counters, backend_failures);
    return request_fail(r, s, NULL, NULL);
}

static enum verdict failed(struct request *r)
{
    const struct backend_end *end = &r->work.end;
    COUNT(&r->loop->counters, backend_failures);
    if (end->retry_after_ms)
        r->answer.retry_after_ms = end->retry_after_ms;
    return request_fail(r, end->status, end->param, *end->message ? "%s" : NULL, end->message);
}

enum verdict stage_backend(struct request *r)
{
    struct work *w = &r->work;
    if (w->call)
        return WAIT;
    if (!w->ended)
        return r->gone ? request_fail(r, STATUS_CLIENT_GONE, NULL, NULL) : begin_somewhere(r);
    if (r->gone)
        return request_fail(r, STATUS_CLIENT_GONE, NULL, NULL);
    if (w->refused)
        return refused(r);
    if (w->end.status == STATUS_OK)
        return complete(r);
    if (may_try_again(r)) {
        COUNT(&r->loop->counters, failovers);
        w->ended = false;
        return begin_somewhere(r);
    }
    return failed(r);
}
