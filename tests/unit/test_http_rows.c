/* tests/unit/test_http_rows.c -- the HTTP driver, composed: for each dialect, signer and framer the
 * request to the byte, and what is made of answers in every format. */
#include "base/version.h"
#include "tests/helpers/http_rig.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is sent, to the byte ---- */

static const struct header_row extra[] = { { "OpenAI-Organization", "org-1" }, { "x-b", "c: d" } };

static const struct sign_row {
    struct compose http;
    const char *lines, *query;
} sign_rows[] = {
    { { .signer = SIGNER_BEARER }, "Authorization: Bearer sk+1\r\n", "" },
    { { .signer = SIGNER_HEADER_KEY }, "x-api-key: sk+1\r\n", "" },
    { { .signer = SIGNER_HEADER_KEY,
        .signer_name = "api-key",
        .headers = extra,
        .header_count = 2 },
      "OpenAI-Organization: org-1\r\nx-b: c: d\r\napi-key: sk+1\r\n",
      "" },
    { { .signer = SIGNER_QUERY_KEY }, "", "key=sk%2b1" },
    { { .signer = SIGNER_QUERY_KEY, .signer_name = "k" }, "", "k=sk%2b1" },
};

/* libcurl writes hexadecimal digits in lower case, which is the same URL. */
static const struct path_row {
    enum dialect_id dialect;
    enum capability cap;
    const char *base, *path, *query;
} path_rows[] = {
    { DIALECT_OPENAI, CAP_CHAT, "/v1", "/v1/chat/completions", "" },
    { DIALECT_OPENAI, CAP_COMPLETIONS, "/v1/", "/v1/completions", "" },
    { DIALECT_OPENAI, CAP_EMBEDDINGS, "", "/embeddings", "" },
    { DIALECT_OPENAI, CAP_IMAGES, "/v1?a=b", "/v1/images/generations", "a=b" },
    { DIALECT_OPENAI, CAP_SPEECH, "/v1", "/v1/audio/speech", "" },
    { DIALECT_OPENAI, CAP_TRANSCRIPTION, "/v1", "/v1/audio/transcriptions", "" },
    { DIALECT_OPENAI, CAP_TRANSLATION, "/v1", "/v1/audio/translations", "" },
    { DIALECT_OPENAI, CAP_RERANK, "/v1", "/v1/rerank", "" },
    { DIALECT_OPENAI, CAP_MODERATION, "/v1", "/v1/moderations", "" },
    { DIALECT_OIP2, CAP_INFER, "", "/v2/models/a%20model%2f1/infer", "" },
    { DIALECT_OIP2, CAP_INFER, "/t?a=b", "/t/v2/models/a%20model%2f1/infer", "a=b" },
};

static const struct body_row {
    struct backend_format format;
    const char *lines, *body;
} body_rows[] = {
    { { NULL, false, 0 },
      "Content-Type: application/json\r\n",
      "{\"inputs\":[{\"shape\":[2,3]}]}" },
    { { "multipart/form-data; boundary=xx", false, 0 },
      "Content-Type: multipart/form-data; boundary=xx\r\n",
      "--xx\r\n\r\n\r\n--xx--\r\n" },
    { { "application/octet-stream", true, 8 },
      "Content-Type: application/octet-stream\r\nInference-Header-Content-Length: 8\r\n",
      "{\"a\":[]}\x01\x02\xff" },
    { { "application/octet-stream", true, 0 },
      "Content-Type: application/octet-stream\r\nInference-Header-Content-Length: 0\r\n",
      "\x01\x02\xff" },
};
enum {
    SIGNS = sizeof sign_rows / sizeof *sign_rows,
    PATHS = sizeof path_rows / sizeof *path_rows,
    BODIES = sizeof body_rows / sizeof *body_rows,
};

static char *expected_request(const struct path_row *p, const struct sign_row *s,
                              const struct body_row *b, const char *host)
{
    char *text = NULL, id[RID_TEXT_BYTES];
    bool both = *p->query && *s->query;
    int len = asprintf(
        &text,
        "POST %s%s%s%s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: maasgate/%s\r\n"
        "x-request-id: %s\r\nCDN-Loop: maasgate\r\n%sAccept: */*\r\nAccept-Encoding: identity\r\n%s"
        "Content-Length: %zu\r\n\r\n%s",
        p->path, *p->query || *s->query ? "?" : "", p->query, both ? "&" : "", s->query, host,
        MAAS_VERSION, rid_text(1, id), b->lines, s->lines, strlen(b->body), b->body);
    ck_assert_int_gt(len, 0);
    return text;
}

