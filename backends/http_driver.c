/* backends/http_driver.c -- the life of an HTTP backend and of a call on it.
 *
 * A call is started, runs in libcurl and ends once: by libcurl (http_reap) or by
 * us (stop: cancel, time-out, close).  Both ways meet in conclude(), the
 * only caller of on_end.  What callers ask for is noted on b->todo and done by
 * on_turn, so no callback ever comes from inside start, cancel or pause, and
 * libcurl is never entered from inside one of its own callbacks.
 */
#include "backends/http_driver.h"
#include "backends/http_parts.h"
#include "backends/http_verdict.h"
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

static struct http_backend *of(struct backend *b)
{
    assert(b->driver == &backend_http_driver);
    return (struct http_backend *)b;
}

int64_t http_now_ms(const struct http_backend *b)
{
    return b->env->mono_ns(b->env->arg) / 1000000;
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void http_refresh_up(struct http_backend *b)
{
    bool up = !b->closing && http_target_known(&b->target);
    atomic_store_explicit(&b->base.stats.up, up, memory_order_relaxed);
}

/* ---- what is to be done on the next turn ---- */

static void on_turn(uv_check_t *turn);

/* Before the poll.  Staying active keeps the poll from waiting. */
static void on_idle(uv_idle_t *idle)
{
    struct http_backend *b = idle->data;
    uv_check_start(&b->turn, on_turn);
}

void http_turn_soon(struct http_backend *b)
{
    uv_idle_start(&b->idle, on_idle);
}

void http_call_note(struct http_call *c)
{
    struct http_backend *b = c->backend;
    if (!c->on_todo) {
        TAILQ_INSERT_TAIL(&b->todo, c, todo);
        b->todo_count++;
        c->on_todo = true;
    }
    http_turn_soon(b);
}

static void unnote(struct http_call *c)
{
    if (!c->on_todo)
        return;
    TAILQ_REMOVE(&c->backend->todo, c, todo);
    c->backend->todo_count--;
    c->on_todo = false;
}

/* The call is over for this reason; on_end follows on the next turn. */
static void stop(struct http_call *c, enum status why)
{
    if (c->ended)
        return;
    c->ended = true;
    c->end = (struct backend_end){ .status = why,
                                   .untouched = !c->connected,
                                   .unanswered = !c->connected };
    http_call_note(c);
}

/* ---- the end of a call ---- */

static void recycle(struct http_call *c)
{
    struct http_backend *b = c->backend;
    if (c->order.answers)
        allowance_give_back(c->order.answers, &c->counted);
    if (c->order.trace) {
        http_call_free(c); /* its handle has options of its own */
        return;
    }
    if (c->body.room > HTTP_KEPT_BODY_BYTES)
        buf_free(&c->body);
    if (c->h2.kept.room)
        buf_free(&c->h2.kept); /* few readers are slow */
    if (c->framing.framer->room(&c->framing) > HTTP_KEPT_BODY_BYTES)
        c->framing.framer->clear(&c->framing);
    LIST_INSERT_HEAD(&b->pool, c, pool);
}

static void count_end(struct http_call *c)
{
    struct backend_stats *stats = &c->backend->base.stats;
    atomic_fetch_sub_explicit(&stats->running, 1, memory_order_relaxed);
    if (c->end.status == STATUS_OK)
        count(&stats->ok);
    else if (c->end.status == STATUS_CLIENT_GONE)
        count(&stats->cancelled);
    else
        count(&stats->failed);
    if (c->suspect_usage || c->end.status == STATUS_BACKEND_GARBAGE)
        count(&stats->protocol_errors);
}

/* c may be in use for another request before on_end returns, so it is not touched after that. */
static void conclude(struct http_call *c)
{
    struct http_backend *b = c->backend;
    http_trace_end(c);
    if (c->added)
        curl_multi_remove_handle(b->multi, c->easy);
    http_h2_leave(c);
    unnote(c);
    TAILQ_REMOVE(&b->running, c, running);
    c->end.usage = c->usage;
    count_end(c);
    c->end.health = http_verdict_health(c->end.status, c->silent);
    struct backend_end end = c->end;
    struct backend_events events = c->events;
    void *arg = c->arg;
    recycle(c);
    events.on_end(arg, &end);
}

static bool past(int64_t now, int64_t since, uint64_t timeout_ms)
{
    return now - since >= 0 && (uint64_t)(now - since) >= timeout_ms;
}

/* Upstream says itself that it was late.  It counts the time that it was told we have and may see
 * the end of it before our next tick does; earlier than that the lateness is its own. */
static bool is_late_alone(const struct http_call *c)
{
    int64_t soon = http_now_ms(c->backend) + HTTP_TICK_MS;
    return !past(soon, c->started_ms, c->order.total_timeout_ms);
}

/* What the operator is told; a lookup's trouble lasts longer than a call and is kept. */
static void note_trouble(struct http_call *c, CURLcode result)
{
    struct http_backend *b = c->backend;
    if (b->target.troubled)
        return;
    if (c->answered)
        backend_no_trouble(&b->base);
    else if (b->curl_error[0] ||
             !b->base.trouble[0]) /* of several that failed together the first knows */
        backend_trouble(&b->base, "%s",
                        b->curl_error[0] ? b->curl_error : curl_easy_strerror(result));
    b->curl_error[0] = '\0';
}

/* Nobody else gets the connection that said it.  Broken transfers libcurl ends itself. */
static void distrust(struct http_call *c, CURLcode result)
{
    if (!c->added)
        http_h2_doubt(c);
    else if (result == CURLE_OK)
        http_loop_discard(c);
}

void http_transfer_done(struct http_call *c, CURLcode result)
{
    c->result = result;
    note_trouble(c, result);
    if (c->ended)
        return; /* stopped meanwhile: its turn comes */
    bool complete = result == CURLE_OK || c->mode == HTTP_REFUSAL || c->done_seen;
    if (c->verdict == STATUS_OK && complete)
        http_answer_finish(c);
    else if (c->verdict != STATUS_OK)
        c->end.status = c->verdict;
    else
        http_verdict_broken(result, c->connected, c->answered, &c->end);
    if (c->ended)
        return; /* on_data cancelled it */
    if (c->end.status == STATUS_BACKEND_GARBAGE)
        distrust(c, result);
    c->silent = c->end.status == STATUS_DEADLINE && is_late_alone(c);
    c->ended = true;
    conclude(c);
}

void http_reap(struct http_backend *b)
{
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(b->multi, &left))) {
        void *call = NULL;
        CURLcode result = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
        if (call)
            http_transfer_done(call, result);
        else
            http_h2_dialled(b, m->easy_handle, result);
    }
}

