/* gateway/request.c -- birth, death and departure of a request. */
#include "gateway/request.h"
#include "gateway/answer_room.h"
#include "base/digest.h"
#include "base/log.h"
#include "gateway/checkpoint.h"
#include "gateway/desk.h"
#include "gateway/direct.h"
#include "gateway/http.h"
#include "gateway/idempotency.h"
#include "gateway/intake.h"
#include "gateway/recount.h"
#include "gateway/pricing.h"
#include "gateway/stream.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int64_t request_now_ns(const struct request *r)
{
    return loop_now_ns(r->loop);
}

uint64_t request_left_ms(const struct request *r)
{
    uint64_t allowed = r->snapshot->conf->request_timeout_ms;
    uint64_t spent = (uint64_t)(request_now_ns(r) - r->started_ns) / 1000000;
    if (r->in.timeout_ms > 0 && r->in.timeout_ms < allowed)
        allowed = r->in.timeout_ms;
    return allowed > spent ? allowed - spent : 0;
}

static void link_request(struct loop *l, struct request *r)
{
    r->next = l->requests;
    if (l->requests)
        l->requests->prev = r;
    l->requests = r;
    l->request_count++;
}

static void unlink_request(struct loop *l, struct request *r)
{
    *(r->prev ? &r->prev->next : &l->requests) = r->next;
    if (r->next)
        r->next->prev = r->prev;
    l->request_count--;
}

struct request *request_new(struct loop *l, struct conn *c, const char *raw_target)
{
    const struct env *env = l->daemon->env;
    struct arena *a = arena_new(l->snapshot->conf->request_memory_max);
    struct request *r = a ? arena_room(a, sizeof *r) : NULL;
    char *target = r ? arena_strdup(a, raw_target) : NULL;
    if (!target) {
        arena_free(a);
        return NULL;
    }
    memset(r, 0, offsetof(struct request, ledger));
    r->magic = REQUEST_MAGIC;
    r->arena = a;
    r->loop = l;
    r->conn = c;
    r->snapshot = l->snapshot;
    snapshot_ref(r->snapshot);
    r->rid = rid_next(&l->rids, env);
    rid_text(r->rid, r->rid_text);
    r->started_ns = loop_now_ns(l);
    r->accepted_us = env->wall_us(env->arg);
    r->catalog = pricing_list_at(r->snapshot->generation->pricing, r->accepted_us);
    r->in.target = (struct span){ target, strlen(target) };
    r->answer.retry_after_ms = -1;
    r->in.body_max = r->snapshot->conf->body_bytes_max;
    buf_init(&r->answer.body, r->snapshot->conf->answer_bytes_max);
    delivery_init(&r->work.delivery);
    link_request(l, r);
    COUNT(&l->counters, requests);
    return r;
}

static void request_free(struct request *r)
{
    struct loop *l = r->loop;
    assert(r->money != MONEY_HELD && !r->grant.held && !r->work.call);
    assert(!r->work.seat.held && !r->work.waits);
    unlink_request(l, r);
    intake_release(r);
    buf_free(&r->answer.body);
    answer_room_release(r);
    delivery_free(&r->work.delivery);
    if (r->idem)
        idempotency_free(r);
    recount_free(r->work.recount);
    free(r->work.body_memory);
    snapshot_unref(l, r->snapshot);
    r->magic = 0;
    arena_free(r->arena);
}

void request_ended(struct request *r)
{
    assert(r->state == S_DONE);
    if (!r->conn)
        request_free(r);
}

void request_detach(struct request *r)
{
    assert(r->magic == REQUEST_MAGIC && !r->running);
    r->conn = NULL;
    r->mhd = NULL;
    r->answer.suspended = false;
    direct_close(r);
    if (r->state == S_DONE)
        request_free(r);
    else
        request_gone(r);
}

/* Whether nobody else will wake the request: then its leaving must. */
static bool waits_for_client(const struct request *r)
{
    return !r->running && (r->state <= S_LIMIT || r->state == S_ANSWER);
}

/* A backend that charges to the end anyway may go on, to tell us what we owe it: so many calls of
 * it at once, each for so long, and not past the end of the daemon's own drain. */
static bool may_drain(struct request *r)
{
    struct work *w = &r->work;
    const struct catalog_backend *b = w->backend->conf;
    int64_t now = request_now_ns(r);
    if (b->on_disconnect != DISCONNECT_DRAIN ||
        (r->loop->stopping && now > r->loop->drain_deadline_ns))
        return false;
    if (w->drain_until_ns)
        return now < w->drain_until_ns;
    _Atomic uint32_t *draining = &desk_of(w->backend)->standing->draining;
    if (atomic_fetch_add_explicit(draining, 1, memory_order_relaxed) >= b->drain_calls_max) {
        atomic_fetch_sub_explicit(draining, 1, memory_order_relaxed);
        return false;
    }
    w->drain_until_ns = now + (int64_t)b->drain_timeout_ms * 1000000;
    COUNT(&r->loop->counters, drained);
    return true;
}

void request_drained(struct request *r)
{
    if (r->work.drain_until_ns)
        atomic_fetch_sub_explicit(&desk_of(r->work.backend)->standing->draining, 1,
                                  memory_order_relaxed);
    r->work.drain_until_ns = 0;
}

void request_tick(struct request *r)
{
    if (r->work.drain_until_ns)
        request_gone(r); /* once more: its time may be over */
    else
        stream_tick(r);
    if (r->answer.stream)
        checkpoint_tick(r);
}

void request_gone(struct request *r)
{
    bool known = r->gone;
    /* While its bill is written it is known what it says: that the client was there.  One that has
     * closed only its own half may still read. */
    r->gone = known || r->state != S_SETTLE;
    if (!known && r->state != S_DONE)
        COUNT(&r->loop->counters, client_gone);
    if (r->state == S_BACKEND && r->work.call && !r->work.cancelled && !may_drain(r)) {
        r->work.cancelled = true;
        r->work.backend->driver->cancel(r->work.call);
    } else if (waits_for_client(r) || (!r->running && wait_leave(r))) {
        request_resume(r);
    } else {
        stream_release(r); /* what still runs must not wait for a reader that left */
    }
}

void request_cut(struct request *r)
{
    if (r->conn)
        conn_cut(r->conn);
    direct_room(r); /* whoever waits for room learns that there will be none */
    request_gone(r);
}

enum verdict request_fail(struct request *r, enum status s, const char *param, const char *fmt, ...)
{
    r->status = s;
    snprintf(r->param, sizeof r->param, "%s", param ? param : "");
    r->message[0] = '\0';
    if (fmt) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(r->message, sizeof r->message, fmt, args);
        va_end(args);
    }
    return FAIL;
}

enum verdict request_no_model(struct request *r, struct span name)
{
    int len = name.len > 120 ? 120 : (int)name.len;
    if (r->target.row->errors == ERRORS_OIP) /* Triton's sentence */
        return request_fail(r, STATUS_MODEL_NOT_FOUND, "model",
                            "Request for unknown model: '%.*s' is not found", len, name.at);
    return request_fail(r, STATUS_MODEL_NOT_FOUND, "model",
                        "there is no model '%.*s'%s; GET /v1/models lists what there is", len,
                        name.at, r->target.scope.whole ? "" : " under this path");
}
