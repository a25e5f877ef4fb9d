/* gateway/stage_backend.c -- the model works.
 *
 * A call that certainly never began may be tried on another backend.  So may, once
 * and where the operator allows it, one whose backend died before any byte of an
 * answer.  After the first byte, never. */
#include "gateway/answer_room.h"
#include "gateway/choose.h"
#include "gateway/cost.h"
#include "gateway/desk.h"
#include "gateway/hold_more.h"
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

static void note_first_byte(struct request *r, int64_t now_ns)
{
    r->work.first_byte_ns = now_ns;
    if (r->ask.stream)
        desk_first_byte(r->work.backend, now_ns - r->work.began_ns, r->in.body_len / 4, now_ns);
}

static void on_data(void *arg, const struct backend_data *d)
{
    struct request *r = arg;
    int64_t now = request_now_ns(r);
    if (!r->work.first_byte_ns)
        note_first_byte(r, now);
    r->work.last_event_ns = now;
    if (d->so_far)
        r->work.so_far = *d->so_far;
    enum status s = r->work.refused ? STATUS_OK : uptake_data(r, d);
    if (s)
        refuse(r, s);
}

/* For the backend's own limits: what is not known is as much as was thought. */
static int64_t tokens_of(const struct request *r, const struct backend_end *end)
{
    if (end->untouched)
        return 0;
    return end->usage.present ? (int64_t)usage_sum(&end->usage, METERS_TOKENS)
                              : r->work.likely_tokens;
}

