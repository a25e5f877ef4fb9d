/* tests/unit/test_http_driver.c -- what is sent, and what is made of each answer, right or wrong. */
#include "base/version.h"
#include "tests/helpers/http_rig.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one answer, right or wrong: what is made of it ---- */

#define CHUNK "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}"
#define LAST  "{\"choices\":[{\"delta\":{},\"finish_reason\": \"stop\"}]}"
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
      STATUS_BACKEND_GARBAGE, false, LOST, "", "" },
    { "no body", false, JSON_HEAD "Content-Length: 0\r\n\r\n", STUB_KEEP, STATUS_BACKEND_GARBAGE,
      false, LOST, "", "" },
    { "204", false, "HTTP/1.1 204 No Content\r\n\r\n", STUB_KEEP, STATUS_BACKEND_GARBAGE, false,
      LOST, "", "" },
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
    { "length and more", false, JSON_HEAD "Content-Length: 2, 2\r\n\r\n{}", STUB_HANG,
      STATUS_BACKEND_GARBAGE, false, LOST, "", "" },
    { "length with a sign", false, JSON_HEAD "Content-Length: +2\r\n\r\n{}", STUB_HANG,
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
    { "400, a key twice", false,
      "HTTP/1.1 400 No\r\nContent-Length: @\r\n\r\n"
      "{\"error\":{\"message\":\"bad\",\"message\":\"worse\"}}",
      STUB_KEEP, STATUS_BAD_REQUEST, false, KEPT, "", "" },
    { "400, not JSON", false, "HTTP/1.1 400 No\r\nContent-Length: 6\r\n\r\n<html>", STUB_KEEP,
      STATUS_BAD_REQUEST, false, KEPT, "", "" },
    { "400, quotes our key", false,
      "HTTP/1.1 400 No\r\nContent-Length: @\r\n\r\n{\"error\":{\"message\":\"bad sk-secret1\"}}   ",
      STUB_KEEP, STATUS_BAD_REQUEST, false, KEPT, "", "" },
    { "context", false,
      "HTTP/1.1 400 No\r\nContent-Length: @\r\n\r\n"
      "{\"error\":{\"message\":\"long\",\"code\":\"context_length_exceeded\"}} ",
      STUB_KEEP, STATUS_CONTEXT_LENGTH, false, KEPT, "", "long" },
    { "too long, as llama.cpp says it", false,
      "HTTP/1.1 400 No\r\nContent-Length: @\r\n\r\n"
      "{\"error\":{\"code\":400,\"message\":\"long\",\"type\":\"exceed_context_size_error\"}}",
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
    { "cut after [DONE]", true, SSE_HEAD "Content-Length: 999\r\n\r\ndata: {}\n\ndata: [DONE]\n\n",
      STUB_CLOSE, STATUS_OK, false, LOST, "{};", "" },
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
      STATUS_BACKEND_GARBAGE, false, LOST, "", "" },
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
    rig_chat(&r, &c, row->stream);
    ck_assert_msg(c.end.status == row->status, "%s: %s", row->label,
                  status_info(c.end.status)->name);
    ck_assert_msg(c.end.untouched == row->untouched, "%s", row->label);
    ck_assert_msg(c.end.unanswered == !*row->answer, "%s", row->label);
    ck_assert_msg(!row->data || strcmp(c.data, row->data) == 0, "%s: %s", row->label, c.data);
    ck_assert_msg(strcmp(c.end.message, row->message) == 0, "%s: %s", row->label, c.end.message);
    rig_chat(&r, &c, false);
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
    rig_chat(&r, &c, true);
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
    rig_chat(&r, &c, false);
    ck_assert_uint_eq(c.end.usage.qty[METER_INPUT_UNCACHED], 5);
    ck_assert_uint_eq(c.end.usage.qty[METER_INPUT_CACHED], 4);
    ck_assert_uint_eq(c.so_far.present, c.end.usage.present);
    c = (struct call){ 0 };
    ck_assert_int_eq(rig_start(&r, &c, CAP_IMAGES, false), STATUS_OK);
    rig_finish(&c);
    ck_assert_uint_eq(c.end.usage.qty[METER_IMAGES], 3);
    rig_chat(&r, &c, false);
    ck_assert_uint_eq(c.end.usage.present, 0);
    rig_chat(&r, &c, true);
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
    if (request_rows[_i].cap == CAP_INFER)
        r.conf.http.dialect = DIALECT_OIP2;
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* must not be asked */
    r.stub = stub_http_start(&a, 1, false);
    rig_open_at(&r, stub_http_url(r.stub), request_rows[_i].path);
    ck_assert_int_eq(rig_start(&r, &c, request_rows[_i].cap, false), STATUS_OK);
    rig_finish(&c);
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
        ck_assert_int_eq(backend_http_driver.open(&conf, &loop, &rig_env, &b), STATUS_BAD_FIELD);
    }
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

/* ---- large, but right ---- */

static char *repeat(char c, size_t len)
{
    char *text = malloc(len + 1);
    memset(text, c, len);
    text[len] = '\0';
    return text;
}

START_TEST(test_large)
{
    enum { BODY_BYTES = 5 << 20, EVENT_BYTES = 700 * 1000 };
    char *words = repeat('x', BODY_BYTES), *json = NULL, *events = NULL, length[40];
    ck_assert_int_gt(asprintf(&json, "{\"a\":\"%s\"}", words), 0);
    words[EVENT_BYTES] = '\0';
    ck_assert_int_gt(asprintf(&events, "data: {\"a\":\"%s\"}\n\ndata: [DONE]\n\n", words), 0);
    char *answer = stub_http_json(200, "", json), *stream = stub_http_stream(events);
    struct stub_http_answer a[] = { { .bytes = answer }, { .bytes = stream } };
    struct rig r = { .body = { json, strlen(json) } };
    struct call c;
    rig_open(&r, a, 2);
    rig_chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    ck_assert_uint_eq(c.bytes, strlen(json));
    char *got = stub_http_last(r.stub);
    snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", strlen(json));
    ck_assert_ptr_nonnull(strstr(got, length));
    ck_assert_str_eq(strstr(got, "\r\n\r\n") + 4, json);
    rig_chat(&r, &c, true);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    ck_assert_uint_eq(c.pieces, 1);
    ck_assert_uint_eq(c.bytes, EVENT_BYTES + strlen("{\"a\":\"\"}"));
    rig_close(&r);
    free(words), free(json), free(events), free(answer), free(stream), free(got);
}
END_TEST

/* ---- hostile amounts ---- */

static void expect_flood(const char *head, const char *flood, bool stream, enum status expect)
{
    struct stub_http_answer a = { .bytes = head, .flood = flood, .flood_bytes = 100 << 20 };
    struct rig r = { 0 };
    struct call c;
    rig_open(&r, &a, 1);
    rig_chat(&r, &c, stream);
    ck_assert_msg(c.end.status == expect, "%s", status_info(c.end.status)->name);
    ck_assert(stub_http_wait_closed(r.stub, 1));
    rig_close(&r);
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
    tcase_add_test(t, test_large);
    tcase_add_test(t, test_floods);
    suite_add_tcase(s, t);
    return s;
}
