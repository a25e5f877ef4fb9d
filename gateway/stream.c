/* gateway/stream.c -- see stream.h. */
#include "gateway/stream.h"
#include "gateway/answer_room.h"
#include "gateway/direct.h"
#include "gateway/error_body.h"
#include "gateway/hold_more.h"
#include "gateway/http.h"
#include "gateway/idempotency.h"
#include "gateway/kind.h"
#include "gateway/request.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { COMPACT_BYTES = 64 * 1024 };

static size_t waiting(const struct request *r)
{
    return r->answer.body.len - r->answer.taken;
}

static void hold_back(struct request *r, bool on)
{
    struct work *w = &r->work;
    on |= hold_more_blocks(r);
    if (w->paused == on || !w->call || w->cancelled)
        return;
    w->paused = on;
    w->backend->driver->pause(w->call, on);
}

static void wake(struct request *r)
{
    if (!direct_add(r))
        http_resume(r);
}

/* What was taken is dropped, before it is as much as what waits. */
static void compact(struct answer *a)
{
    if (a->taken < COMPACT_BYTES || a->taken < a->body.len / 2)
        return;
    memmove(a->body.at, a->body.at + a->taken, a->body.len - a->taken);
    a->body.len -= a->taken;
    a->taken = 0;
}

void stream_one_line(char *at, size_t len)
{
    const char *end = at + len;
    for (char *p = at; (p = memchr(p, '\n', (size_t)(end - p)));)
        *p = ' ';
    for (char *p = at; (p = memchr(p, '\r', (size_t)(end - p)));)
        *p = ' ';
}

static bool put(struct request *r, const char *json, size_t len)
{
    compact(&r->answer);
    struct buf *b = &r->answer.body;
    size_t before = b->len;
    if (waiting(r) == 0)
        r->answer.progress_ns = request_now_ns(r); /* until now there was nothing to take */
    if (buf_add(b, "data: ", 6) && buf_add(b, json, len) && buf_add(b, "\n\n", 2) &&
        answer_room_count(r)) {
        stream_one_line(b->at + before + 6, len);
        if (b->len - r->answer.taken > r->snapshot->conf->stream_buffer_max)
            hold_back(r, true);
        wake(r);
        return true;
    }
    b->len = before; /* never half an event */
    return false;
}

/* Keep-alive chunks must carry the id of the real ones. */
static void remember_id(struct request *r, const char *json, size_t len)
{
    struct jfield id = { .key = "id" };
    if (jscan_member((struct span){ json, len }, &id, 1) != STATUS_OK || id.type != J_STRING)
        return;
    char *copy = arena_memdup(r->arena, id.value.at, id.value.len);
    if (copy)
        r->work.stream_id = (struct span){ copy, id.value.len };
}

void stream_pace(struct request *r)
{
    hold_back(r, !r->gone && waiting(r) > r->snapshot->conf->stream_buffer_max);
}

void stream_release(struct request *r)
{
    hold_back(r, false);
}

bool stream_event(struct request *r, const char *json, size_t len)
{
    if (r->gone)
        return true; /* still drained for the bill */
    if (!r->answer.stream) {
        remember_id(r, json, len);
        if (!reply_stream(r))
            return false;
    }
    COUNT(&r->loop->counters, stream_events);
    if (r->idem)
        idempotency_said(r, (struct span){ json, len });
    return put(r, json, len);
}

/* The last byte is kept back: it leaves when the bill is on disk. */
static bool put_bytes(struct request *r, const char *bytes, size_t len)
{
    compact(&r->answer);
    struct answer *a = &r->answer;
    if (waiting(r) == 0)
        a->progress_ns = request_now_ns(r);
    if ((a->kept_back && !buf_add(&a->body, &a->last_byte, 1)) ||
        !buf_add(&a->body, bytes, len - 1) || !answer_room_count(r))
        return false;
    a->last_byte = bytes[len - 1];
    a->kept_back = true;
    if (waiting(r) > r->snapshot->conf->stream_buffer_max)
        hold_back(r, true);
    wake(r);
    return true;
}

bool stream_bytes(struct request *r, const char *bytes, size_t len)
{
    if (r->gone || len == 0)
        return true;
    r->answer.raw = true;
    if (!r->answer.stream && !reply_stream(r))
        return false;
    return put_bytes(r, bytes, len);
}

