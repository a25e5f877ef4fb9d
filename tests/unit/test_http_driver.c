/* tests/unit/test_http_driver.c -- the HTTP transport against a scripted, hostile upstream. */
#include "backends/http_driver.h"
#include "backends/health.h"
#include "base/version.h"
#include "tests/helpers/stub_http.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DATA_MAX = 4096, PATIENCE_MS = 8000 };
#define SECOND INT64_C(1000000000)

/* ---- a backend, its loop and a clock that is moved by hand ---- */

static int64_t now_ns;
static int64_t fake_mono(void *arg)
{
    (void)arg;
    return now_ns;
}
static const struct env fake_env = { .mono_ns = fake_mono };

struct rig {
    struct stub_http *stub;
    struct catalog_backend conf;
    char address[128];
    uv_loop_t loop;
    uv_timer_t guard;
    struct backend *backend;
    bool inside; /* of a driver's function: no callback may come now */
    bool closed;
};

struct call {
    struct rig *rig;
    struct backend_call *call;
    char data[DATA_MAX]; /* "event;event;"; the body's pieces alike */
    size_t bytes;
    unsigned pieces, usage_events, ends;
    struct usage so_far;
    struct backend_end end;
    unsigned cancel_at, pause_at; /* after so many pieces */
};

static void on_guard(uv_timer_t *t)
{
    (void)t;
    ck_abort_msg("nothing happened for %d ms", PATIENCE_MS);
}

static void rig_open_at(struct rig *r, const char *url, const char *path)
{
    snprintf(r->address, sizeof r->address, "%s%s", url, path);
    r->conf.name = "stub";
    r->conf.transport = TRANSPORT_HTTP;
    r->conf.address = r->address;
    if (!r->conf.concurrency)
        r->conf.concurrency = 8;
    uv_loop_init(&r->loop);
    uv_timer_init(&r->loop, &r->guard);
    uv_timer_start(&r->guard, on_guard, PATIENCE_MS, 0);
    ck_assert_int_eq(backend_http_driver.open(&r->conf, &r->loop, &fake_env, &r->backend),
                     STATUS_OK);
}

static void rig_open(struct rig *r, const struct stub_http_answer *answers, size_t count)
{
    r->stub = stub_http_start(answers, count, false);
    rig_open_at(r, stub_http_url(r->stub), "/v1");
}

static void on_closed(void *arg)
{
    struct rig *r = arg;
    r->closed = true;
}

static void rig_close(struct rig *r)
{
    backend_http_driver.close(r->backend, on_closed, r);
    ck_assert(!r->closed);
    while (!r->closed)
        uv_run(&r->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&r->guard, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&r->loop), 0); /* no handle was forgotten */
    if (r->stub)
        stub_http_stop(r->stub);
}

static void wait_up(struct rig *r)
{
    while (!r->backend->stats.up)
        uv_run(&r->loop, UV_RUN_ONCE);
}

static void cancel(struct call *c)
{
    c->rig->inside = true;
    backend_http_driver.cancel(c->call);
    c->rig->inside = false;
}

static void set_pause(struct call *c, bool paused)
{
    c->rig->inside = true;
    backend_http_driver.pause(c->call, paused);
    c->rig->inside = false;
}

static void on_data(void *arg, const struct backend_data *d)
{
    struct call *c = arg;
    ck_assert(!c->rig->inside);
    ck_assert_uint_eq(c->ends, 0);
    size_t used = strlen(c->data);
    snprintf(c->data + used, sizeof c->data - used, "%.*s;", (int)d->len, d->bytes);
    c->bytes += d->len;
    c->pieces++;
    c->usage_events += d->usage_event;
    if (d->so_far)
        c->so_far = *d->so_far;
    if (c->pieces == c->cancel_at)
        cancel(c);
    if (c->pieces == c->pause_at)
        set_pause(c, true);
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct call *c = arg;
    ck_assert(!c->rig->inside);
    c->end = *end;
    c->ends++;
}

static const struct backend_events events = { on_data, on_end };

static enum status start_as(struct rig *r, struct call *c, enum capability cap, bool stream)
{
    static const char body[] = "{\"model\":\"m\"}";
    struct backend_order order = { .rid = 1,
                                   .capability = cap,
                                   .model = "a model/1",
                                   .public_model = "base/chat",
                                   .stream = stream,
                                   .body = { body, sizeof body - 1 },
                                   .first_byte_timeout_ms = 60000,
                                   .chunk_timeout_ms = 10000,
                                   .total_timeout_ms = 600000 };
    c->rig = r;
    r->inside = true;
    enum status s = backend_http_driver.start(r->backend, &order, &events, c, &c->call);
    r->inside = false;
    return s;
}