/* ---- giving back ---- */

static void free_calls(struct http_backend *b)
{
    struct http_call *c;
    while ((c = LIST_FIRST(&b->pool))) {
        LIST_REMOVE(c, pool);
        http_call_free(c);
    }
}

static void free_backend(struct http_backend *b)
{
    curl_multi_cleanup(b->multi); /* NULL is fine */
    http_headers_free(b);
    http_urls_free(b);
    http_target_free(&b->target);
    free(b);
}

void http_release(struct http_backend *b)
{
    assert(b->pending > 0);
    if (--b->pending || !b->torn_down)
        return;
    void (*closed)(void *arg) = b->closed;
    void *arg = b->closed_arg;
    free_backend(b);
    closed(arg);
}

static void on_handle_closed(uv_handle_t *h)
{
    http_release(h->data);
}

/* ---- turns and ticks ---- */

static void begin_transfer(struct http_call *c)
{
    if (http_h2_begin(c))
        return;
    c->added = curl_multi_add_handle(c->backend->multi, c->easy) == CURLM_OK;
    if (!c->added)
        stop(c, STATUS_NO_MEMORY);
}

/* Its reader has caught up. */
static void go_on(struct http_call *c)
{
    c->held = false;
    c->last_byte_ms = http_now_ms(c->backend);
    if (!c->added)
        http_h2_resume(c);
    else if (curl_easy_pause(c->easy, CURLPAUSE_CONT) != CURLE_OK)
        http_transfer_done(c, CURLE_WRITE_ERROR); /* libcurl would go on without those bytes */
}

