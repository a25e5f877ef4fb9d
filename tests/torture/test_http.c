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

/* Open, a stream, a refusal, tensors, close.  OK when all of it went as it should. */
static enum status live(const struct catalog_backend *conf, uv_loop_t *loop)
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
    enum status tensors = run_call(b, loop, CAP_INFER, false);
    closed = false;
    b->driver->close(b, on_closed, NULL);
    while (!closed)
        uv_run(loop, UV_RUN_ONCE);
    if (stream != STATUS_OK || tensors != STATUS_OK)
        return stream != STATUS_OK ? stream : tensors;
    return refused == STATUS_BAD_REQUEST && told ? STATUS_OK : STATUS_NO_MEMORY;
}

START_TEST(test_http)
{
    char *stream = stub_http_stream("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n");
    char *refusal = stub_http_json(400, "", "{\"error\":{\"message\":\"bad\"}}");
    char *body = stub_http_json(200, "", "{}");
    struct stub_http_answer a[] = { { .bytes = stream, .piece = 7 },
                                    { .bytes = refusal },
                                    { .bytes = body } };
    char secret[] = "sk-1";
    for (unsigned nth = 0; fault_next(&nth);) {
        uv_loop_t loop;
        uv_loop_init(&loop);
        fault_arm(0);
        struct stub_http *stub = stub_http_start(a, 3, false);
        struct catalog_backend conf = { .address = stub_http_url(stub),
                                        .secret = secret,
                                        .concurrency = 4 };
        fault_arm(nth);
        enum status s = live(&conf, &loop);
        fault_arm(0);
        ck_assert_msg(s == STATUS_OK || fault_fired(), "%s", status_info(s)->name);
        ck_assert_uint_le(ends, 1);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
        stub_http_stop(stub);
    }
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
