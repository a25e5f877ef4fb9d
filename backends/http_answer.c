/* backends/http_answer.c -- what comes back: libcurl's callbacks and what they mean.
 *
 * A callback that refuses bytes makes libcurl break the transfer and close the
 * connection, which is what is wanted: an upstream whose framing is in doubt must
 * not answer anybody else on the same connection.
 */
#include "backends/http_parts.h"
#include "backends/http_verdict.h"
#include "backends/openai_usage.h"
#include <assert.h>
#include <strings.h>

enum { REFUSE = 0 }; /* fewer bytes than were given: libcurl ends the transfer */

static size_t refuse(struct http_call *c, enum status why)
{
    if (c->verdict == STATUS_OK)
        c->verdict = why;
    return REFUSE;
}

/* ---- headers ---- */

static bool is_field(struct span line, const char *name)
{
    size_t len = strlen(name);
    return line.len > len && line.at[len] == ':' && strncasecmp(line.at, name, len) == 0;
}

/* "  12\r\n" and nothing else: what readers could differ about is not a length. */
static bool is_length(struct span value)
{
    size_t digits = 0;
    while (value.len && (*value.at == ' ' || *value.at == '\t'))
        value = (struct span){ value.at + 1, value.len - 1 };
    while (digits < value.len && value.at[digits] >= '0' && value.at[digits] <= '9')
        digits++;
    while (value.len > digits && strchr(" \t\r\n", value.at[value.len - 1]))
        value.len--;
    return digits > 0 && digits < 19 && digits == value.len;
}

/* False: two lengths, or a length and chunks.  Which one holds is how answers are smuggled. */
static bool framing_is_plain(struct http_headers *h, struct span line)
{
    if (line.len >= 5 && memcmp(line.at, "HTTP/", 5) == 0) {
        h->lengths = 0; /* interim answers (1xx) come before the real one */
        h->chunked = false;
    }
    static const char length[] = "content-length";
    if (is_field(line, length)) {
        h->lengths++;
        if (!is_length((struct span){ line.at + sizeof length, line.len - sizeof length }))
            return false;
    }
    h->chunked |= is_field(line, "transfer-encoding");
    return h->lengths + h->chunked <= 1;
}

size_t http_on_header(char *bytes, size_t size, size_t count, void *call)
{
    struct http_call *c = call;
    struct span line = { bytes, size * count };
    c->answered = true;
    c->last_byte_ms = http_now_ms(c->backend);
    c->headers.bytes += line.len;
    c->headers.lines++;
    if (c->ended)
        return REFUSE;
    if (c->headers.bytes > HTTP_HEADER_BYTES_MAX || c->headers.lines > HTTP_HEADER_LINES_MAX ||
        !framing_is_plain(&c->headers, line))
        return refuse(c, STATUS_BACKEND_GARBAGE);
    return line.len;
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
    c->body_max = c->mode == HTTP_BODY ? HTTP_BODY_BYTES_MAX : HTTP_ERROR_BYTES_MAX;
}

/* ---- events ---- */

static void note_usage(struct http_call *c, const struct openai_usage *u)
{
    c->suspect_usage |= u->suspect;
    if (!openai_usage_advance(&c->usage, &u->usage))
        c->suspect_usage = true;
}

/* "finish_reason": followed by a string, wherever it stands: only asked when [DONE] is missing. */
static bool says_finish(struct span text)
{
    static const char key[] = "\"finish_reason\"";
    const char *end = text.at + text.len;
    const char *at = memmem(text.at, text.len, key, sizeof key - 1);
    if (!at)
        return false;
    at += sizeof key - 1;
    while (at < end && (*at == ' ' || *at == ':'))
        at++;
    return at < end && *at == '"';
}

static bool is_error(const struct jfield *f)
{
    return f->type == J_OBJECT || f->type == J_STRING;
}