static void check_request(const struct path_row *p, const struct sign_row *s,
                          const struct body_row *b)
{
    struct stub_http_answer a = { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" };
    char secret[] = "sk+1";
    struct rig r = { .conf = { .secret = secret, .http = s->http },
                     .format = b->format,
                     .body = { b->body, strlen(b->body) } };
    struct call c = { .ends = 0 };
    r.conf.http.dialect = p->dialect;
    r.stub = stub_http_start(&a, 1, false);
    rig_open_at(&r, stub_http_url(r.stub), p->base);
    ck_assert_int_eq(rig_start(&r, &c, p->cap, false), STATUS_OK);
    rig_finish(&c);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    char *expect = expected_request(p, s, b, strstr(stub_http_url(r.stub), "127."));
    char *got = stub_http_last(r.stub);
    ck_assert_str_eq(got, expect);
    free(expect);
    free(got);
    rig_close(&r);
}

START_TEST(test_request)
{
    const struct path_row *p = &path_rows[_i / SIGNS];
    for (size_t i = 0; i < BODIES; i++)
        if (p->dialect == DIALECT_OIP2 || !body_rows[i].format.tensors)
            check_request(p, &sign_rows[_i % SIGNS], &body_rows[i]);
}
END_TEST

/* Through how many gateways it came, and how much time its client left. */
START_TEST(test_told)
{
    static const char *const loops[] = { "CDN-Loop: maasgate", "CDN-Loop: maasgate, maasgate",
                                         "CDN-Loop: maasgate, maasgate, maasgate" };
    struct stub_http_answer a = { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" };
    struct rig r = { .hops = (unsigned)_i, .hurry_ms = _i ? 12345 : 0 };
    struct call c = { .ends = 0 };
    char line[80];
    rig_open(&r, &a, 1);
    rig_chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    char *got = stub_http_last(r.stub);
    snprintf(line, sizeof line, "\r\n%s\r\n", loops[_i]);
    ck_assert_msg(strstr(got, line) != NULL, "%s", got);
    ck_assert_msg(!strstr(got, "x-request-timeout-ms:") == !_i, "%s", got);
    ck_assert_msg(!_i || strstr(got, "\r\nx-request-timeout-ms: 12345\r\n"), "%s", got);
    free(got);
    r.hops = BACKEND_HOPS_MAX; /* the gateway refuses these; were it not so, nothing is sent */
    ck_assert_int_eq(rig_start(&r, &c, CAP_CHAT, false), STATUS_BAD_REQUEST);
    rig_close(&r);
}
END_TEST

/* What the dialect has no words for, and what would be a header line of the caller's. */
START_TEST(test_impossible)
{
    struct stub_http_answer a = { .bytes = "" };
    struct rig r = { .conf.name = "" };
    struct call c = { .ends = 0 };
    rig_open(&r, &a, 1);
    ck_assert_int_eq(rig_start(&r, &c, CAP_INFER, false), STATUS_NO_BACKEND);
    r.format = (struct backend_format){ "application/octet-stream", true, 3 };
    ck_assert_int_eq(rig_start(&r, &c, CAP_CHAT, false), STATUS_NO_BACKEND);
    r.format = (struct backend_format){ "a/b\r\nx-c: d", false, 0 };
    ck_assert_int_eq(rig_start(&r, &c, CAP_CHAT, false), STATUS_BAD_REQUEST);
    char longer[1024] = "";
    memset(longer, 'a', sizeof longer - 1);
    r.format.content_type = longer;
    ck_assert_int_eq(rig_start(&r, &c, CAP_CHAT, false), STATUS_BAD_REQUEST);
    ck_assert_uint_eq(r.backend->stats.started, 0);
    rig_close(&r);
}
END_TEST

/* A secret that would be two header lines. */
START_TEST(test_bad_secret)
{
    char secret[] = "a\r\nx-b: c";
    struct backend *b = NULL;
    struct catalog_backend conf = { .address = "http://127.0.0.1:1/v1",
                                    .secret = secret,
                                    .concurrency = 1 };
    uv_loop_t loop;
    uv_loop_init(&loop);
    for (enum signer_id s = 0; s < SIGNER_COUNT; s++) {
        conf.http.signer = s;
        ck_assert_int_eq(backend_http_driver.open(&conf, &loop, &rig_env, &b), STATUS_BAD_FIELD);
    }
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

/* ---- streams, cut by each framer ---- */

#define NDJSON_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n"
#define LAST        "{\"choices\":[{\"finish_reason\":\"stop\"}]}"
#define USAGE       "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}"
#define DELTA       "{\"type\":\"transcript.text.delta\",\"delta\":\"a\"}"
#define DONE                                                                           \
    "{\"type\":\"transcript.text.done\",\"text\":\"a\",\"usage\":{\"input_tokens\":9," \
    "\"output_tokens\":2}}"

static const struct {
    const char *label;
    enum framer_id framer;
    enum capability cap;
    const char *answer, *data;
    enum status status;
    unsigned usage_events;
} stream_rows[] = {
    { "sse", FRAMER_SSE, CAP_CHAT,
      SSE_HEAD "\r\ndata: " LAST "\n\ndata: " USAGE "\n\ndata: [DONE]\n\n", LAST ";" USAGE ";",
      STATUS_OK, 1 },
    { "lines", FRAMER_NDJSON, CAP_CHAT, NDJSON_HEAD LAST "\n" USAGE "\n", LAST ";" USAGE ";",
      STATUS_OK, 1 },
    { "lines and an end mark", FRAMER_NDJSON, CAP_CHAT, NDJSON_HEAD "{}\n[DONE]\nrubbish", "{};",
      STATUS_OK, 0 },
    { "lines that end too early", FRAMER_NDJSON, CAP_CHAT, NDJSON_HEAD "{}\n", "{};",
      STATUS_BACKEND_CUT, 0 },
    { "a line that is not JSON", FRAMER_NDJSON, CAP_CHAT, NDJSON_HEAD "{}\n{\n", "{};",
      STATUS_BACKEND_GARBAGE, 0 },
    { "an error in a line", FRAMER_NDJSON, CAP_CHAT,
      NDJSON_HEAD "{\"error\":{\"message\":\"x\",\"code\":400}}\n", "", STATUS_BAD_REQUEST, 0 },
    { "sse where lines were expected", FRAMER_NDJSON, CAP_CHAT,
      SSE_HEAD "\r\ndata: {}\n\ndata: [DONE]\n\n", "", STATUS_BACKEND_GARBAGE, 0 },
    { "lines where sse was expected", FRAMER_SSE, CAP_CHAT, NDJSON_HEAD "{}\n", "",
      STATUS_BACKEND_GARBAGE, 0 },
    { "an event named error", FRAMER_SSE, CAP_CHAT,
      SSE_HEAD "\r\nevent: error\ndata: {\"message\":\"x\",\"code\":422}\n\n", "",
      STATUS_BAD_REQUEST, 0 },
    { "named error, says nothing", FRAMER_SSE, CAP_CHAT, SSE_HEAD "\r\nevent: error\ndata: {}\n\n",
      "", STATUS_BACKEND_GARBAGE, 0 },
    { "named error, later", FRAMER_SSE, CAP_CHAT,
      SSE_HEAD "\r\ndata: {}\n\nevent: error\ndata: {\"message\":\"x\"}\n\n", "{};",
      STATUS_BACKEND_CUT, 0 },
    { "another name", FRAMER_SSE, CAP_CHAT,
      SSE_HEAD "\r\nevent: chunk\ndata: {}\n\ndata: [DONE]\n\n", "{};", STATUS_OK, 0 },
    { "a transcription", FRAMER_SSE, CAP_TRANSCRIPTION,
      SSE_HEAD "\r\ndata: " DELTA "\n\ndata: " DONE "\n\n", DELTA ";" DONE ";", STATUS_OK, 1 },
    { "a transcription without its end", FRAMER_SSE, CAP_TRANSCRIPTION,
      SSE_HEAD "\r\ndata: " DELTA "\n\n", DELTA ";", STATUS_BACKEND_CUT, 0 },
    { "its end is nothing to chat", FRAMER_SSE, CAP_CHAT, SSE_HEAD "\r\ndata: " DONE "\n\n",
      DONE ";", STATUS_BACKEND_CUT, 0 },
};

START_TEST(test_stream)
{
    struct stub_http_answer a = { .bytes = stream_rows[_i].answer, .then = STUB_CLOSE };
    struct rig r = { .conf.http.framer = stream_rows[_i].framer };
    struct call c = { .ends = 0 };
    rig_open(&r, &a, 1);
    ck_assert_int_eq(rig_start(&r, &c, stream_rows[_i].cap, true), STATUS_OK);
    rig_finish(&c);
    ck_assert_msg(c.end.status == stream_rows[_i].status, "%s: %s", stream_rows[_i].label,
                  status_info(c.end.status)->name);
    ck_assert_str_eq(c.data, stream_rows[_i].data);
    ck_assert_uint_eq(c.usage_events, stream_rows[_i].usage_events);
    if (c.usage_events) {
        ck_assert_uint_eq(c.end.usage.qty[METER_INPUT_UNCACHED], 9);
        ck_assert_uint_eq(c.end.usage.qty[METER_OUTPUT_TEXT], 2);
    }
    rig_close(&r);
}
END_TEST

/* ---- answers that are not JSON ---- */

#define HEAD "HTTP/1.1 200 OK\r\nContent-Length: @\r\nContent-Type: "
#define LONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *label;
    enum dialect_id dialect;
    bool any_format;
    const char *answer;
    enum status status;
    const char *data, *type; /* type NULL: JSON */
    int64_t header_len;      /* -1: no tensors */
} format_rows[] = {
    { "audio", DIALECT_OPENAI, true, HEAD "audio/mpeg\r\n\r\nID3", STATUS_OK, "ID3;", "audio/mpeg",
      -1 },
    { "audio, not asked for", DIALECT_OPENAI, false, HEAD "audio/mpeg\r\n\r\nID3",
      STATUS_BACKEND_GARBAGE, "", NULL, -1 },
    { "text", DIALECT_OPENAI, true, HEAD "text/plain; charset=utf-8\r\n\r\nhello", STATUS_OK,
      "hello;", "text/plain; charset=utf-8", -1 },
    { "JSON, too", DIALECT_OPENAI, true, HEAD "application/json\r\n\r\n{\"text\":\"a\"}", STATUS_OK,
      "{\"text\":\"a\"};", NULL, -1 },
    { "JSON of a kind", DIALECT_OPENAI, true, HEAD "application/problem+json\r\n\r\n{}", STATUS_OK,
      "{};", NULL, -1 },
    { "said to be JSON", DIALECT_OPENAI, true, HEAD "application/json\r\n\r\nID3",
      STATUS_BACKEND_GARBAGE, "", NULL, -1 },
    { "an error that says 200", DIALECT_OPENAI, true,
      HEAD "application/json\r\n\r\n{\"error\":{\"message\":\"bad\",\"code\":400}}",
      STATUS_BAD_REQUEST, "", NULL, -1 },
    { "a refusal", DIALECT_OPENAI, true,
      "HTTP/1.1 400 No\r\nContent-Type: audio/mpeg\r\nContent-Length: 3\r\n\r\nID3",
      STATUS_BAD_REQUEST, "", NULL, -1 },
    { "nothing at all", DIALECT_OPENAI, true, HEAD "audio/mpeg\r\n\r\n", STATUS_BACKEND_GARBAGE, "",
      NULL, -1 },
    { "cut", DIALECT_OPENAI, true,
      "HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 9\r\n\r\nID3",
      STATUS_BACKEND_CUT, "ID3;", "audio/mpeg", -1 },
    { "a type too long", DIALECT_OPENAI, true, HEAD LONG LONG "/a\r\n\r\nID3",
      STATUS_BACKEND_GARBAGE, "", NULL, -1 },
    { "a type with a control character", DIALECT_OPENAI, true, HEAD "audio/\x01peg\r\n\r\nID3",
      STATUS_BACKEND_GARBAGE, "", NULL, -1 },
    { "tensors", DIALECT_OIP2, true,
      HEAD "application/octet-stream\r\nInference-Header-Content-Length: 8\r\n\r\n{\"a\":[]}xyz",
      STATUS_OK, "{\"a\":[]}xyz;", "application/octet-stream", 8 },
    { "tensors without JSON", DIALECT_OIP2, true,
      HEAD "application/octet-stream\r\ninference-header-content-length: 0\r\n\r\nxyz", STATUS_OK,
      "xyz;", "application/octet-stream", 0 },
    { "less than the JSON", DIALECT_OIP2, true,
      HEAD "application/octet-stream\r\nInference-Header-Content-Length: 80\r\n\r\n{\"a\":[]}xyz",
      STATUS_BACKEND_GARBAGE, "", NULL, -1 },
    { "its length twice", DIALECT_OIP2, true,
      HEAD "application/octet-stream\r\nInference-Header-Content-Length: 8\r\n"
           "Inference-Header-Content-Length: 8\r\n\r\n{\"a\":[]}xyz",
      STATUS_BACKEND_GARBAGE, "", NULL, -1 },
    { "its length is no number", DIALECT_OIP2, true,
      HEAD "application/octet-stream\r\nInference-Header-Content-Length: x\r\n\r\n{\"a\":[]}xyz",
      STATUS_BACKEND_GARBAGE, "", NULL, -1 },
    { "its length beyond all", DIALECT_OIP2, true,
      HEAD "application/octet-stream\r\nInference-Header-Content-Length: 9999999\r\n\r\n{}xyz",
      STATUS_BACKEND_GARBAGE, "", NULL, -1 },
    { "openai has no tensors", DIALECT_OPENAI, true,
      HEAD "application/octet-stream\r\nInference-Header-Content-Length: 2\r\n\r\n{}xyz", STATUS_OK,
      "{}xyz;", "application/octet-stream", -1 },
    { "tensors as JSON", DIALECT_OIP2, true, HEAD "application/json\r\n\r\n{\"outputs\":[]}",
      STATUS_OK, "{\"outputs\":[]};", NULL, -1 },
};

/* "@" in the head stands for the length of what follows the head. */
static char *with_length(const char *answer)
{
    char *text = NULL;
    const char *at = strchr(answer, '@'), *body = strstr(answer, "\r\n\r\n");
    if (!at)
        return strdup(answer);
    int len = asprintf(&text, "%.*s%zu%s", (int)(at - answer), answer, strlen(body + 4), at + 1);
    ck_assert_int_gt(len, 0);
    return text;
}

static void check_format(size_t i, size_t piece)
{
    enum dialect_id dialect = format_rows[i].dialect;
    char *answer = with_length(format_rows[i].answer);
    struct stub_http_answer a = {
        .bytes = answer, .piece = piece, .piece_ms = piece ? 1 : 0, .then = STUB_CLOSE
    };
    struct rig r = { .conf.http.dialect = dialect,
                     .any_format = format_rows[i].any_format,
                     .body = SPAN("{\"inputs\":[{\"shape\":[2,3]}]}") };
    if (dialect == DIALECT_OIP2)
        r.conf.http.usage = USAGE_MAP_OIP2;
    struct call c = { .ends = 0 };
    rig_open(&r, &a, 1);
    ck_assert_int_eq(rig_start(&r, &c, dialect == DIALECT_OIP2 ? CAP_INFER : CAP_SPEECH, false),
                     STATUS_OK);
    rig_finish(&c);
    ck_assert_msg(c.end.status == format_rows[i].status, "%s: %s", format_rows[i].label,
                  status_info(c.end.status)->name);
    if (piece == 0)
        ck_assert_msg(strcmp(c.data, format_rows[i].data) == 0, "%s: %s", format_rows[i].label,
                      c.data);
    ck_assert_msg(c.bytes + (c.pieces ? 1 : 0) == strlen(format_rows[i].data), "%s",
                  format_rows[i].label);
    ck_assert_pstr_eq(c.format.content_type, format_rows[i].type);
    ck_assert(c.format.tensors == (format_rows[i].header_len >= 0));
    if (c.format.tensors)
        ck_assert_uint_eq(c.format.header_len, (uint64_t)format_rows[i].header_len);
    bool counted = dialect == DIALECT_OIP2 && c.end.status == STATUS_OK;
    ck_assert_uint_eq(c.end.usage.qty[METER_TENSOR_ELEMENTS], counted ? 6 : 0);
    rig_close(&r);
    free(answer);
}

START_TEST(test_format)
{
    check_format((size_t)_i, 0);
    check_format((size_t)_i, 5);
}
END_TEST

/* A stream was asked for, and the backend has none: JSON is taken where that may be, and says so. */
START_TEST(test_whole_instead_of_a_stream)
{
    char *whole = stub_http_json(200, "",
                                 "{\"text\":\"hi\",\"usage\":{\"type\":\"duration\","
                                 "\"seconds\":2.5}}");
    struct stub_http_answer a = { .bytes = whole, .then = STUB_CLOSE };
    struct rig r = { .any_format = _i == 1 };
    struct call c = { .ends = 0 };
    rig_open(&r, &a, 1);
    ck_assert_int_eq(rig_start(&r, &c, CAP_TRANSCRIPTION, true), STATUS_OK);
    rig_finish(&c);
    ck_assert_int_eq(c.end.status, _i == 1 ? STATUS_OK : STATUS_BACKEND_GARBAGE);
    ck_assert_pstr_eq(c.format.content_type, _i == 1 ? "application/json" : NULL);
    ck_assert_uint_eq(c.end.usage.qty[METER_AUDIO_MS], _i == 1 ? 2500 : 0);
    rig_close(&r);
    free(whole);
}
END_TEST

/* An answer that is passed on as it comes is bounded, too. */
START_TEST(test_flood)
{
    struct stub_http_answer a = { .bytes = "HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n",
                                  .flood = LONG LONG LONG LONG,
                                  .flood_bytes = 100 << 20 };
    struct rig r = { .any_format = true };
    struct call c = { .ends = 0 };
    rig_open(&r, &a, 1);
    ck_assert_int_eq(rig_start(&r, &c, CAP_SPEECH, false), STATUS_OK);
    rig_finish(&c);
    ck_assert_int_eq(c.end.status, STATUS_BACKEND_GARBAGE);
    ck_assert_uint_le(c.bytes, 64 << 20);
    rig_close(&r);
}
END_TEST

/* ---- limits ---- */

START_TEST(test_limits)
{
    char *busy = stub_http_json(429, "retry-after-ms: 1500\r\nRetry-After: 9\r\n", "{}");
    char *last = stub_http_json(
        200, "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 2s\r\n", "{}");
    char *dated = stub_http_json(503, "Retry-After: Mon, 21 Sep 2026 14:13:50 GMT\r\n", "{}");
    char *mute = stub_http_json(500, "", "{}"), *fine = stub_http_json(200, "", "{}");
    struct stub_http_answer a[] = { { .bytes = busy },
                                    { .bytes = last },
                                    { .bytes = dated },
                                    { .bytes = mute },
                                    { .bytes = fine } };
    static const struct {
        enum status status;
        uint32_t retry_ms, limited_ms;
    } expect[] = { { STATUS_OVERLOADED, 1500, 1500 },
                   { STATUS_OK, 0, 2000 },
                   { STATUS_BACKEND_FAILED, 30000, 30000 },
                   { STATUS_BACKEND_FAILED, 0,
                     30000 }, /* it did not say that there is room again */
                   { STATUS_OK, 0, 0 } };
    struct rig r = { .conf.name = "" };
    rig_now_ns = 5 * SECOND;
    rig_open(&r, a, 5);
    for (size_t i = 0; i < 5; i++) {
        struct call c;
        rig_chat(&r, &c, false);
        ck_assert_int_eq(c.end.status, expect[i].status);
        ck_assert_uint_eq(c.end.retry_after_ms, expect[i].retry_ms);
        ck_assert_int_eq(r.backend->stats.limited_until_ms,
                         expect[i].limited_ms ? 5000 + expect[i].limited_ms : 0);
    }
    rig_close(&r);
    free(busy), free(last), free(dated), free(mute), free(fine);
}
END_TEST

Suite *http_rows_suite(void);
Suite *http_rows_suite(void)
{
    Suite *s = suite_create("http_rows");
    TCase *t = tcase_create("http_rows");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_request, 0, PATHS * SIGNS);
    tcase_add_loop_test(t, test_told, 0, BACKEND_HOPS_MAX);
    tcase_add_test(t, test_impossible);
    tcase_add_test(t, test_bad_secret);
    tcase_add_loop_test(t, test_stream, 0, sizeof stream_rows / sizeof *stream_rows);
    tcase_add_loop_test(t, test_format, 0, sizeof format_rows / sizeof *format_rows);
    tcase_add_loop_test(t, test_whole_instead_of_a_stream, 0, 2);
    tcase_add_test(t, test_flood);
    tcase_add_test(t, test_limits);
    suite_add_tcase(s, t);
    return s;
}