static void finish_bytes(struct request *r)
{
    struct answer *a = &r->answer;
    a->cut = a->kept_back && !buf_add(&a->body, &a->last_byte, 1);
    a->finished = true;
    wake(r);
}

void stream_finish(struct request *r)
{
    struct work *w = &r->work;
    if (r->answer.raw) {
        finish_bytes(r);
        return;
    }
    bool ok = r->answer.stream || reply_stream(r);
    if (ok && r->ask.include_usage && w->usage_event.len)
        ok = put(r, w->usage_event.at, w->usage_event.len);
    r->answer.cut = !(ok && put(r, "[DONE]", 6));
    r->answer.finished = true;
    wake(r);
}

/* A chunk without content, of the stream's own dialect; finish: JSON. */
static void put_empty(struct request *r, const char *finish)
{
    char text[512];
    struct span id = r->work.stream_id;
    const char *chunk = kind_of(r->target.row->capability)->keep_alive;
    if (!chunk || id.len == 0 || id.len > 128)
        return;
    int n = snprintf(text, sizeof text,
                     "{\"id\":%.*s,\"created\":%" PRId64
                     ",\"model\":\"%s\",\"object\":\"%s,\"finish_reason\":%s}]}",
                     (int)id.len, id.at, r->accepted_us / 1000000, r->model->id, chunk, finish);
    if (n > 0 && (size_t)n < sizeof text)
        (void)put(r, text, (size_t)n);
}

void stream_fail(struct request *r)
{
    struct buf text;
    if (r->status == STATUS_NO_QUOTA)
        put_empty(r, "\"length\"");
    buf_init(&text, 4096);
    bool ok = !r->answer.raw && /* nothing that is said among other bytes would be understood */
              error_body(&text, ERRORS_OPENAI, r->status, r->message, r->param) &&
              put(r, text.at, text.len);
    buf_free(&text);
    r->answer.cut = !ok;
    r->answer.finished = true;
    wake(r);
}

/* The end of the last whole event that fits; all of the room when not one does. */
static size_t whole_events(const char *at, size_t len, size_t room)
{
    if (len <= room)
        return len;
    for (size_t end = room; end >= 2; end--)
        if (at[end - 1] == '\n' && at[end - 2] == '\n')
            return end;
    return room;
}

size_t stream_next(const struct request *r, size_t most)
{
    const struct answer *a = &r->answer;
    size_t n = waiting(r);
    if (n <= most)
        return n;
    return a->raw ? most : whole_events(a->body.at + a->taken, n, most);
}

static void take(struct request *r, size_t n)
{
    struct answer *a = &r->answer;
    a->taken += n;
    delivery_take(&r->work.delivery, n, waiting(r));
    if (waiting(r) > 0)
        return;
    buf_clear(&a->body);
    a->taken = 0;
}

/* What the backend then sends may come at once. */
static void let_go_on(struct request *r)
{
    if (waiting(r) == 0)
        hold_back(r, false);
}

size_t stream_take(struct request *r, char *room, size_t room_len)
{
    struct answer *a = &r->answer;
    if (!r->gone)
        delivery_sent(&r->work.delivery);
    size_t n = stream_next(r, room_len);
    if (n == 0)
        return 0;
    memcpy(room, a->body.at + a->taken, n);
    a->progress_ns = request_now_ns(r);
    take(r, n);
    let_go_on(r);
    return n;
}

void stream_taken(struct request *r, size_t n)
{
    take(r, n);
    delivery_sent(&r->work.delivery);
    let_go_on(r);
}

static void keep_alive(struct request *r, int64_t now)
{
    r->work.last_event_ns = now;
    put_empty(r, "null");
}

void stream_tick(struct request *r)
{
    const struct conf *conf = r->snapshot->conf;
    if (!r->answer.stream || (r->gone && !r->answer.finished))
        return; /* who has closed only its own half may still read an answer that is paid for */
    int64_t now = request_now_ns(r);
    if (waiting(r) > 0) {
        if (now - r->answer.progress_ns > (int64_t)conf->stream_stall_ms * 1000000)
            request_cut(r); /* a reader that takes nothing is a reader that left */
    } else if (!r->answer.finished &&
               now - r->work.last_event_ns > (int64_t)conf->stream_keepalive_ms * 1000000) {
        keep_alive(r, now);
    }
}