static void retry_is_over(struct request *r)
{
    if (r->work.retries)
        r->loop->retries--;
    r->work.retries = false;
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct request *r = arg;
    struct work *w = &r->work;
    r->loop->calls--;
    retry_is_over(r);
    bool may_eject = end->health == HEALTH_BAD && choose_may_eject(r);
    int64_t now = request_now_ns(r);
    desk_ended(w->backend, w->health_call, end, now, may_eject);
    choose_leave(r, tokens_of(r, end), now);
    w->end = *end;
    w->phase = WORK_ENDED;
    w->call = NULL;
    request_drained(r);
    request_resume(r);
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static enum status begin(struct request *r)
{
    static const struct backend_events events = { on_data, on_end };
    struct work *w = &r->work;
    const struct conf *conf = r->snapshot->conf;
    const struct catalog_backend *b = w->backend->conf;
    uint64_t left = request_left_ms(r);
    if (left == 0)
        return STATUS_DEADLINE;
    enum status s = order_body(r);
    if (s != STATUS_OK)
        return s;
    w->cancelled = w->paused = false;
    w->refused = STATUS_OK;
    w->order = (struct backend_order){
        .rid = r->rid,
        .capability = r->target.row->capability,
        .model = w->route->model,
        .public_model = r->model->id,
        .stream = r->ask.stream,
        .any_format = kind_of(r->target.row->capability)->traits & KIND_ANY,
        .format = w->format,
        .body = w->body,
        .answer_bytes_max = conf->answer_bytes_max,
        .answers = &answers_allowance,
        .answers_bytes_max = conf->answers_bytes_max,
        .max_out = r->work.output_most,
        .first_byte_timeout_ms =
            lesser(left, b->first_byte_timeout_ms ? b->first_byte_timeout_ms
                                                  : conf->first_byte_timeout_ms),
        .chunk_timeout_ms =
            lesser(left, b->chunk_timeout_ms ? b->chunk_timeout_ms : conf->chunk_timeout_ms),
        .total_timeout_ms = left,
        .client_timeout_ms = r->in.timeout_ms ? left : 0,
        .hops = r->in.hops,
    };
    w->began_ns = request_now_ns(r);
    s = w->backend->driver->start(w->backend, &w->order, &events, r, &w->call);
    if (s != STATUS_OK)
        return s;
    w->phase = WORK_RUNS;
    w->health_call = desk_began(w->backend, w->began_ns);
    r->loop->calls++;
    return STATUS_OK;
}

static enum verdict failed(struct request *r)
{
    const struct backend_end *end = &r->work.end;
    COUNT(&r->loop->counters, backend_failures);
    if (end->retry_after_ms)
        r->answer.retry_after_ms = end->retry_after_ms;
    return request_fail(r, end->status, end->param, *end->message ? "%s" : NULL, end->message);
}

/* ---- seeking ---- */

/* An attempt that failed before tells more than that there is nobody else. */
static enum verdict nobody(struct request *r, enum status s, const char *why)
{
    if (r->work.attempts > 0)
        return failed(r);
    enum status problem = choose_problem(r, &r->answer.retry_after_ms);
    return request_fail(r, s == STATUS_NO_BACKEND ? problem : s, "model",
                        "the model '%s' cannot answer: %s", r->model->id, why);
}

static enum verdict wait_for_room(struct request *r)
{
    enum status s = wait_begin(r);
    if (s == STATUS_OK) {
        COUNT(&r->loop->counters, queued);
        return WAIT;
    }
    COUNT(&r->loop->counters, queue_refused);
    return nobody(r, s, "its backends are busy and their queues full");
}

static enum verdict waited_in_vain(struct request *r)
{
    COUNT(&r->loop->counters, queue_expired);
    if (request_left_ms(r) == 0)
        return request_fail(r, STATUS_DEADLINE, NULL, NULL);
    return nobody(r, STATUS_OVERLOADED, "none of its backends had room in time");
}

/* Until one takes the call.  NO_BACKEND and OVERLOADED mean that nothing began. */
static enum verdict begin_somewhere(struct request *r)
{
    for (;;) {
        enum status s = r->work.seat.held ? STATUS_OK : choose_backend(r);
        if (s == STATUS_OVERLOADED)
            return wait_for_room(r);
        if (s != STATUS_OK)
            return nobody(r, s, "none of its backends is available");
        s = begin(r);
        if (s == STATUS_OK)
            return WAIT;
        choose_leave(r, 0, request_now_ns(r));
        if (s != STATUS_NO_BACKEND && s != STATUS_OVERLOADED)
            return request_fail(r, s, NULL, NULL);
    }
}

/* After a wait, or not. */
static enum verdict seek(struct request *r)
{
    struct work *w = &r->work;
    enum wait_end end = w->wait_end;
    w->wait_end = WAIT_AGAIN;
    if (w->seat.held && (r->gone || !choose_holds(r)))
        choose_leave(r, 0, request_now_ns(r));
    if (r->gone)
        return request_fail(r, STATUS_CLIENT_GONE, NULL, NULL);
    if (end == WAIT_EXPIRED)
        return waited_in_vain(r);
    if (end == WAIT_EVICTED)
        return nobody(r, STATUS_OVERLOADED,
                      "its backends are busy and their queues full of others");
    return begin_somewhere(r);
}

/* ---- trying again ---- */

/* Work that was lost is run again once: a request that kills its backend shall not kill them all. */
static bool is_repeatable(const struct work *w)
{
    return w->end.unanswered && w->backend->conf->repeat_unanswered && !w->repeated;
}

/* What a dead backend did is done elsewhere whatever else goes on: it is work that was there
 * before.  A retry of what a backend refused comes on top, and only so many of them may. */
static bool is_affordable(struct request *r)
{
    if (r->work.end.unanswered || route_may_retry(r->loop->calls, r->loop->retries))
        return true;
    COUNT(&r->loop->counters, retries_refused);
    return false;
}

static bool may_try_again(struct request *r)
{
    struct work *w = &r->work;
    if (w->delivered || r->gone || ++w->attempts >= REQUEST_ATTEMPTS_MAX)
        return false;
    if (!w->end.untouched && !is_repeatable(w))
        return false;
    return is_affordable(r);
}

static enum verdict try_again(struct request *r)
{
    struct work *w = &r->work;
    cost_lost(r);
    COUNT(&r->loop->counters, failovers);
    if (!w->end.untouched) {
        w->repeated = true;
        COUNT(&r->loop->counters, repeats);
    }
    w->retries = !w->end.unanswered;
    r->loop->retries += w->retries;
    w->phase = WORK_SEEKS;
    return begin_somewhere(r);
}

/* ---- the end ---- */

/* The hold of a stream could not be made longer. */
static enum verdict stopped(struct request *r, enum status why)
{
    COUNT(&r->loop->counters, budget_cuts);
    if (why != STATUS_NO_QUOTA)
        return request_fail(r, why, NULL, NULL);
    return request_fail(r, why, NULL,
                        "the budget ended in the middle of the answer: it was stopped at %llu "
                        "output tokens of %llu",
                        (unsigned long long)r->bound.output_tokens_max,
                        (unsigned long long)r->work.output_most);
}

/* Its answer could not be taken.  In a stream that has begun the client has had a part of it. */
static enum verdict refused(struct request *r)
{
    enum status why = r->work.refused;
    if (hold_more_ended(r))
        return stopped(r, why);
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

static enum verdict ended(struct request *r)
{
    const struct work *w = &r->work;
    if (r->gone)
        return request_fail(r, STATUS_CLIENT_GONE, NULL, NULL);
    if (w->refused)
        return refused(r);
    if (w->end.status == STATUS_OK)
        return complete(r);
    return may_try_again(r) ? try_again(r) : failed(r);
}

static enum verdict step(struct request *r)
{
    switch (r->work.phase) {
    case WORK_SEEKS:
        return r->work.waits ? WAIT : seek(r);
    case WORK_RUNS:
        return WAIT;
    default:
        return ended(r);
    }
}

enum verdict stage_backend(struct request *r)
{
    enum verdict v = step(r);
    if (v != WAIT)
        retry_is_over(r);
    return v;
}
