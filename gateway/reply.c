/* gateway/reply.c -- the only maker of HTTP responses.
 *
 * A body is always given away to the library, which frees it; what a stream
 * sends stays in the request, which outlives the response. */
#include "base/digits.h"
#include "gateway/direct.h"
#include "gateway/error_body.h"
#include "gateway/http.h"
#include "gateway/http_lines.h"
#include "gateway/request.h"
#include "gateway/retail.h"
#include "gateway/stream.h"
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>

static void header(struct http_lines *m, const char *name, const char *value)
{
    http_lines_add(m, name, value); /* fails only without memory; the answer stays right */
}

static void header_int(struct http_lines *m, const char *name, int64_t value)
{
    char text[DIGITS_MAX + 2], *end = text + sizeof text - 1;
    *end = '\0';
    char *at = digits_before(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);
    if (value < 0)
        *--at = '-';
    header(m, name, at);
}

/* Go-style durations, as OpenAI's reset headers have them: "120ms", "1.5s", "6m0s". */
static void header_duration(struct http_lines *m, const char *name, int64_t ns)
{
    char text[2 * DIGITS_MAX + 4], *at = text + sizeof text;
    uint64_t ms = ns > 0 ? ((uint64_t)ns + 999999) / 1000000 : 0, s = (ms + 999) / 1000;
    *--at = '\0';
    *--at = 's';
    if (ms < 1000) {
        *--at = 'm';
        at = digits_before(at, ms, 1);
    } else if (ms < 60000) {
        at = digits_before(at, ms % 1000, 3);
        *--at = '.';
        at = digits_before(at, ms / 1000, 1);
    } else {
        at = digits_before(at, s % 60, 1);
        *--at = 'm';
        at = digits_before(at, s / 60, 1);
    }
    header(m, name, at);
}

static void rate_headers(struct http_lines *m, const struct request *r)
{
    if (!r->rates_known)
        return;
    header_int(m, "x-ratelimit-limit-requests", r->key->limits.requests.units);
    header_int(m, "x-ratelimit-remaining-requests", r->rates.requests.remaining);
    header_duration(m, "x-ratelimit-reset-requests", r->rates.requests.reset_ns);
    header_int(m, "x-ratelimit-limit-tokens", r->key->limits.tokens.units);
    header_int(m, "x-ratelimit-remaining-tokens", r->rates.tokens.remaining);
    header_duration(m, "x-ratelimit-reset-tokens", r->rates.tokens.reset_ns);
}

static void retry_headers(struct http_lines *m, const struct request *r)
{
    int64_t ms = r->answer.retry_after_ms;
    enum status_retry retry = status_info(r->status)->retry;
    if (ms > 60000) /* SDKs that cap the wait would come back sooner, not later */
        retry = RETRY_NO;
    if (ms >= 0) {
        header_int(m, "retry-after", ms < 1000 ? 1 : (ms + 999) / 1000);
        header_int(m, "retry-after-ms", ms < 1 ? 1 : ms);
    }
    if (retry != RETRY_UNSAID)
        header(m, "x-should-retry", retry == RETRY_YES ? "true" : "false");
}

static void model_headers(struct http_lines *m, const struct request *r)
{
    char cost[MONEY_TEXT_BYTES];
    if (!r->work.served || r->money == MONEY_NONE)
        return;
    header(m, "x-maas-model", r->work.served->id);
    header(m, "x-maas-level", level_name(r->work.served->level));
    if (r->work.served != r->model)
        header(m, "x-maas-fallback", r->model->id);
    if (r->work.backend && *r->snapshot->conf->backend_header == 's') /* shown */
        header(m, "x-maas-backend", r->work.backend->conf->name);
    header_int(m, "x-maas-price-version", retail_catalog(r)->price_version);
    const money_t paid = r->retail ? r->retail->bill.amount : r->ledger.settle.amount;
    if (r->money == MONEY_SETTLED)
        header(m, "x-maas-cost", money_text(paid, 2, cost));
}

static void all_headers(struct http_lines *m, const struct request *r)
{
    const struct answer *a = &r->answer;
    header(m, "content-type", a->content_type ? a->content_type : "application/json");
    if (a->tensors)
        header_int(m, "inference-header-content-length", (int64_t)a->header_len);
    header(m, "x-request-id", r->rid_text);
    header(m, "cache-control", a->stream ? "no-cache, no-transform" : "no-store");
    if (a->stream)
        header(m, "x-accel-buffering", "no");
    if (r->target.row && r->target.row->key)
        header(m, "vary", "authorization");
    if (a->amount_unit)
        header(m, "x-amount-unit", a->amount_unit);
    if (r->target.row && r->target.row->errors == ERRORS_ANTHROPIC)
        header(m, "request-id", r->rid_text);
    if (a->allow)
        header(m, "allow", a->allow);
    if (a->http == 401)
        header(m, "www-authenticate", "Bearer realm=\"maasgate\"");
    if (a->http >= 400)
        retry_headers(m, r);
    else if (r->target.row && r->target.row->capability)
        header_int(m, "openai-processing-ms", (request_now_ns(r) - r->started_ns) / 1000000);
    if (r->idem && r->idem->found == IDEM_REPLAY)
        header(m, "idempotent-replayed", "true");
    rate_headers(m, r);
    model_headers(m, r);
}

