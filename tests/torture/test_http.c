/* tests/torture/test_http.c -- a backend over HTTP while each allocation of ours fails in turn:
 * every call still ends once, and nothing stays behind. */
#include "backends/http_driver.h"
#include "gen/torture_suites.h"
#include "tests/helpers/fault.h"
#include "tests/helpers/http_rig.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned ends, events_seen;
static struct backend_end last;
static bool closed;

static void on_data(void *arg, const struct backend_data *d)
{
    (void)arg, (void)d;
    events_seen++;
}

static void on_end(void *arg, const struct backend_end *end)
{
    (void)arg;
    ends++;
    last = *end;
}

static void on_closed(void *arg)
{
    (void)arg;
    closed = true;
}

static enum status run_call(struct backend *b, uv_loop_t *loop, enum capability cap, bool stream)
{
    static const struct backend_events events = { on_data, on_end };
    struct backend_call *call;
    struct backend_order o = { .rid = 1,
                               .capability = cap,
                               .model = "m",
                               .public_model = "m",
                               .stream = stream,
                               .any_format = !stream,
                               .body = SPAN("{}"),
                               .first_byte_timeout_ms = 60000,
                               .chunk_timeout_ms = 60000,
                               .total_timeout_ms = 60000 };
    enum status s = b->driver->start(b, &o, &events, NULL, &call);
    ends = 0;
    while (s == STATUS_OK && !ends)
        uv_run(loop, UV_RUN_ONCE);
    return s == STATUS_OK ? last.status : s;
}

static void close_it(struct backend *b, uv_loop_t *loop)
{
    closed = false;
    b->driver->close(b, on_closed, NULL);
    while (!closed)
        uv_run(loop, UV_RUN_ONCE);
}

/* Open, a stream, a refusal, a text, close.  OK when all of it went as it should. */
static enum status talk(const struct catalog_backend *conf, uv_loop_t *loop)
{
    struct backend *b;
    enum status s = backend_http_driver.open(conf, loop, &rig_env, &b);
    if (s != STATUS_OK)
        return s;
    while (!b->stats.up)
        uv_run(loop, UV_RUN_ONCE);
    enum status stream = run_call(b, loop, CAP_CHAT, true);
    enum status refused = run_call(b, loop, CAP_CHAT, false);
    bool told = strcmp(last.message, "bad") == 0;
    enum status text = run_call(b, loop, CAP_TRANSCRIPTION, false);
    close_it(b, loop);
    if (stream != STATUS_OK || text != STATUS_OK)
        return stream != STATUS_OK ? stream : text;
    return refused == STATUS_BAD_REQUEST && told ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status infer(const struct catalog_backend *conf, uv_loop_t *loop)
{
    struct backend *b;
    enum status s = backend_http_driver.open(conf, loop, &rig_env, &b);
    if (s != STATUS_OK)
        return s;
    while (!b->stats.up)
        uv_run(loop, UV_RUN_ONCE);
    s = run_call(b, loop, CAP_INFER, false);
    close_it(b, loop);
    return s;
}

static void fail_each(const struct catalog_backend *conf, const struct stub_http_answer *answers,
                      size_t count,
                      enum status (*live)(const struct catalog_backend *conf, uv_loop_t *loop))
{
    for (unsigned nth = 0; fault_next(&nth);) {
        uv_loop_t loop;
        uv_loop_init(&loop);
        fault_arm(0);
        struct stub_http *stub = stub_http_start(answers, count, false);
        struct catalog_backend here = *conf;
        here.address = stub_http_url(stub);
        fault_arm(nth);
        enum status s = live(&here, &loop);
        fault_arm(0);
        ck_assert_msg(s == STATUS_OK || fault_fired(), "%s", status_info(s)->name);
        ck_assert_uint_le(ends, 1);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
        stub_http_stop(stub);
    }
}

#define TENSORS                                                     \
    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n" \
    "Inference-Header-Content-Length: 8\r\nContent-Length: 11\r\n\r\n{\"a\":[]}xyz"

START_TEST(test_http)
{
    static const struct header_row headers[] = { { "x-a", "b" } };
    char *stream = stub_http_stream("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n");
    char *refusal = stub_http_json(400, "", "{\"error\":{\"message\":\"bad\"}}");
    char *body = stub_http_json(200, "", "{\"usage\":{\"seconds\":1.5}}"), secret[] = "sk-1";
    struct stub_http_answer spoken[] = { { .bytes = stream, .piece = 7 },
                                         { .bytes = refusal },
                                         { .bytes = body } };
    struct stub_http_answer tensors[] = { { .bytes = TENSORS, .piece = 50 } };
    struct catalog_backend conf = { .secret = secret, .concurrency = 4 };
    conf.http.headers = headers;
    conf.http.header_count = 1;
    fail_each(&conf, spoken, 3, talk);
    conf.http.dialect = DIALECT_OIP2;
    conf.http.usage = USAGE_MAP_OIP2;
    conf.http.signer = SIGNER_QUERY_KEY;
    fail_each(&conf, tensors, 1, infer);
    free(stream);
    free(refusal);
    free(body);
}
END_TEST

Suite *http_suite(void)
{
    Suite *s = suite_create("http");
    TCase *t = tcase_create("http");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_http);
    suite_add_tcase(s, t);
    return s;
}