static void do_noted(struct http_call *c)
{
    unnote(c);
    if (c->ended)
        conclude(c);
    else if (c->held && !c->paused)
        go_on(c);
    else if (!c->added && !c->h2.conn && !c->held)
        begin_transfer(c);
}

/* Nothing runs any more: what libcurl and libuv hold is given back. */
static void tear_down(struct http_backend *b)
{
    b->torn_down = true;
    free_calls(b);
    http_h2_close(b);
    curl_multi_cleanup(b->multi);
    b->multi = NULL;
    b->pending += 5;
    http_target_stop(b, on_handle_closed);
    uv_close((uv_handle_t *)&b->idle, on_handle_closed);
    uv_close((uv_handle_t *)&b->turn, on_handle_closed);
    uv_close((uv_handle_t *)&b->curl_timer, on_handle_closed);
    uv_close((uv_handle_t *)&b->tick, on_handle_closed);
}

static void on_turn(uv_check_t *turn)
{
    struct http_backend *b = turn->data;
    uv_idle_stop(&b->idle);
    uv_check_stop(turn);
    for (unsigned n = b->todo_count; n && b->todo_count; n--)
        do_noted(TAILQ_FIRST(&b->todo));
    http_loop_kick(b);
    http_h2_turn(b);
    if (b->closing && TAILQ_EMPTY(&b->running))
        tear_down(b);
}

/* The backend's silence is its fault; a reader that holds the stream back, or a client that gives
 * it less time than it may take, is not. */
static bool is_silent(const struct http_call *c, int64_t now)
{
    if (c->held)
        return false;
    if (!c->any_byte)
        return past(now, c->started_ms, c->order.first_byte_timeout_ms);
    return !c->paused && past(now, c->last_byte_ms, c->order.chunk_timeout_ms);
}

static void check_time(struct http_call *c, int64_t now)
{
    bool late = past(now, c->started_ms, c->order.total_timeout_ms);
    if (c->done_seen && past(now, c->last_byte_ms, HTTP_DONE_GRACE_MS)) {
        stop(c, STATUS_OK);
    } else if (late || is_silent(c, now)) {
        c->silent = !late;
        http_h2_suspect(c);
        stop(c, STATUS_DEADLINE);
    }
}

static void on_tick(uv_timer_t *tick)
{
    struct http_backend *b = tick->data;
    struct http_call *c;
    int64_t now = http_now_ms(b);
    TAILQ_FOREACH(c, &b->running, running)
    {
        if (!c->ended)
            check_time(c, now);
    }
    if (TAILQ_EMPTY(&b->running))
        uv_timer_stop(tick);
}

/* ---- the driver ---- */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void init_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void init_handles(struct http_backend *b)
{
    uv_idle_init(b->loop, &b->idle);
    uv_check_init(b->loop, &b->turn);
    uv_timer_init(b->loop, &b->curl_timer);
    uv_timer_init(b->loop, &b->tick);
    b->idle.data = b->turn.data = b->curl_timer.data = b->tick.data = b;
}