static void finish(struct call *c)
{
    while (!c->ends)
        uv_run(&c->rig->loop, UV_RUN_ONCE);
    for (int i = 0; i < 3; i++)
        uv_run(&c->rig->loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(c->ends, 1);
}

static void chat(struct rig *r, struct call *c, bool stream)
{
    *c = (struct call){ 0 };
    ck_assert_int_eq(start_as(r, c, CAP_CHAT, stream), STATUS_OK);
    finish(c);
}

/* ---- one answer, right or wrong: what is made of it ---- */

#define JSON_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define SSE_HEAD  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
#define CHUNK     "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}"
#define LAST      "{\"choices\":[{\"delta\":{},\"finish_reason\": \"stop\"}]}"
#define USAGE \
    "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}"
#define BODY                                                                  \
    "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2," \
    "\"prompt_tokens_details\":{\"cached_tokens\":4}}}"
enum kept { LOST, KEPT, EITHER };

static const struct row {
    const char *label;
    bool stream;
    const char *answer;
    enum stub_http_then then;
    enum status status;
    bool untouched;
    enum kept kept; /* the connection serves the next request, too */
    const char *data, *message;
} rows[] = {
    /* whole bodies */
    { "body", false, JSON_HEAD "Content-Length: @\r\n\r\n" BODY, STUB_KEEP, STATUS_OK, false, KEPT,
      BODY ";", "" },
    { "chunked body", false,
      JSON_HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", STUB_KEEP,
      STATUS_OK, false, KEPT, "{};", "" },
    { "body until close", false, JSON_HEAD "\r\n{}", STUB_CLOSE, STATUS_OK, false, LOST, "{};",
      "" },
    { "interim answers", false,
      "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" JSON_HEAD "Content-Length: 2\r\n\r\n{}",
      STUB_KEEP, STATUS_OK, false, KEPT, "{};", "" },
    { "not JSON", false, JSON_HEAD "Content-Length: 5\r\n\r\nhello", STUB_KEEP,
      STATUS_BACKEND_GARBAGE, false, KEPT, "", "" },
    { "no body", false, JSON_HEAD "Content-Length: 0\r\n\r\n", STUB_KEEP, STATUS_BACKEND_GARBAGE,
      false, KEPT, "", "" },
    { "204", false, "HTTP/1.1 204 No Content\r\n\r\n", STUB_KEEP, STATUS_BACKEND_GARBAGE, false,
      KEPT, "", "" },
    { "body cut", false, JSON_HEAD "Content-Length: 98\r\n\r\n{", STUB_CLOSE, STATUS_BACKEND_CUT,
      false, LOST, "", "" },
    { "body reset", false, JSON_HEAD "Content-Length: 98\r\n\r\n{", STUB_RESET, STATUS_BACKEND_CUT,
      false, LOST, "", "" },
    { "chunks cut", false, JSON_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", STUB_CLOSE,
      STATUS_BACKEND_CUT, false, LOST, "", "" },
    { "chunk lies", false, JSON_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
      STUB_HANG, STATUS_BACKEND_CUT, false, LOST, "", "" },
    { "chunk size is no number", false, JSON_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
      STUB_HANG, STATUS_BACKEND_CUT, false, LOST, "", "" },
    { "error object with 200", false,
      JSON_HEAD "Content-Length: @\r\n\r\n{\"error\":{\"code\":400,\"message\":\"bad role\"}}",
      STUB_KEEP, STATUS_BAD_REQUEST, false, KEPT, "", "bad role" },
    /* nothing, or not HTTP */
    { "closed without a word", false, "", STUB_CLOSE, STATUS_BACKEND_FAILED, false, LOST, "", "" },
    { "reset without a word", false, "", STUB_RESET, STATUS_BACKEND_FAILED, false, LOST, "", "" },
    { "not HTTP", false, "220 smtp ready\r\n", STUB_HANG, STATUS_BACKEND_GARBAGE, false, LOST, "",
      "" },
    { "HTTP/9.9", false, "HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}", STUB_HANG,
      STATUS_BACKEND_GARBAGE, false, LOST, "", "" },
    /* framing that two readers could read differently */
    { "two lengths", false, JSON_HEAD "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", STUB_HANG,
      STATUS_BACKEND_GARBAGE, false, LOST, "", "" },
    { "two equal lengths", false, JSON_HEAD "Content-Length: 2\r\ncontent-length: 2\r\n\r\n{}",
      STUB_HANG, STATUS_BACKEND_GARBAGE, false, LOST, "", "" },
    { "length and chunks", false,
      JSON_HEAD "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
      STUB_HANG, STATUS_BACKEND_GARBAGE, false, LOST, "", "" },
    { "length is no number", false, JSON_HEAD "Content-Length: abc\r\n\r\n{}", STUB_HANG,
      STATUS_BACKEND_GARBAGE, false, LOST, "", "" },
    { "length is negative", false, JSON_HEAD "Content-Length: -1\r\n\r\n{}", STUB_HANG,
      STATUS_BACKEND_GARBAGE, false, LOST, "", "" },
    { "more than the length", false,
      JSON_HEAD
      "Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\":\"b\"}",
      STUB_KEEP, STATUS_OK, false, LOST, "{};", "" },
    { "more than the chunks", false,
      JSON_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\":\"b\"}",
      STUB_KEEP, STATUS_OK, false, EITHER, "{};", "" },
    /* refusals */
    { "400", false,
      "HTTP/1.1 400 No\r\nContent-Length: @\r\n\r\n"
      "{\"error\":{\"message\":\"no \\u0007 such\\nrole\",\"param\":\"messages\",\"x\":1}}",
      STUB_KEEP, STATUS_BAD_REQUEST, false, KEPT, "", "no   such role" },
    { "400, for a stream", true,
      "HTTP/1.1 400 No\r\nContent-Length: @\r\n\r\n{\"error\":{\"message\":\"bad\"}} ", STUB_KEEP,
      STATUS_BAD_REQUEST, false, KEPT, "", "bad" },
    { "400, flat", false, "HTTP/1.1 400 No\r\nContent-Length: @\r\n\r\n{\"message\":\"bad\"}",
      STUB_KEEP, STATUS_BAD_REQUEST, false, KEPT, "", "bad" },
    { "400, a sentence", false, "HTTP/1.1 400 No\r\nContent-Length: @\r\n\r\n{\"error\":\"bad\"}",
      STUB_KEEP, STATUS_BAD_REQUEST, false, KEPT, "", "bad" },
    { "400, not JSON", false, "HTTP/1.1 400 No\r\nContent-Length: 6\r\n\r\n<html>", STUB_KEEP,
      STATUS_BAD_REQUEST, false, KEPT, "", "" },
    { "400, quotes our key", false,
      "HTTP/1.1 400 No\r\nContent-Length: @\r\n\r\n{\"error\":{\"message\":\"bad sk-secret1\"}}   ",
      STUB_KEEP, STATUS_BAD_REQUEST, false, KEPT, "", "" },
    { "context", false,
      "HTTP/1.1 400 No\r\nContent-Length: @\r\n\r\n"
      "{\"error\":{\"message\":\"long\",\"code\":\"context_length_exceeded\"}} ",
      STUB_KEEP, STATUS_CONTEXT_LENGTH, false, KEPT, "", "long" },
    { "401", false,
      "HTTP/1.1 401 No\r\nContent-Length: @\r\n\r\n{\"error\":{\"message\":\"key abc\"}}  ",
      STUB_KEEP, STATUS_BACKEND_FAILED, false, KEPT, "",
      "the model's backend refused the gateway's credentials" },
    { "403", false, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", STUB_KEEP,
      STATUS_BACKEND_FAILED, false, KEPT, "",
      "the model's backend refused the gateway's credentials" },
    { "404", false, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", STUB_KEEP,
      STATUS_MODEL_NOT_FOUND, false, KEPT, "", "" },
    { "413", false, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n", STUB_KEEP,
      STATUS_BODY_TOO_LARGE, false, KEPT, "", "" },
    { "422", false, "HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n", STUB_KEEP, STATUS_BAD_REQUEST,
      false, KEPT, "", "" },
    { "500", false,
      "HTTP/1.1 500 No\r\nContent-Length: @\r\n\r\n{\"error\":{\"message\":\"bug\"}} ", STUB_KEEP,
      STATUS_BACKEND_FAILED, false, KEPT, "", "" },
    { "503", false, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", STUB_KEEP,
      STATUS_BACKEND_FAILED, true, KEPT, "", "" },
    { "503, cut", false, "HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nx", STUB_CLOSE,
      STATUS_BACKEND_FAILED, true, LOST, "", "" },
    { "302", false, "HTTP/1.1 302 No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", STUB_KEEP,
      STATUS_BACKEND_FAILED, false, KEPT, "", "" },
    /* streams; their HTTP framing is "until close" unless it matters */
    { "stream", true,
      SSE_HEAD "\r\ndata: " CHUNK "\n\ndata: " LAST "\n\ndata: " USAGE "\n\ndata: [DONE]\n\n",
      STUB_CLOSE, STATUS_OK, false, LOST, CHUNK ";" LAST ";" USAGE ";", "" },
    { "chunked stream", true,
      SSE_HEAD
      "Transfer-Encoding: chunked\r\n\r\n9\r\ndata: {}\n\r\n10\r\n\ndata: [DONE]\n\n\r\n0\r\n\r\n",
      STUB_KEEP, STATUS_OK, false, KEPT, "{};", "" },
    { "crlf, comments, names", true,
      SSE_HEAD "\r\n: hi\r\n\r\nevent: x\r\nid: 4\r\ndata:{}\r\n\r\ndata:[DONE]\r\n\r\n",
      STUB_CLOSE, STATUS_OK, false, LOST, "{};", "" },
    { "no [DONE] but a finish", true, SSE_HEAD "\r\ndata: " LAST "\n\n", STUB_CLOSE, STATUS_OK,
      false, LOST, LAST ";", "" },
    { "no [DONE], no finish", true, SSE_HEAD "\r\ndata: " CHUNK "\n\n", STUB_CLOSE,
      STATUS_BACKEND_CUT, false, LOST, CHUNK ";", "" },
    { "a finish, but cut", true, SSE_HEAD "Content-Length: 999\r\n\r\ndata: " LAST "\n\n",
      STUB_CLOSE, STATUS_BACKEND_CUT, false, LOST, LAST ";", "" },
    { "reset in the stream", true, SSE_HEAD "Content-Length: 999\r\n\r\ndata: " CHUNK "\n\n",
      STUB_RESET, STATUS_BACKEND_CUT, false, LOST, NULL, "" },
    { "events after [DONE]", true, SSE_HEAD "\r\ndata: {}\n\ndata: [DONE]\n\ndata: rubbish\n\n",
      STUB_CLOSE, STATUS_OK, false, LOST, "{};", "" },
    { "empty stream", true, SSE_HEAD "\r\n", STUB_CLOSE, STATUS_BACKEND_CUT, false, LOST, "", "" },
    { "only [DONE]", true, SSE_HEAD "\r\ndata: [DONE]\n\n", STUB_CLOSE, STATUS_OK, false, LOST, "",
      "" },
    { "event is not JSON", true, SSE_HEAD "\r\ndata: {}\n\ndata: {\n\n", STUB_HANG,
      STATUS_BACKEND_GARBAGE, false, LOST, "{};", "" },
    { "event is no object", true, SSE_HEAD "\r\ndata: [1]\n\n", STUB_HANG, STATUS_BACKEND_GARBAGE,
      false, LOST, "", "" },
    { "first event is an error", true,
      SSE_HEAD "\r\ndata: {\"error\":{\"message\":\"too hot\",\"code\":400}}\n\n", STUB_HANG,
      STATUS_BAD_REQUEST, false, LOST, "", "too hot" },
    { "first event is a failure", true, SSE_HEAD "\r\ndata: {\"error\":{\"message\":\"oom\"}}\n\n",
      STUB_HANG, STATUS_BACKEND_FAILED, false, LOST, "", "" },
    { "error in the stream", true,
      SSE_HEAD "\r\ndata: {}\n\ndata: {\"error\":{\"message\":\"x\",\"code\":503}}\n\n", STUB_HANG,
      STATUS_BACKEND_CUT, false, LOST, "{};", "" },
    { "error: null is none", true, SSE_HEAD "\r\ndata: {\"error\":null}\n\ndata: [DONE]\n\n",
      STUB_CLOSE, STATUS_OK, false, LOST, "{\"error\":null};", "" },
    { "JSON where a stream was asked for", true, JSON_HEAD "Content-Length: 2\r\n\r\n{}", STUB_KEEP,
      STATUS_BACKEND_GARBAGE, false, KEPT, "", "" },
    { "error where a stream was asked for", true,
      JSON_HEAD "Content-Length: @\r\n\r\n{\"error\":{\"message\":\"bad\",\"code\":422}} ",
      STUB_KEEP, STATUS_BAD_REQUEST, false, KEPT, "", "bad" },
};

/* "@" in the head stands for the length of what follows the head. */
static char *with_length(const char *answer)
{
    char *text = NULL;
    const char *at = strchr(answer, '@'), *body = strstr(answer, "\r\n\r\n");
    if (!at || !body)
        return strdup(answer);
    int len = asprintf(&text, "%.*s%zu%s", (int)(at - answer), answer, strlen(body + 4), at + 1);
    ck_assert_int_gt(len, 0);
    return text;
}

START_TEST(test_answer)
{
    const struct row *row = &rows[_i];
    char *answer = with_length(row->answer);
    struct stub_http_answer answers[] = { { .bytes = answer, .then = row->then },
                                          { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" } };
    char secret[] = "sk-secret1";
    struct rig r = { .conf.secret = secret };
    struct call c;
    rig_open(&r, answers, 2);
    chat(&r, &c, row->stream);
    ck_assert_msg(c.end.status == row->status, "%s: %s", row->label,
                  status_info(c.end.status)->name);
    ck_assert_msg(c.end.untouched == row->untouched, "%s", row->label);
    ck_assert_msg(!row->data || strcmp(c.data, row->data) == 0, "%s: %s", row->label, c.data);
    ck_assert_msg(strcmp(c.end.message, row->message) == 0, "%s: %s", row->label, c.end.message);
    chat(&r, &c, false);
    ck_assert_msg(c.end.status == STATUS_OK && strcmp(c.data, "{};") == 0, "%s: %s", row->label,
                  c.data);
    unsigned connections = stub_http_connections(r.stub);
    ck_assert_msg(connections == (row->kept == KEPT ? 1 : 2) || row->kept == EITHER,
                  "%s: %u connections", row->label, connections);
    rig_close(&r);
    free(answer);
}
END_TEST

/* The same events whatever the size of the pieces they arrive in. */
START_TEST(test_pieces)
{
    char *stream = stub_http_stream("data: " CHUNK "\n\ndata: " LAST "\n\ndata: " USAGE
                                    "\n\ndata: [DONE]\n\n");
    struct stub_http_answer a = { .bytes = stream,
                                  .piece = (size_t)_i,
                                  .piece_ms = _i < 40 ? 0 : 1 };
    struct rig r = { 0 };
    struct call c;
    rig_open(&r, &a, 1);
    chat(&r, &c, true);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    ck_assert_str_eq(c.data, CHUNK ";" LAST ";" USAGE ";");
    ck_assert_uint_eq(c.usage_events, 1);
    ck_assert_uint_eq(c.end.usage.qty[METER_INPUT_UNCACHED], 9);
    ck_assert_uint_eq(c.end.usage.qty[METER_OUTPUT_TEXT], 2);
    ck_assert(!usage_has(&c.end.usage, METER_INPUT_CACHED));
    rig_close(&r);
    free(stream);
}
END_TEST

START_TEST(test_usage)
{
    char *body = stub_http_json(200, "", BODY);
    char *images = stub_http_json(200, "", "{\"data\":[{},{},{}]}");
    char *mute = stub_http_json(200, "", "{\"usage\":null}");
    char *backwards = stub_http_stream(
        "data: {\"choices\":[{}],\"usage\":{\"completion_tokens\":5}}\n\n"
        "data: {\"choices\":[{}],\"usage\":{\"completion_tokens\":3}}\n\ndata: [DONE]\n\n");
    struct stub_http_answer a[] = {
        { .bytes = body }, { .bytes = images }, { .bytes = mute }, { .bytes = backwards }
    };
    struct rig r = { 0 };
    struct call c;
    rig_open(&r, a, 4);
    chat(&r, &c, false);
    ck_assert_uint_eq(c.end.usage.qty[METER_INPUT_UNCACHED], 5);
    ck_assert_uint_eq(c.end.usage.qty[METER_INPUT_CACHED], 4);
    ck_assert_uint_eq(c.so_far.present, c.end.usage.present);
    c = (struct call){ 0 };
    ck_assert_int_eq(start_as(&r, &c, CAP_IMAGES, false), STATUS_OK);
    finish(&c);
    ck_assert_uint_eq(c.end.usage.qty[METER_IMAGES], 3);
    chat(&r, &c, false);
    ck_assert_uint_eq(c.end.usage.present, 0);
    chat(&r, &c, true);
    ck_assert_uint_eq(c.end.usage.qty[METER_OUTPUT_TEXT], 5);
    ck_assert_uint_eq(c.usage_events, 0);
    ck_assert_uint_eq(r.backend->stats.protocol_errors, 1);
    rig_close(&r);
    free(body);
    free(images);
    free(mute);
    free(backwards);
}
END_TEST

/* ---- what is sent ---- */

static const struct {
    enum capability cap;
    const char *path, *line;
} request_rows[] = {
    { CAP_CHAT, "/v1", "POST /v1/chat/completions HTTP/1.1\r\n" },
    { CAP_EMBEDDINGS, "/v1/", "POST /v1/embeddings HTTP/1.1\r\n" },
    { CAP_IMAGES, "/a/b/v1?api-version=1",
      "POST /a/b/v1/images/generations?api-version=1 HTTP/1.1\r\n" },
    { CAP_INFER, "", "POST /v2/models/a%20model%2F1/infer HTTP/1.1\r\n" },
    { CAP_INFER, "/triton/", "POST /triton/v2/models/a%20model%2F1/infer HTTP/1.1\r\n" },
};

START_TEST(test_request)
{
    struct stub_http_answer a = { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" };
    char secret[] = "sk-1", id[RID_TEXT_BYTES], line[64];
    struct rig r = { .conf.secret = secret };
    struct call c = { 0 };
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* must not be asked */
    r.stub = stub_http_start(&a, 1, false);
    rig_open_at(&r, stub_http_url(r.stub), request_rows[_i].path);
    ck_assert_int_eq(start_as(&r, &c, request_rows[_i].cap, false), STATUS_OK);
    finish(&c);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    char *got = stub_http_last(r.stub);
    snprintf(line, sizeof line, "\r\nx-request-id: %s\r\n", rid_text(1, id));
    ck_assert_msg(strncasecmp(got, request_rows[_i].line, strlen(request_rows[_i].line)) == 0, "%s",
                  got);
    ck_assert_ptr_nonnull(strstr(got, line));
    ck_assert_ptr_nonnull(strstr(got, "\r\nAuthorization: Bearer sk-1\r\n"));
    ck_assert_ptr_nonnull(strstr(got, "\r\nContent-Type: application/json\r\n"));
    ck_assert_ptr_nonnull(strstr(got, "\r\nAccept-Encoding: identity\r\n"));
    ck_assert_ptr_nonnull(strstr(got, "\r\nUser-Agent: maasgate/" MAAS_VERSION "\r\n"));
    ck_assert_ptr_nonnull(strstr(got, "\r\nContent-Length: 13\r\n"));
    ck_assert_ptr_null(strcasestr(got, "expect:"));
    ck_assert_ptr_nonnull(strstr(got, "\r\n\r\n{\"model\":\"m\"}"));
    free(got);
    rig_close(&r);
}
END_TEST

START_TEST(test_bad_address)
{
    static const char *const bad[] = {
        "ftp://127.0.0.1/v1", "http://u:p@127.0.0.1/v1", "not a url", "http://", "",
        "file:///etc/passwd"
    };
    uv_loop_t loop;
    struct backend *b = NULL;
    struct catalog_backend conf = { .concurrency = 1 };
    uv_loop_init(&loop);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        conf.address = bad[i];
        ck_assert_int_eq(backend_http_driver.open(&conf, &loop, &fake_env, &b), STATUS_BAD_FIELD);
    }
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

/* ---- hostile amounts ---- */

static void expect_flood(const char *head, const char *flood, bool stream, enum status expect)
{
    struct stub_http_answer a = { .bytes = head, .flood = flood, .flood_bytes = 100 << 20 };
    struct rig r = { 0 };
    struct call c;
    rig_open(&r, &a, 1);
    chat(&r, &c, stream);
    ck_assert_msg(c.end.status == expect, "%s", status_info(c.end.status)->name);
    ck_assert(stub_http_wait_closed(r.stub, 1));
    rig_close(&r);
}

static char *repeat(char c, size_t len)
{
    char *text = malloc(len + 1);
    memset(text, c, len);
    text[len] = '\0';
    return text;
}

START_TEST(test_floods)
{
    char *word = repeat('x', 8192), *huge = repeat(' ', 1 << 20);
    expect_flood(JSON_HEAD, "X-A: b\r\n", false, STATUS_BACKEND_GARBAGE);
    expect_flood(JSON_HEAD "X-A: ", word, false, STATUS_BACKEND_GARBAGE);
    expect_flood("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", false,
                 STATUS_BACKEND_GARBAGE);
    expect_flood(SSE_HEAD "\r\ndata: ", word, true, STATUS_BACKEND_GARBAGE);
    expect_flood(SSE_HEAD "\r\n", "data: x\n", true, STATUS_BACKEND_GARBAGE);
    expect_flood("HTTP/1.1 500 No\r\n\r\n", word, false, STATUS_BACKEND_FAILED);
    expect_flood(JSON_HEAD "\r\n", huge, false, STATUS_BACKEND_GARBAGE);
    free(word);
    free(huge);
}
END_TEST

/* ---- nobody there, and time ---- */

START_TEST(test_refused)
{
    struct rig r = { 0 };
    struct call c;
    struct stub_http_answer a = { .bytes = "" };
    struct stub_http *gone = stub_http_start(&a, 1, false);
    char url[64];
    snprintf(url, sizeof url, "%s", stub_http_url(gone));
    stub_http_stop(gone);
    rig_open_at(&r, url, "/v1");
    for (int i = 0; i < HEALTH_FAILURES_MAX; i++) {
        chat(&r, &c, false);
        ck_assert_int_eq(c.end.status, STATUS_NO_BACKEND);
        ck_assert(c.end.untouched);
    }
    ck_assert(!r.backend->stats.up);
    ck_assert_int_eq(start_as(&r, &c, CAP_CHAT, false), STATUS_NO_BACKEND);
    now_ns += 30 * SECOND;
    struct call probe = { 0 };
    ck_assert_int_eq(start_as(&r, &probe, CAP_CHAT, false), STATUS_OK);
    ck_assert_int_eq(start_as(&r, &c, CAP_CHAT, false), STATUS_NO_BACKEND); /* one probe only */
    finish(&probe);
    now_ns += 59 * SECOND;
    ck_assert_int_eq(start_as(&r, &c, CAP_CHAT, false), STATUS_NO_BACKEND);
    ck_assert_uint_eq(r.backend->stats.failed, HEALTH_FAILURES_MAX + 1);
    rig_close(&r);
}
END_TEST

START_TEST(test_not_tls)
{
    struct rig r = { 0 };
    struct call c;
    struct stub_http_answer a = { .bytes = "HTTP/1.1 400 No\r\n\r\n",
                                  .then = STUB_CLOSE,
                                  .at_once = true };
    char url[64];
    r.stub = stub_http_start(&a, 1, false);
    snprintf(url, sizeof url, "https%s", stub_http_url(r.stub) + 4);
    rig_open_at(&r, url, "/v1");
    chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_NO_BACKEND);
    ck_assert(c.end.untouched);
    rig_close(&r);
}
END_TEST

/* A certificate of an authority that we were told of is taken, any other is not. */
START_TEST(test_tls)
{
    struct stub_http_answer a = { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" };
    struct stub_http *stub = stub_http_start(&a, 1, true);
    struct rig trusting = { .stub = stub, .conf.ca_file = stub_http_ca_file(stub) };
    struct rig strict = { .conf.ca_file = "" };
    struct call c;
    rig_open_at(&strict, stub_http_url(stub), "/v1");
    chat(&strict, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_NO_BACKEND);
    ck_assert(c.end.untouched);
    ck_assert_uint_eq(stub_http_requests(stub), 0);
    rig_close(&strict);
    rig_open_at(&trusting, stub_http_url(stub), "/v1");
    for (int i = 0; i < 3; i++) {
        chat(&trusting, &c, false);
        ck_assert_int_eq(c.end.status, STATUS_OK);
    }
    ck_assert_uint_eq(trusting.backend->stats.connects, 1);
    rig_close(&trusting);
}
END_TEST

START_TEST(test_wrong_name)
{
    struct stub_http_answer a = { .bytes = "" };
    struct stub_http *stub = stub_http_start(&a, 1, true);
    struct rig r = { .stub = stub, .conf.ca_file = stub_http_ca_file(stub) };
    struct call c;
    char url[64];
    snprintf(url, sizeof url, "https://localhost%s", strrchr(stub_http_url(stub), ':'));
    rig_open_at(&r, url, "/v1");
    wait_up(&r);
    chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_NO_BACKEND);
    ck_assert_uint_eq(stub_http_requests(stub), 0);
    rig_close(&r);
}
END_TEST

/* The clock jumps when the answer has come as far as the row says. */
static const struct {
    const char *label, *answer;
    bool stream;
    unsigned pieces;
    int64_t jump_s;
    enum status status;
} time_rows[] = {
    { "first byte", "", false, 0, 61, STATUS_DEADLINE },
    { "first byte after the headers", SSE_HEAD "\r\n", true, 0, 61, STATUS_DEADLINE },
    { "between chunks", SSE_HEAD "\r\ndata: {}\n\n", true, 1, 11, STATUS_DEADLINE },
    { "total", SSE_HEAD "\r\ndata: {}\n\n", true, 1, 601, STATUS_DEADLINE },
    { "[DONE] but no end", SSE_HEAD "\r\ndata: {}\n\ndata: [DONE]\n\n", true, 1, 2, STATUS_OK },
};

START_TEST(test_time)
{
    struct stub_http_answer a = { .bytes = time_rows[_i].answer, .then = STUB_HANG };
    struct rig r = { 0 };
    struct call c = { 0 };
    rig_open(&r, &a, 1);
    ck_assert_int_eq(start_as(&r, &c, CAP_CHAT, time_rows[_i].stream), STATUS_OK);
    while (c.pieces < time_rows[_i].pieces || !stub_http_requests(r.stub))
        uv_run(&r.loop, UV_RUN_ONCE);
    now_ns += time_rows[_i].jump_s * SECOND;
    finish(&c);
    ck_assert_msg(c.end.status == time_rows[_i].status, "%s", time_rows[_i].label);
    ck_assert(!c.end.untouched);
    ck_assert(stub_http_wait_closed(r.stub, 1)); /* the upstream is told by the closed connection */
    rig_close(&r);
}
END_TEST

START_TEST(test_retry_after)
{
    struct stub_http_answer a[] = {
        { .bytes = "HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n" },
        { .bytes = "HTTP/1.1 429 No\r\nRetry-After: 99999999\r\nContent-Length: 0\r\n\r\n" },
        { .bytes = "HTTP/1.1 429 No\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n" },
    };
    static const uint32_t expect[] = { 7000, 3600000, 0 };
    struct rig r = { 0 };
    struct call c;
    rig_open(&r, a, 3);
    for (int i = 0; i < 3; i++) {
        chat(&r, &c, false);
        ck_assert_int_eq(c.end.status, STATUS_OVERLOADED);
        ck_assert(c.end.untouched);
        ck_assert_uint_eq(c.end.retry_after_ms, expect[i]);
    }
    ck_assert(r.backend->stats.up);
    rig_close(&r);
}
END_TEST

/* ---- one answer, one bill ---- */

/* The kept connection dies when the second request arrives: it must not be sent again. */
START_TEST(test_no_second_execution)
{
    struct stub_http_answer a[] = { { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" },
                                    { .bytes = "", .then = STUB_CLOSE } };
    struct rig r = { 0 };
    struct call c;
    rig_open(&r, a, 2);
    chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_BACKEND_FAILED);
    ck_assert(!c.end.untouched);
    ck_assert_uint_eq(stub_http_requests(r.stub), 2);
    rig_close(&r);
}
END_TEST

/* Servers close kept connections, politely or not: the next request just takes a new one. */
START_TEST(test_closed_while_kept)
{
    char *answer = stub_http_json(200, "", "{}");
    struct stub_http_answer a[] = { { .bytes = answer, .then = _i ? STUB_RESET : STUB_CLOSE },
                                    { .bytes = answer } };
    struct rig r = { 0 };
    struct call c;
    rig_open(&r, a, 2);
    chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    ck_assert(stub_http_wait_closed(r.stub, 1));
    chat(&r, &c, false);
    ck_assert_msg(c.end.status == STATUS_OK, "%s", status_info(c.end.status)->name);
    ck_assert_uint_eq(stub_http_connections(r.stub), 2);
    rig_close(&r);
    free(answer);
}
END_TEST

/* An answer that nobody asked for is not taken for the next request's. */
START_TEST(test_unasked_answer)
{
    struct stub_http_answer a[] = {
        { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" JSON_HEAD
                             "Content-Length: 7\r\n\r\n{\"a\":1}",
          .piece = sizeof JSON_HEAD "Content-Length: 2\r\n\r\n{}" - 1,
          .piece_ms = 20 },
        { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" },
    };
    struct rig r = { 0 };
    struct call c;
    rig_open(&r, a, 2);
    chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    usleep(60 * 1000); /* the loop does not see it come: it is there when the next request starts */
    chat(&r, &c, false);
    ck_assert_msg(strcmp(c.data, "{};") == 0, "%s %s", c.data, status_info(c.end.status)->name);
    ck_assert_uint_eq(stub_http_connections(r.stub), 2);
    rig_close(&r);
}
END_TEST

/* ---- cancel, pause, close ---- */

START_TEST(test_cancel)
{
    char *stream = stub_http_stream("data: {}\n\ndata: {}\n\ndata: {}\n\ndata: [DONE]\n\n");
    struct stub_http_answer a = { .bytes = stream, .then = STUB_KEEP };
    struct rig r = { 0 };
    struct call c = { .cancel_at = 2 };
    rig_open(&r, &a, 1);
    ck_assert_int_eq(start_as(&r, &c, CAP_CHAT, true), STATUS_OK);
    finish(&c);
    ck_assert_int_eq(c.end.status, STATUS_CLIENT_GONE);
    ck_assert_uint_eq(c.pieces, 2);
    ck_assert(stub_http_wait_closed(r.stub, 1));

    c = (struct call){ 0 }; /* before anything was sent */
    ck_assert_int_eq(start_as(&r, &c, CAP_CHAT, true), STATUS_OK);
    cancel(&c);
    cancel(&c);
    finish(&c);
    ck_assert_int_eq(c.end.status, STATUS_CLIENT_GONE);
    ck_assert(c.end.untouched);
    ck_assert_uint_eq(stub_http_requests(r.stub), 1);
    ck_assert_uint_eq(r.backend->stats.cancelled, 2);
    ck_assert_uint_eq(r.backend->stats.running, 0);
    rig_close(&r);
    free(stream);
}
END_TEST

static void on_spun(uv_timer_t *t)
{
    (void)t;
}

static void spin(struct rig *r, uint64_t ms)
{
    uv_timer_t wait;
    uv_timer_init(&r->loop, &wait);
    uv_timer_start(&wait, on_spun, ms, 0);
    while (uv_is_active((uv_handle_t *)&wait))
        uv_run(&r->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&wait, NULL);
    uv_run(&r->loop, UV_RUN_NOWAIT);
}

/* While paused nothing more is read, so the upstream's sends come to a halt; then all of it arrives. */
START_TEST(test_pause)
{
    enum { FLOOD = 64 << 20 };
    struct stub_http_answer a = {
        .bytes = SSE_HEAD "\r\n", .flood = "data: {}\n\n", .flood_bytes = FLOOD, .then = STUB_CLOSE
    };
    struct rig r = { 0 };
    struct call c = { .pause_at = 1 };
    rig_open(&r, &a, 1);
    ck_assert_int_eq(start_as(&r, &c, CAP_CHAT, true), STATUS_OK);
    while (!c.pieces)
        uv_run(&r.loop, UV_RUN_ONCE);
    spin(&r, 150);
    unsigned held = c.pieces;
    ck_assert_uint_lt(held, 64 * 1024 / 10);
    now_ns += 100 * SECOND; /* a reader's slowness is not the backend's silence */
    spin(&r, 250);
    ck_assert_uint_eq(c.pieces, held);
    ck_assert_uint_eq(c.ends, 0);
    set_pause(&c, false);
    set_pause(&c, true);
    spin(&r, 50);
    ck_assert_uint_eq(c.pieces, held);
    set_pause(&c, false);
    while (c.pieces < held + 10000)
        uv_run(&r.loop, UV_RUN_ONCE);
    cancel(&c);
    finish(&c);
    ck_assert_int_eq(c.end.status, STATUS_CLIENT_GONE);
    rig_close(&r);
}
END_TEST

START_TEST(test_pause_to_the_end)
{
    char *stream = stub_http_stream("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n");
    struct stub_http_answer a = { .bytes = stream, .piece = 1 };
    struct rig r = { 0 };
    struct call c = { .pause_at = 1 };
    rig_open(&r, &a, 1);
    ck_assert_int_eq(start_as(&r, &c, CAP_CHAT, true), STATUS_OK);
    while (!c.pieces)
        uv_run(&r.loop, UV_RUN_ONCE);
    spin(&r, 50);
    ck_assert_uint_eq(c.ends, 0);
    set_pause(&c, false);
    finish(&c);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    ck_assert_uint_eq(c.pieces, 2);
    rig_close(&r);
    free(stream);
}
END_TEST

START_TEST(test_close_ends_calls)
{
    struct stub_http_answer a = { .bytes = SSE_HEAD "\r\ndata: {}\n\n", .then = STUB_HANG };
    struct rig r = { 0 };
    struct call running = { 0 }, fresh = { 0 };
    rig_open(&r, &a, 1);
    ck_assert_int_eq(start_as(&r, &running, CAP_CHAT, true), STATUS_OK);
    while (!running.pieces)
        uv_run(&r.loop, UV_RUN_ONCE);
    ck_assert_int_eq(start_as(&r, &fresh, CAP_CHAT, true), STATUS_OK);
    rig_close(&r);
    ck_assert_uint_eq(running.ends, 1);
    ck_assert_uint_eq(fresh.ends, 1);
    ck_assert_int_eq(running.end.status, STATUS_CLIENT_GONE);
}
END_TEST

/* ---- many at once, and names ---- */

START_TEST(test_concurrency)
{
    char *body = stub_http_json(200, "", "{}");
    struct stub_http_answer a = { .bytes = body, .piece = 40, .piece_ms = 5 };
    struct rig r = { .conf.concurrency = 20 };
    struct call calls[21] = { 0 };
    rig_open(&r, &a, 1);
    for (int round = 0; round < 3; round++) {
        memset(calls, 0, sizeof calls);
        for (int i = 0; i < 20; i++)
            ck_assert_int_eq(start_as(&r, &calls[i], CAP_CHAT, false), STATUS_OK);
        ck_assert_int_eq(start_as(&r, &calls[20], CAP_CHAT, false), STATUS_OVERLOADED);
        for (int i = 0; i < 20; i++) {
            finish(&calls[i]);
            ck_assert_int_eq(calls[i].end.status, STATUS_OK);
        }
    }
    ck_assert_uint_eq(stub_http_connections(r.stub), 20); /* all were kept */
    ck_assert_uint_eq(r.backend->stats.ok, 60);
    ck_assert_uint_eq(r.backend->stats.started, 60);
    rig_close(&r);
    free(body);
}
END_TEST

/* A name is looked up in the background; until then, and when it is not known, there is no backend. */
START_TEST(test_name)
{
    struct stub_http_answer a = { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" };
    struct stub_http *stub = stub_http_start(&a, 1, false);
    struct rig known = { .stub = stub }, unknown = { 0 }, hasty = { 0 };
    struct call c;
    char url[96];
    const char *port = strrchr(stub_http_url(stub), ':');
    snprintf(url, sizeof url, "http://no-such-name.invalid%s", port);
    rig_open_at(&unknown, url, "/v1");
    spin(&unknown, 300);
    ck_assert_int_eq(start_as(&unknown, &c, CAP_CHAT, false), STATUS_NO_BACKEND);
    rig_close(&unknown);
    snprintf(url, sizeof url, "http://localhost%s", port);
    rig_open_at(&hasty, url, "/v1");
    rig_close(&hasty); /* while the lookup runs */
    rig_open_at(&known, url, "/v1");
    ck_assert(!known.backend->stats.up);
    ck_assert_int_eq(start_as(&known, &c, CAP_CHAT, false), STATUS_NO_BACKEND);
    wait_up(&known);
    chat(&known, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    rig_close(&known);
}
END_TEST

Suite *http_driver_suite(void);
Suite *http_driver_suite(void)
{
    Suite *s = suite_create("http_driver");
    TCase *t = tcase_create("http_driver");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_answer, 0, sizeof rows / sizeof *rows);
    tcase_add_loop_test(t, test_pieces, 1, 48);
    tcase_add_test(t, test_usage);
    tcase_add_loop_test(t, test_request, 0, sizeof request_rows / sizeof *request_rows);
    tcase_add_test(t, test_bad_address);
    tcase_add_test(t, test_floods);
    tcase_add_test(t, test_refused);
    tcase_add_test(t, test_not_tls);
    tcase_add_test(t, test_tls);
    tcase_add_test(t, test_wrong_name);
    tcase_add_loop_test(t, test_time, 0, sizeof time_rows / sizeof *time_rows);
    tcase_add_test(t, test_retry_after);
    tcase_add_test(t, test_no_second_execution);
    tcase_add_loop_test(t, test_closed_while_kept, 0, 2);
    tcase_add_test(t, test_unasked_answer);
    tcase_add_test(t, test_cancel);
    tcase_add_test(t, test_pause);
    tcase_add_test(t, test_pause_to_the_end);
    tcase_add_test(t, test_close_ends_calls);
    tcase_add_test(t, test_concurrency);
    tcase_add_test(t, test_name);
    suite_add_tcase(s, t);
    return s;
}
