/* backends/http_answer.c -- what comes back: libcurl's callbacks and what they mean.
 *
 * A callback that refuses bytes makes libcurl break the transfer and close the
 * connection, which is what is wanted: an upstream whose framing is in doubt must
 * not answer anybody else on the same connection.
 */
#include "backends/http_parts.h"
#include <strings.h>

size_t http_refuse(struct http_call *c, enum status why)
{
    if (c->verdict == STATUS_OK)
        c->verdict = why;
    return HTTP_REFUSE;
}

/* ---- what kind of answer it is ---- */

/* An answer that does not say what it is is expected to be JSON. */
static bool is_json(const char *type)
{
    size_t len = type ? strcspn(type, "; \t") : 0;
    if (len == 0)
        return true;
    return (len == 16 && strncasecmp(type, "application/json", len) == 0) ||
           (len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0);
}

static bool is_success(long code)
{
    return code >= 200 && code < 300;
}

static enum http_mode mode_of(struct http_call *c)
{
    const char *type = c->headers.type[0] ? c->headers.type : NULL;
    if (!is_success(c->headers.code))
        return HTTP_REFUSAL;
    if (c->order.stream && framer_speaks(c->framing.framer, type))
        return HTTP_EVENTS;
    if (c->order.stream) /* some cannot stream this, and answer whole */
        return c->order.any_format && is_json(type) ? HTTP_BODY : HTTP_REFUSAL;
    if (!c->order.any_format || (is_json(type) && !c->headers.tensors))
        return HTTP_BODY;
    if (!http_pieces_begin(c, type ? type : "application/octet-stream"))
        c->verdict = STATUS_BACKEND_GARBAGE;
    return HTTP_PIECES;
}

static void decide_mode(struct http_call *c)
{
    if (c->mode != HTTP_UNDECIDED)
        return;
    c->mode = mode_of(c);
    uint64_t asked = c->order.answer_bytes_max;
    bool whole = c->mode == HTTP_BODY || c->mode == HTTP_PIECES;
    c->body_max = !whole ? HTTP_ERROR_BYTES_MAX : asked ? (size_t)asked : HTTP_BODY_BYTES;
}

/* ---- what it says ---- */

void http_note_usage(struct http_call *c, const struct usage_reading *u)
{
    c->suspect_usage |= u->suspect;
    if (!usage_advance(&c->usage, &u->usage))
        c->suspect_usage = true;
}

/* The answer, or the event, tells of an error instead. */
void http_take_error(struct http_call *c, struct span text, bool first)
{
    const struct http_backend *b = c->backend;
    if (error_map_object(b->rows.errors, text, first, b->base.conf, &c->end))
        c->verdict = c->end.status;
    else
        c->verdict = STATUS_BACKEND_GARBAGE;
}

/* ---- bytes ---- */

/* Of a refusal only the start matters; what is too much ends it, and its code still speaks. */
static bool is_enough(const struct http_call *c, struct span bytes)
{
    return c->mode == HTTP_REFUSAL && bytes.len > c->body_max - c->body.len;
}

bool http_room(struct http_call *c, size_t bytes)
{
    const struct backend_order *o = &c->order;
    return !o->answers || allowance_cover(o->answers, o->answers_bytes_max, bytes, &c->counted);
}

static enum status take_body(struct http_call *c, struct span bytes)
{
    if (bytes.len > c->body_max - c->body.len)
        return STATUS_BACKEND_GARBAGE;
    if (!buf_add(&c->body, bytes.at, bytes.len))
        return STATUS_NO_MEMORY;
    return http_room(c, c->body.len) ? STATUS_OK : STATUS_OVERLOADED;
}

static enum status take(struct http_call *c, struct span bytes)
{
    if (c->verdict != STATUS_OK)
        return c->verdict;
    if (c->mode == HTTP_EVENTS)
        return http_events_take(c, bytes);
    return c->mode == HTTP_PIECES ? http_pieces_take(c, bytes) : take_body(c, bytes);
}

size_t http_on_bytes(char *bytes, size_t size, size_t count, void *call)
{
    struct http_call *c = call;
    struct span piece = { bytes, size * count };
    if (c->ended || c->verdict != STATUS_OK)
        return HTTP_REFUSE;
    if (c->paused) {
        if (c->added)
            http_loop_held(c);
        c->held = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    decide_mode(c);
    c->last_byte_ms = http_now_ms(c->backend);
    atomic_fetch_add_explicit(&c->backend->base.stats.bytes_in, piece.len, memory_order_relaxed);
    c->any_byte = true;
    if (is_enough(c, piece))
        return HTTP_REFUSE;
    enum status s = take(c, piece);
    if (s != STATUS_OK)
        return http_refuse(c, s);
    return c->ended ? HTTP_REFUSE : piece.len;
}

/* ---- the end ---- */

static struct span whole_body(const struct http_call *c)
{
    return (struct span){ c->body.at ? c->body.at : "", c->body.len };
}

static void finish_body(struct http_call *c)
{
    const struct http_rows *rows = &c->backend->rows;
    struct jfield field[HTTP_FIELDS_MAX];
    struct jscan_error at;
    struct span text = whole_body(c);
    memcpy(field, rows->body, rows->body_count * sizeof *field);
    if (jscan_object(text, field, rows->body_count, &at) != STATUS_OK) {
        c->verdict = STATUS_BACKEND_GARBAGE;
        return;
    }
    if (error_map_told(rows->errors, &field[BODY_ERROR])) {
        http_take_error(c, text, true);
        return;
    }
    struct usage_reading u =
        usage_map_read(rows->usage, c->order.capability, true, &field[BODY_USAGE]);
    http_note_usage(c, &u);
    http_note_request(c);
    static const struct backend_format json = { .content_type = "application/json" };
    struct backend_data d = { .bytes = text.at, .len = text.len };
    if (c->order.stream)
        d.format = &json;
    if (c->usage.present)
        d.so_far = &c->usage;
    c->events.on_data(c->arg, &d);
}

/* Status 200 but not a stream: only an error object makes sense there. */
static void finish_refusal(struct http_call *c)
{
    const struct http_backend *b = c->backend;
    long code = c->headers.code;
    if (!is_success(code)) {
        error_map_refused(b->rows.errors, code, whole_body(c), b->base.conf, &c->end);
        c->end.retry_after_ms = rates_wait_ms(&c->headers.rates);
        c->verdict = c->end.status;
    } else {
        http_take_error(c, whole_body(c), true);
    }
}

/* What was said of limits; an answer that says nothing of them shows that there is room. */
static void note_limits(struct http_call *c)
{
    uint32_t wait_ms = rates_wait_ms(&c->headers.rates);
    int64_t until = wait_ms ? http_now_ms(c->backend) + wait_ms : 0;
    if (wait_ms || is_success(c->headers.code))
        atomic_store_explicit(&c->backend->base.stats.limited_until_ms, until,
                              memory_order_relaxed);
}

void http_answer_finish(struct http_call *c)
{
    decide_mode(c);
    note_limits(c);
    if (c->verdict != STATUS_OK)
        ; /* its content type is none */
    else if (c->mode == HTTP_EVENTS)
        http_events_finish(c);
    else if (c->mode == HTTP_BODY)
        finish_body(c);
    else if (c->mode == HTTP_PIECES)
        http_pieces_finish(c);
    else
        finish_refusal(c);
    if (!c->ended)
        c->end.status = c->verdict;
}
