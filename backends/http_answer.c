/* backends/http_answer.c -- what comes back: libcurl's callbacks and what they mean.
 *
 * A callback that refuses bytes makes libcurl break the transfer and close the
 * connection, which is what is wanted: an upstream whose framing is in doubt must
 * not answer anybody else on the same connection.
 */
#include "backends/error_map.h"
#include "backends/http_parts.h"
#include "backends/openai_usage.h"
#include <strings.h>

size_t http_refuse(struct http_call *c, enum status why)
{
    if (c->verdict == STATUS_OK)
        c->verdict = why;
    return HTTP_REFUSE;
}

/* ---- what kind of answer it is ---- */

static bool is_event_stream(CURL *easy)
{
    static const char wanted[] = "text/event-stream";
    char *type = NULL;
    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    return type && strncasecmp(type, wanted, sizeof wanted - 1) == 0;
}

static long status_code(struct http_call *c)
{
    long code = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &code);
    return code;
}

static bool is_success(long code)
{
    return code >= 200 && code < 300;
}

static void decide_mode(struct http_call *c)
{
    if (c->mode != HTTP_UNDECIDED)
        return;
    c->mode = HTTP_REFUSAL;
    if (is_success(status_code(c)) && !c->order.stream)
        c->mode = HTTP_BODY;
    else if (is_success(status_code(c)) && is_event_stream(c->easy))
        c->mode = HTTP_EVENTS;
    uint64_t asked = c->order.answer_bytes_max;
    c->body_max = c->mode != HTTP_BODY ? HTTP_ERROR_BYTES_MAX
                  : asked              ? (size_t)asked
                                       : HTTP_BODY_BYTES;
}

/* ---- what it says ---- */

void http_note_usage(struct http_call *c, const struct openai_usage *u)
{
    c->suspect_usage |= u->suspect;
    if (!openai_usage_advance(&c->usage, &u->usage))
        c->suspect_usage = true;
}

bool http_is_error(const struct jfield *f)
{
    return f->type == J_OBJECT || f->type == J_STRING;
}

/* The answer, or the event, tells of an error instead. */
void http_take_error(struct http_call *c, struct span text, bool first)
{
    if (error_object(text, first, c->backend->base.conf->secret, &c->end))
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

static enum status take_body(struct http_call *c, struct span bytes)
{
    if (bytes.len > c->body_max - c->body.len)
        return STATUS_BACKEND_GARBAGE;
    return buf_add(&c->body, bytes.at, bytes.len) ? STATUS_OK : STATUS_NO_MEMORY;
}

size_t http_on_bytes(char *bytes, size_t size, size_t count, void *call)
{
    struct http_call *c = call;
    struct span piece = { bytes, size * count };
    if (c->ended || c->verdict != STATUS_OK)
        return HTTP_REFUSE;
    if (c->paused) {
        c->held = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    decide_mode(c);
    c->last_byte_ms = http_now_ms(c->backend);
    atomic_fetch_add_explicit(&c->backend->base.stats.bytes_in, piece.len, memory_order_relaxed);
    c->any_byte = true;
    if (is_enough(c, piece))
        return HTTP_REFUSE;
    enum status s = c->mode == HTTP_EVENTS ? http_events_take(c, piece) : take_body(c, piece);
    if (s != STATUS_OK)
        return http_refuse(c, s);
    return c->ended ? HTTP_REFUSE : piece.len;
}

/* ---- the end ---- */

static uint32_t retry_after_ms(struct http_call *c)
{
    curl_off_t seconds = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds <= 0)
        return 0;
    return seconds < 3600 ? (uint32_t)seconds * 1000 : 3600 * 1000;
}

static void finish_body(struct http_call *c)
{
    struct jfield field[] = { { .key = "usage" }, { .key = "data" }, { .key = "error" } };
    struct jscan_error at;
    struct span text = { c->body.at ? c->body.at : "", c->body.len };
    if (jscan_object(text, field, 3, &at) != STATUS_OK) {
        c->verdict = STATUS_BACKEND_GARBAGE;
        return;
    }
    if (http_is_error(&field[2])) {
        http_take_error(c, text, true);
        return;
    }
    struct openai_usage u = openai_usage_read(&field[0]);
    if (c->order.capability == CAP_IMAGES)
        openai_usage_images(&field[1], &u);
    http_note_usage(c, &u);
    struct backend_data d = { .bytes = text.at, .len = text.len };
    if (c->usage.present)
        d.so_far = &c->usage;
    c->events.on_data(c->arg, &d);
}

/* Status 200 but not a stream: only an error object makes sense there. */
static void finish_refusal(struct http_call *c)
{
    struct span text = { c->body.at ? c->body.at : "", c->body.len };
    long code = status_code(c);
    if (!is_success(code)) {
        error_refused(code, text, c->backend->base.conf->secret, &c->end);
        c->end.retry_after_ms = retry_after_ms(c);
        c->verdict = c->end.status;
    } else {
        http_take_error(c, text, true);
    }
}

void http_answer_finish(struct http_call *c)
{
    decide_mode(c);
    if (c->mode == HTTP_EVENTS)
        http_events_finish(c);
    else if (c->mode == HTTP_BODY)
        finish_body(c);
    else
        finish_refusal(c);
    if (!c->ended)
        c->end.status = c->verdict;
}
