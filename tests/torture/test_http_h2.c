/* tests/torture/test_http_h2.c -- a backend over HTTP/2 while each allocation of ours, and each that
 * nghttp2 makes for us, fails in turn: every call still ends once, and nothing stays behind. */
#include "base/tls.h"
#include "gen/torture_suites.h"
#include "tests/helpers/fault.h"
#include "tests/helpers/http_rig.h"
#include "tests/helpers/stub_h2.h"
#include <check.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

struct talk { /* a call */
    struct backend_call *call;
    unsigned events, ends;
    unsigned pause_at, cancel_at; /* after so many events */
    bool paused;
    struct backend_end end;
};

/* ---- nghttp2 takes its memory where it fails ---- */

static void *take(size_t n, void *unused)
{
    (void)unused;
    return malloc(n);
}
static void *take_zeroed(size_t n, size_t size, void *unused)
{
    (void)unused;
    return calloc(n, size);
}
static void *take_more(void *p, size_t n, void *unused)
{
    (void)unused;
    return realloc(p, n);
}
static void give(void *p, void *unused)
{
    (void)unused;
    free(p);
}

/* The library's own function of that name is not reached from this program. */
int nghttp2_session_client_new2(nghttp2_session **ret, const nghttp2_session_callbacks *callbacks,
                                void *arg, const nghttp2_option *option)
{
    static nghttp2_mem here = { NULL, take, give, take_zeroed, take_more };
    return nghttp2_session_client_new3(ret, callbacks, arg, option, &here);
}

/* ---- calls ---- */

static void on_data(void *arg, const struct backend_data *d)
{
    struct talk *t = arg;
    (void)d;
    t->events++;
    if (t->events == t->pause_at) {
        t->paused = true;
        backend_http_driver.pause(t->call, true);
    }
    if (t->events == t->cancel_at)
        backend_http_driver.cancel(t->call);
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct talk *t = arg;
    t->ends++;
    t->end = *end;
}

static void start(struct backend *b, struct talk *t, bool stream)
{
    static const struct backend_events events = { on_data, on_end };
    struct backend_order o = { .rid = 1,
                               .capability = CAP_CHAT,
                               .model = "m",
                               .public_model = "m",
                               .stream = stream,
                               .body = SPAN("{}"),
                               .first_byte_timeout_ms = 60000,
                               .chunk_timeout_ms = 60000,
                               .total_timeout_ms = 60000 };
    enum status s = backend_http_driver.start(b, &o, &events, t, &t->call);
    if (s != STATUS_OK) {
        t->ends = 1;
        t->end.status = s;
    }
}

/* Until it has ended; one that is paused is let go as soon as the others have. */
static void finish(uv_loop_t *loop, struct talk *t)
{
    while (!t->ends && !t->paused)
        uv_run(loop, UV_RUN_ONCE);
    if (!t->ends)
        backend_http_driver.pause(t->call, false);
    while (!t->ends)
        uv_run(loop, UV_RUN_ONCE);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void close_it(struct backend *b, uv_loop_t *loop)
{
    bool closed = false;
    b->driver->close(b, on_closed, &closed);
    while (!closed)
        uv_run(loop, UV_RUN_ONCE);
}

enum { CALLS = 5 };
static const enum status expected[CALLS] = { STATUS_OK, STATUS_OK, STATUS_CLIENT_GONE, STATUS_OK,
                                             STATUS_BACKEND_GARBAGE };
static const struct stub_h2_step steps[] = {
    { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = 100 << 10 },
    { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = 100 << 10 },
    { .what = H2_REFUSE },
    { .what = H2_GOAWAY_OVER },
    { .what = H2_ANSWER },
    { .what = H2_ANSWER, .body = "no JSON" },
    { .what = H2_ANSWER },
};

/* A reader that pauses, one that leaves, a call that is refused twice, an answer that is a lie.  True:
 * all of it went as it should. */
static bool live(const struct catalog_backend *conf, uv_loop_t *loop, struct talk calls[CALLS])
{
    struct backend *b;
    if (backend_http_driver.open(conf, loop, &rig_env, &b) != STATUS_OK)
        return false;
    while (!b->stats.up)
        uv_run(loop, UV_RUN_ONCE);
    calls[0].pause_at = 1;
    calls[2].cancel_at = 3;
    start(b, &calls[0], true);
    while (!calls[0].ends && !calls[0].paused)
        uv_run(loop, UV_RUN_ONCE);
    start(b, &calls[2], true);
    finish(loop, &calls[2]);
    finish(loop, &calls[0]);
    static const int then[] = { 1, 4, 3 };
    for (size_t i = 0; i < 3; i++) {
        start(b, &calls[then[i]], false);
        finish(loop, &calls[then[i]]);
    }
    close_it(b, loop);
    bool ok = true;
    for (int i = 0; i < CALLS; i++)
        ok = ok && calls[i].end.status == expected[i];
    return ok;
}

START_TEST(test_http_h2)
{
    char secret[] = "sk-1";
    for (unsigned nth = 0; fault_next(&nth);) {
        uv_loop_t loop;
        struct talk calls[CALLS] = { 0 };
        fault_arm(0);
        uv_loop_init(&loop);
        struct stub_h2 *stub = stub_h2_start(steps, sizeof steps / sizeof *steps, NULL);
        struct catalog_backend conf = { .name = "stub",
                                        .transport = TRANSPORT_HTTP,
                                        .address = stub_h2_url(stub),
                                        .ca_file = stub_h2_ca_file(stub),
                                        .secret = secret,
                                        .concurrency = 4 };
        conf.tls = rig_tls(&conf);
        fault_arm(nth);
        bool ok = live(&conf, &loop, calls);
        fault_arm(0);
        for (int i = 0; i < CALLS; i++) {
            ck_assert_msg(ok || fault_fired(), "%d: %s", i, status_info(calls[i].end.status)->name);
            ck_assert_uint_le(calls[i].ends, 1);
        }
        ck_assert_int_eq(uv_loop_close(&loop), 0);
        stub_h2_stop(stub);
        tls_free(conf.tls);
    }
}
END_TEST

Suite *http_h2_suite(void)
{
    Suite *s = suite_create("http_h2");
    TCase *t = tcase_create("http_h2");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_http_h2);
    suite_add_tcase(s, t);
    return s;
}