static enum status http_open(const struct catalog_backend *conf, uv_loop_t *loop,
                             const struct env *env, struct backend **ret)
{
    pthread_once(&curl_once, init_curl);
    struct http_backend *b = calloc(1, sizeof *b);
    if (!b || curl_ready != CURLE_OK) {
        free(b);
        return STATUS_NO_MEMORY;
    }
    b->base.driver = &backend_http_driver;
    b->base.conf = conf;
    atomic_init(&b->base.stats.capacity, conf->concurrency);
    b->loop = loop;
    b->env = env;
    TAILQ_INIT(&b->running);
    TAILQ_INIT(&b->todo);
    http_rows_open(b);
    http_h2_open(b);
    enum status s = http_target_open(b);
    if (s == STATUS_OK)
        s = http_urls_open(b);
    if (s == STATUS_OK)
        s = http_headers_open(b);
    if (s == STATUS_OK)
        s = http_loop_open(b);
    if (s != STATUS_OK) {
        free_backend(b);
        return s;
    }
    init_handles(b);
    http_target_start(b);
    http_refresh_up(b);
    *ret = &b->base;
    return STATUS_OK;
}

static void http_close(struct backend *base, void (*closed)(void *arg), void *arg)
{
    struct http_backend *b = of(base);
    struct http_call *c;
    assert(!b->closing);
    b->closing = true;
    b->closed = closed;
    b->closed_arg = arg;
    http_refresh_up(b);
    TAILQ_FOREACH(c, &b->running, running)
    {
        stop(c, STATUS_CLIENT_GONE);
    }
    http_turn_soon(b);
}

/* Keeps what a pooled call owns, forgets all that was of its last request. */
static struct http_call *take_call(struct http_backend *b)
{
    struct http_call *c = LIST_FIRST(&b->pool);
    if (!c)
        return http_call_new(b);
    LIST_REMOVE(c, pool);
    struct http_call fresh = { .backend = b,
                               .easy = c->easy,
                               .addresses = c->addresses,
                               .framing = c->framing,
                               .body = c->body,
                               .h2.kept = c->h2.kept };
    fresh.framing.framer->reset(&fresh.framing);
    buf_clear(&fresh.body);
    buf_clear(&fresh.h2.kept);
    *c = fresh;
    return c;
}

static void begin(struct http_call *c)
{
    struct http_backend *b = c->backend;
    c->started_ms = c->last_byte_ms = http_now_ms(b);
    TAILQ_INSERT_TAIL(&b->running, c, running);
    count(&b->base.stats.started);
    atomic_fetch_add_explicit(&b->base.stats.running, 1, memory_order_relaxed);
    if (!uv_is_active((uv_handle_t *)&b->tick))
        uv_timer_start(&b->tick, on_tick, HTTP_TICK_MS, HTTP_TICK_MS);
    http_call_note(c);
}

static enum status http_start(struct backend *base, const struct backend_order *order,
                              const struct backend_events *events, void *arg,
                              struct backend_call **ret)
{
    struct http_backend *b = of(base);
    assert(order->first_byte_timeout_ms && order->chunk_timeout_ms && order->total_timeout_ms);
    if (!atomic_load_explicit(&base->stats.up, memory_order_relaxed) ||
        !http_call_possible(b, order))
        return STATUS_NO_BACKEND;
    if (atomic_load_explicit(&base->stats.running, memory_order_relaxed) >= base->conf->concurrency)
        return STATUS_OVERLOADED;
    struct http_call *c = take_call(b);
    if (!c)
        return STATUS_NO_MEMORY;
    c->order = *order;
    c->events = *events;
    c->arg = arg;
    enum status s = http_call_prepare(c);
    if (s != STATUS_OK) {
        recycle(c);
        return s;
    }
    begin(c);
    *ret = (struct backend_call *)c;
    return STATUS_OK;
}

static void http_cancel(struct backend_call *call)
{
    stop((struct http_call *)call, STATUS_CLIENT_GONE);
}

/* While paused the next bytes are refused to libcurl, which then reads no more of the socket. */
static void http_pause(struct backend_call *call, bool paused)
{
    struct http_call *c = (struct http_call *)call;
    c->paused = paused;
    if (!paused && c->held)
        http_call_note(c);
}

const struct backend_driver backend_http_driver = {
    .transport = TRANSPORT_HTTP,
    .open = http_open,
    .close = http_close,
    .start = http_start,
    .cancel = http_cancel,
    .pause = http_pause,
    .explain = http_explain,
};