/* The answer, or the event, tells of an error instead. */
static void take_error(struct http_call *c, struct span text, bool first)
{
    if (http_verdict_error(text, first, c->backend->base.conf->secret, &c->end))
        c->verdict = c->end.status;
    else
        c->verdict = STATUS_BACKEND_GARBAGE;
}

enum { EVENT_USAGE, EVENT_CHOICES, EVENT_ERROR, EVENT_FIELDS };

static void pass_event(struct http_call *c, struct span text, const struct jfield *field)
{
    struct backend_data d = { .bytes = text.at, .len = text.len };
    if (field[EVENT_USAGE].type == J_OBJECT) {
        struct openai_usage u = openai_usage_read(&field[EVENT_USAGE]);
        note_usage(c, &u);
        d.so_far = c->usage.present ? &c->usage : NULL;
        d.usage_event = field[EVENT_CHOICES].type == J_ARRAY &&
                        jscan_array_count(field[EVENT_CHOICES].value) == 0;
    }
    c->finish_seen = c->finish_seen || says_finish(text);
    c->any_event = true;
    c->events.on_data(c->arg, &d);
}

static bool on_event(void *arg, const char *name, struct span text)
{
    struct http_call *c = arg;
    struct jfield field[EVENT_FIELDS] = {
        [EVENT_USAGE] = { .key = "usage" },
        [EVENT_CHOICES] = { .key = "choices" },
        [EVENT_ERROR] = { .key = "error" },
    };
    struct jscan_error at;
    (void)name; /* chat has none that matter */
    if (span_is(text, "[DONE]"))
        c->done_seen = true;
    if (c->done_seen || text.len == 0)
        return !c->done_seen;
    if (jscan_object(text, field, EVENT_FIELDS, &at) != STATUS_OK) {
        c->verdict = STATUS_BACKEND_GARBAGE;
        return false;
    }
    if (is_error(&field[EVENT_ERROR])) {
        take_error(c, text, !c->any_event);
        return false;
    }
    pass_event(c, text, field);
    return !c->ended;
}

static enum status take_events(struct http_call *c, struct span bytes)
{
    enum status s = sse_feed(&c->sse, bytes, on_event, c);
    return c->verdict != STATUS_OK ? c->verdict : s;
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
        return REFUSE;
    if (c->paused) {
        c->held = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    decide_mode(c);
    c->last_byte_ms = http_now_ms(c->backend);
    atomic_fetch_add_explicit(&c->backend->base.stats.bytes_in, piece.len, memory_order_relaxed);
    c->any_byte = true;
    if (is_enough(c, piece))
        return REFUSE;
    enum status s = c->mode == HTTP_EVENTS ? take_events(c, piece) : take_body(c, piece);
    if (s != STATUS_OK)
        return refuse(c, s);
    return c->ended ? REFUSE : piece.len;
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

static void finish_events(struct http_call *c)
{
    enum status s = sse_finish(&c->sse, on_event, c);
    if (c->verdict == STATUS_OK)
        c->verdict = s;
    if (c->verdict == STATUS_OK && !c->done_seen && !c->finish_seen)
        c->verdict = STATUS_BACKEND_CUT;
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
    if (is_error(&field[2])) {
        take_error(c, text, true);
        return;
    }
    struct openai_usage u = openai_usage_read(&field[0]);
    if (c->order.capability == CAP_IMAGES)
        openai_usage_images(&field[1], &u);
    note_usage(c, &u);
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
        http_verdict_refused(code, text, c->backend->base.conf->secret, &c->end);
        c->end.retry_after_ms = retry_after_ms(c);
        c->verdict = c->end.status;
    } else {
        take_error(c, text, true);
    }
}

void http_answer_finish(struct http_call *c)
{
    decide_mode(c);
    if (c->mode == HTTP_EVENTS)
        finish_events(c);
    else if (c->mode == HTTP_BODY)
        finish_body(c);
    else
        finish_refusal(c);
    if (!c->ended)
        c->end.status = c->verdict;
}