static void count_answer(struct loop *l, int http)
{
    if (http >= 500)
        COUNT(&l->counters, answers_5xx);
    else if (http >= 400)
        COUNT(&l->counters, answers_4xx);
    else
        COUNT(&l->counters, answers_2xx);
}

static bool queue(struct request *r, struct MHD_Response *m)
{
    if (!m)
        return false;
    struct http_lines lines;
    http_lines_begin(&lines, m);
    all_headers(&lines, r);
    http_lines_end(&lines);
    if (atomic_load_explicit(&r->loop->daemon->draining, memory_order_relaxed))
        (void)MHD_add_response_header(m, "connection", "close");
    r->answer.queued = MHD_queue_response(r->mhd, (unsigned)r->answer.http, m) == MHD_YES;
    MHD_destroy_response(m);
    if (r->answer.queued)
        count_answer(r->loop, r->answer.http);
    http_resume(r);
    return r->answer.queued;
}

bool reply_send(struct request *r)
{
    size_t len = 0;
    char *body = buf_take(&r->answer.body, &len);
    if (!body)
        return false;
    struct MHD_Response *m = MHD_create_response_from_buffer_with_free_callback(len, body, free);
    if (!m)
        free(body);
    return queue(r, m);
}

/* The library asks for more of a stream.  A whole number of events is given, so
 * that one event is one chunk, unless a single event is larger than the room. */
static ssize_t on_stream(void *cls, uint64_t at, char *room, size_t room_len)
{
    struct request *r = cls;
    (void)at;
    if (r->answer.direct.chunk > 0)
        return MHD_CONTENT_READER_END_WITH_ERROR; /* nothing can follow half a chunk */
    size_t n = stream_take(r, room, room_len);
    if (n > 0)
        return (ssize_t)n;
    if (r->answer.finished || r->answer.cut)
        return r->answer.cut ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    http_suspend(r);
    direct_open(r);
    return 0;
}

bool reply_stream(struct request *r)
{
    r->answer.stream = true;
    r->answer.http = 200;
    if (!r->answer.raw)
        r->answer.content_type = "text/event-stream; charset=utf-8";
    return queue(r, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, on_stream, r, NULL));
}

/* ---- the library's own error pages ----
 *
 * For a request it cannot even parse, libmicrohttpd answers by itself with a
 * static HTML page.  The linker's --wrap sends the making of that page here: it
 * becomes an error object with a request id, like every other answer. */

struct MHD_Response *__real_MHD_create_response_from_buffer_static(size_t len, const void *bytes);
struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t len, const void *bytes);

/* Pages that are about other than the grammar of HTTP; our own sentence says more. */
static const struct page {
    const char *title;
    enum status status;
} pages[] = { { "<title>Request too big<", STATUS_HEADERS_TOO_LARGE },
              { "<title>Request content too large<", STATUS_BODY_TOO_LARGE },
              { "<title>Internal server error<", STATUS_INTERNAL } };

static enum status page_status(const char *html, size_t len)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (memmem(html, len, pages[i].title, strlen(pages[i].title)))
            return pages[i].status;
    return STATUS_BAD_FRAMING;
}

/* "..<body>Request without <b>&quot;Host:&quot;</b>.</body>.." -> "Request without 'Host:'." */
static void page_text(char *to, size_t size, const char *html, size_t len)
{
    static const char quote[] = "&quot;";
    const char *end = html + len, *at = memmem(html, len, "<body>", 6);
    size_t used = 0;
    for (bool tag = false; at && at < end && used + 1 < size; at++) {
        if (*at == '<' || *at == '>') {
            tag = *at == '<';
        } else if (!tag && (size_t)(end - at) >= sizeof quote - 1 &&
                   memcmp(at, quote, sizeof quote - 1) == 0) {
            to[used++] = '\'';
            at += sizeof quote - 2;
        } else if (!tag)
            to[used++] = *at;
    }
    to[used] = '\0';
}

static void count_refusal(struct MHD_Response *m)
{
    struct loop *l = loop_current();
    char text[RID_TEXT_BYTES];
    if (!l)
        return;
    COUNT(&l->counters, refused_framing);
    (void)MHD_add_response_header(m, "x-request-id",
                                  rid_text(rid_next(&l->rids, l->daemon->env), text));
}

struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t len, const void *bytes)
{
    enum status s = page_status(bytes, len);
    struct buf body;
    char sentence[160] = "";
    size_t body_len = 0;
    if (s == STATUS_BAD_FRAMING)
        page_text(sentence, sizeof sentence, bytes, len);
    buf_init(&body, 4096);
    if (!error_body(&body, ERRORS_OPENAI, s, sentence, NULL)) {
        buf_free(&body);
        return __real_MHD_create_response_from_buffer_static(0, "");
    }
    char *text = buf_take(&body, &body_len);
    struct MHD_Response *m =
        MHD_create_response_from_buffer_with_free_callback(body_len, text, free);
    if (!m) {
        free(text);
        return NULL;
    }
    (void)MHD_add_response_header(m, "content-type", "application/json");
    (void)MHD_add_response_header(m, "cache-control", "no-store");
    if (status_info(s)->retry == RETRY_NO)
        (void)MHD_add_response_header(m, "x-should-retry", "false");
    count_refusal(m);
    return m;
}
