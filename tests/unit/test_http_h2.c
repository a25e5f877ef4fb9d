/* tests/unit/test_http_h2.c -- HTTP/2 to a backend: what is sent, what is made of each end of a stream
 * and of a connection, and readers that do not read. */
#include "base/version.h"
#include "tests/helpers/h2_bench.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(rows) ((int)(sizeof(rows) / sizeof *(rows)))
enum { PATIENCE_MS = 60000 };

/* ---- what is sent ---- */

START_TEST(test_request)
{
    static const struct stub_h2_step step = { .what = H2_ANSWER };
    char secret[] = "sk-1", id[RID_TEXT_BYTES];
    struct h2_bench b = { .rig.conf.secret = secret };
    h2_bench_open(&b, &step, 1, NULL);
    for (int i = 0; i < 5; i++)
        h2_bench_expect_ok(&b);
    char *got = stub_h2_last(b.stub), *expected = NULL;
    int len =
        asprintf(&expected,
                 ":method: POST\n:scheme: https\n:authority: %s\n:path: /v1/chat/completions\n"
                 "user-agent: maasgate/%s\ncontent-length: 13\nx-request-id: %s\n"
                 "cdn-loop: maasgate\ncontent-type: application/json\naccept: */*\n"
                 "accept-encoding: identity\nauthorization: Bearer sk-1\n\n{\"model\":\"m\"}",
                 stub_h2_url(b.stub) + strlen("https://"), MAAS_VERSION, rid_text(1, id));
    ck_assert_int_gt(len, 0);
    ck_assert_str_eq(got, expected);
    ck_assert_uint_eq(stub_h2_connections(b.stub), 1);
    ck_assert_uint_eq(b.rig.backend->stats.connects, 1);
    free(got);
    free(expected);
    h2_bench_close(&b);
}
END_TEST

START_TEST(test_paths)
{
    static const struct stub_h2_step step = { .what = H2_ANSWER };
    static const struct {
        const char *base, *path;
    } rows[] = { { "", ":path: /chat/completions\n" },
                 { "/", ":path: /chat/completions\n" },
                 { "/a/b/?api-version=1", ":path: /a/b/chat/completions?api-version=1\n" } };
    struct h2_bench b = { .rig.h2 = true };
    b.stub = stub_h2_start(&step, 1, NULL);
    b.rig.conf.ca_file = stub_h2_ca_file(b.stub);
    rig_open_at(&b.rig, stub_h2_url(b.stub), rows[_i].base);
    h2_bench_expect_ok(&b);
    char *got = stub_h2_last(b.stub);
    ck_assert_msg(strstr(got, rows[_i].path) != NULL, "%s", got);
    free(got);
    h2_bench_close(&b);
}
END_TEST

/* More than any window. */
START_TEST(test_large)
{
    enum { BYTES = 5 << 20 };
    static const struct stub_h2_step step = { .what = H2_ANSWER };
    char *body = malloc(BYTES + 1);
    memset(body, 'x', BYTES);
    memcpy(body, "{\"a\":\"", 6);
    memcpy(body + BYTES - 2, "\"}", 3);
    struct h2_bench b = { .rig.body = { body, BYTES } };
    struct call c;
    h2_bench_open(&b, &step, 1, NULL);
    rig_chat(&b.rig, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    char *got = stub_h2_last(b.stub);
    ck_assert_str_eq(strstr(got, "\n\n") + 2, body);
    free(got);
    free(body);
    h2_bench_close(&b);
}
END_TEST

/* ---- how a stream ends ---- */

enum after { KEPT, RENEWED }; /* the connection of the next call */

#define SSE .type = "text/event-stream"
static const struct {
    const char *label;
    enum status status;
    enum after after;
    unsigned streams; /* with the call that follows */
    struct stub_h2_step step;
} rows[] = {
    { "answer", STATUS_OK, KEPT, 2, { .what = H2_ANSWER } },
    { "events",
      STATUS_OK,
      KEPT,
      2,
      { .what = H2_ANSWER, SSE, .body = "data: {}\n\ndata: [DONE]\n\n" } },
    { "no [DONE]",
      STATUS_BACKEND_CUT,
      KEPT,
      2,
      { .what = H2_ANSWER, SSE, .body = "data: {}\n\n" } },
    { "not JSON", STATUS_BACKEND_GARBAGE, RENEWED, 2, { .what = H2_ANSWER, .body = "hello" } },
    { "error object",
      STATUS_BAD_REQUEST,
      KEPT,
      2,
      { .what = H2_ANSWER, .body = "{\"error\":{\"message\":\"x\",\"code\":400}}" } },
    { "interim answers", STATUS_OK, KEPT, 2, { .what = H2_INTERIM } },
    /* certainly not run: sent again */
    { "refused", STATUS_OK, KEPT, 3, { .what = H2_REFUSE } },
    { "beyond the last of a GOAWAY", STATUS_OK, RENEWED, 3, { .what = H2_GOAWAY_OVER } },
    { "the last of a GOAWAY", STATUS_OK, RENEWED, 2, { .what = H2_GOAWAY_AFTER } },
    /* perhaps run: never */
    { "reset", STATUS_BACKEND_FAILED, KEPT, 2, { .what = H2_RESET } },
    { "reset in the answer", STATUS_BACKEND_CUT, KEPT, 2, { .what = H2_HEAD_RESET } },
    { "refused in the answer", STATUS_BACKEND_CUT, KEPT, 2, { .what = H2_HEAD_REFUSE } },
    { "closed", STATUS_BACKEND_FAILED, RENEWED, 2, { .what = H2_CLOSE } },
    { "closed in the answer", STATUS_BACKEND_CUT, RENEWED, 2, { .what = H2_HEAD_CLOSE } },
    /* no HTTP/2 */
    { "garbage", STATUS_BACKEND_GARBAGE, RENEWED, 2, { .what = H2_GARBAGE } },
    { "endless interims", STATUS_BACKEND_GARBAGE, RENEWED, 2, { .what = H2_INTERIM_FLOOD } },
    { "too many fields", STATUS_BACKEND_GARBAGE, RENEWED, 2, { .what = H2_HEADERS } },
};

START_TEST(test_end)
{
    const struct stub_h2_step steps[] = { rows[_i].step, { .what = H2_ANSWER } };
    const char *label = rows[_i].label;
    struct h2_bench b = { .rig.h2 = true };
    struct call c;
    h2_bench_open(&b, steps, 2, NULL);
    rig_chat(&b.rig, &c, rows[_i].step.type != NULL);
    ck_assert_msg(c.end.status == rows[_i].status, "%s: %s", label,
                  status_info(c.end.status)->name);
    ck_assert_msg(!c.end.untouched, "%s", label);
    h2_bench_expect_ok(&b);
    unsigned streams = stub_h2_streams(b.stub), connections = stub_h2_connections(b.stub);
    ck_assert_msg(streams == rows[_i].streams, "%s: %u streams", label, streams);
    ck_assert_msg(connections == (rows[_i].after == RENEWED ? 2 : 1), "%s: %u connections", label,
                  connections);
    ck_assert_msg(stub_h2_ran(b.stub) == 2, "%s: %u ran", label, stub_h2_ran(b.stub));
    h2_bench_close(&b);
}
END_TEST

/* A connection that has served dies under a call: repeated once, where the operator says so. */
START_TEST(test_repeat)
{
    static const struct stub_h2_step steps[] = {
        { .what = H2_ANSWER }, { .what = H2_CLOSE }, { .what = H2_ANSWER }, { .what = H2_CLOSE }
    };
    struct h2_bench b = { .rig.conf.repeat_unanswered = _i };
    struct call c;
    h2_bench_open(&b, steps, 4, NULL);
    h2_bench_expect_ok(&b);
    rig_chat(&b.rig, &c, false);
    ck_assert_int_eq(c.end.status, _i ? STATUS_OK : STATUS_BACKEND_FAILED);
    ck_assert_uint_eq(stub_h2_ran(b.stub), _i ? 3 : 2);
    rig_chat(&b.rig, &c, false); /* the repetition is the first of its connection: no more */
    ck_assert_int_eq(c.end.status, _i ? STATUS_BACKEND_FAILED : STATUS_OK);
    ck_assert(!c.end.untouched);
    ck_assert_uint_eq(stub_h2_ran(b.stub), _i ? 5 : 3);
    h2_bench_close(&b);
}
END_TEST

/* A server that refuses again and again: not for ever, and the gateway may ask somebody else. */
START_TEST(test_always_refused)
{
    const struct stub_h2_step step = { .what = _i ? H2_GOAWAY_OVER : H2_REFUSE };
    struct h2_bench b = { .rig.h2 = true };
    struct call c;
    h2_bench_open(&b, &step, 1, NULL);
    rig_chat(&b.rig, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_NO_BACKEND);
    ck_assert(c.end.untouched && c.end.unanswered);
    ck_assert_uint_eq(stub_h2_ran(b.stub), 0);
    ck_assert_uint_eq(stub_h2_streams(b.stub), 6);
    h2_bench_close(&b);
}
END_TEST

/* The answer comes, then RST_STREAM with NO_ERROR: it does not want the rest of the request. */
START_TEST(test_early)
{
    enum { BYTES = 4 << 20 };
    static const struct stub_h2_step steps[] = {
        { .what = H2_EARLY, .body = "{\"error\":{\"message\":\"too long\"}}" },
        { .what = H2_ANSWER }
    };
    char *body = malloc(BYTES);
    memset(body, 'x', BYTES);
    struct h2_bench b = { .rig.body = { body, BYTES } };
    struct call c;
    h2_bench_open(&b, steps, 2, NULL);
    rig_chat(&b.rig, &c, false);
    ck_assert_msg(c.end.status == STATUS_BAD_REQUEST, "%s", status_info(c.end.status)->name);
    ck_assert_str_eq(c.end.message, "too long");
    b.rig.body = (struct span){ "{}", 2 };
    h2_bench_expect_ok(&b);
    ck_assert_uint_eq(stub_h2_connections(b.stub), 1);
    free(body);
    h2_bench_close(&b);
}
END_TEST

/* ---- many at once ---- */

static void run_all(struct h2_bench *b, struct call *calls, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        calls[i] = (struct call){ 0 };
        ck_assert_int_eq(rig_start(&b->rig, &calls[i], CAP_CHAT, false), STATUS_OK);
    }
    for (unsigned i = 0; i < count; i++) {
        rig_finish(&calls[i]);
        ck_assert_msg(calls[i].end.status == STATUS_OK, "call %u: %s", i,
                      status_info(calls[i].end.status)->name);
    }
}

/* What nginx does after so many requests, over and over: nobody notices. */
START_TEST(test_goaways)
{
    enum { AT_ONCE = 24, ROUNDS = 40 };
    static struct call calls[AT_ONCE];
    static const struct stub_h2_step step = { .what = H2_ANSWER };
    const struct stub_h2_how how = { .goaway_after = _i ? 7 : 50 };
    struct h2_bench b = { .rig.conf.concurrency = AT_ONCE };
    h2_bench_open(&b, &step, 1, &how);
    for (int round = 0; round < ROUNDS; round++)
        run_all(&b, calls, AT_ONCE);
    ck_assert_uint_eq(b.rig.backend->stats.ok, AT_ONCE * ROUNDS);
    ck_assert_uint_eq(stub_h2_ran(b.stub), AT_ONCE * ROUNDS);
    ck_assert_uint_ge(stub_h2_connections(b.stub), AT_ONCE * ROUNDS / how.goaway_after);
    h2_bench_close(&b);
}
END_TEST

/* More than one connection carries; fewer than the server's own limit is no limit for calls. */
START_TEST(test_limits)
{
    enum { AT_ONCE = 100 };
    static struct call calls[AT_ONCE];
    static const struct stub_h2_step step = { .what = H2_LATE };
    const struct stub_h2_how how = { .streams_max = _i ? 20 : 0 };
    struct h2_bench b = { .rig.conf.concurrency = AT_ONCE };
    h2_bench_open(&b, &step, 1, &how);
    run_all(&b, calls, AT_ONCE);
    ck_assert_uint_eq(stub_h2_ran(b.stub), AT_ONCE);
    ck_assert_uint_ge(stub_h2_connections(b.stub), 2);
    ck_assert_uint_le(stub_h2_connections(b.stub), 9);
    run_all(&b, calls, AT_ONCE);
    h2_bench_close(&b);
}
END_TEST

START_TEST(test_declined)
{
    static const struct stub_http_answer a = { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" };
    struct rig r = { .h2 = true, .stub = stub_http_start(&a, 1, true) };
    struct call c;
    r.conf.ca_file = stub_http_ca_file(r.stub);
    rig_open_at(&r, stub_http_url(r.stub), "/v1");
    for (int i = 0; i < 3; i++) {
        rig_chat(&r, &c, false);
        ck_assert_int_eq(c.end.status, STATUS_OK);
    }
    ck_assert_uint_eq(stub_http_connections(r.stub), 2); /* the one that asked, and the kept one */
    rig_now_ns += 601 * SECOND;
    rig_chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    ck_assert_uint_ge(stub_http_connections(r.stub), 3); /* asked again */
    rig_close(&r);
}
END_TEST

START_TEST(test_nobody_there)
{
    static const struct stub_h2_step step = { .what = H2_ANSWER };
    struct stub_h2 *gone = stub_h2_start(&step, 1, NULL);
    struct rig r = { .h2 = true };
    struct call calls[4] = { 0 };
    char url[64];
    snprintf(url, sizeof url, "%s", stub_h2_url(gone));
    stub_h2_stop(gone);
    rig_open_at(&r, url, "/v1");
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(rig_start(&r, &calls[i], CAP_CHAT, false), STATUS_OK);
    for (int i = 0; i < 4; i++) {
        rig_finish(&calls[i]);
        ck_assert_int_eq(calls[i].end.status, STATUS_NO_BACKEND);
        ck_assert(calls[i].end.untouched);
    }
    ck_assert_uint_eq(r.backend->troubles, 1); /* one reason, told once */
    rig_close(&r);
}
END_TEST

START_TEST(test_time)
{
    const struct stub_h2_step steps[] = { { .what = _i ? H2_HEAD_HANG : H2_HANG },
                                          { .what = H2_ANSWER } };
    struct h2_bench b = { .rig.h2 = true };
    struct call c = { 0 };
    h2_bench_open(&b, steps, 2, NULL);
    ck_assert_int_eq(rig_start(&b.rig, &c, CAP_CHAT, false), STATUS_OK);
    h2_bench_wait(&b, 1);
    rig_spin(&b.rig, 50);
    rig_now_ns += 61 * SECOND;
    rig_finish(&c);
    ck_assert_int_eq(c.end.status, STATUS_DEADLINE);
    ck_assert_int_eq(c.end.health, HEALTH_BAD);
    h2_bench_expect_ok(&b); /* on another connection: this one has said nothing in all that time */
    ck_assert_uint_eq(stub_h2_connections(b.stub), 2);
    h2_bench_close(&b);
}
END_TEST

START_TEST(test_cancel)
{
    static const struct stub_h2_step steps[] = {
        { .what = H2_HANG },
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = 64 << 20 },
        { .what = H2_ANSWER }
    };
    struct h2_bench b = { .rig.h2 = true };
    struct call unsent = { 0 }, silent = { 0 }, streaming = { .cancel_at = 3 };
    h2_bench_open(&b, steps, 3, NULL);
    ck_assert_int_eq(rig_start(&b.rig, &unsent, CAP_CHAT, false), STATUS_OK);
    rig_cancel(&unsent);
    rig_finish(&unsent);
    ck_assert(unsent.end.status == STATUS_CLIENT_GONE && unsent.end.untouched);
    ck_assert_int_eq(rig_start(&b.rig, &silent, CAP_CHAT, false), STATUS_OK);
    h2_bench_wait(&b, 1);
    rig_cancel(&silent);
    rig_finish(&silent);
    ck_assert(silent.end.status == STATUS_CLIENT_GONE && !silent.end.untouched);
    ck_assert_int_eq(rig_start(&b.rig, &streaming, CAP_CHAT, true), STATUS_OK);
    rig_finish(&streaming);
    ck_assert_int_eq(streaming.end.status, STATUS_CLIENT_GONE);
    ck_assert_uint_eq(streaming.pieces, 3);
    h2_bench_expect_ok(&b);
    for (int ms = 0; ms < PATIENCE_MS && stub_h2_cancelled(b.stub) < 2; ms += 10)
        rig_spin(&b.rig, 10);
    ck_assert_uint_eq(stub_h2_cancelled(b.stub), 2);
    ck_assert_uint_eq(stub_h2_connections(b.stub), 1);
    h2_bench_close(&b);
}
END_TEST

/* It waits for a connection that does not come: cancelled, out of time, and at the end. */
START_TEST(test_waiting)
{
    static const struct stub_http_answer silence = { .bytes = "",
                                                     .at_once = true,
                                                     .then = STUB_HANG };
    struct rig r = { .h2 = true, .stub = stub_http_start(&silence, 1, false) };
    struct call left = { 0 }, late = { 0 }, last = { 0 };
    char url[64];
    snprintf(url, sizeof url, "https%s", stub_http_url(r.stub) + strlen("http"));
    rig_open_at(&r, url, "/v1");
    ck_assert_int_eq(rig_start(&r, &left, CAP_CHAT, false), STATUS_OK);
    ck_assert_int_eq(rig_start(&r, &late, CAP_CHAT, false), STATUS_OK);
    rig_spin(&r, 50);
    rig_cancel(&left);
    rig_finish(&left);
    ck_assert(left.end.status == STATUS_CLIENT_GONE && left.end.untouched);
    rig_now_ns += 61 * SECOND;
    rig_finish(&late);
    ck_assert(late.end.status == STATUS_DEADLINE && late.end.untouched);
    ck_assert_int_eq(rig_start(&r, &last, CAP_CHAT, false), STATUS_OK);
    rig_spin(&r, 20);
    rig_close(&r);
    ck_assert_uint_eq(last.ends, 1);
}
END_TEST

START_TEST(test_close_ends_calls)
{
    static const struct stub_h2_step step = { .what = H2_HEAD_HANG };
    struct h2_bench b = { .rig.h2 = true };
    struct call running = { 0 }, fresh = { 0 };
    h2_bench_open(&b, &step, 1, NULL);
    if (_i) {
        ck_assert_int_eq(rig_start(&b.rig, &running, CAP_CHAT, true), STATUS_OK);
        h2_bench_wait(&b, 1);
    }
    ck_assert_int_eq(rig_start(&b.rig, &fresh, CAP_CHAT, true), STATUS_OK);
    for (int i = 0; i < _i; i++)
        uv_run(&b.rig.loop, UV_RUN_NOWAIT);
    h2_bench_close(&b);
    ck_assert_uint_eq(running.ends, _i ? 1 : 0);
    ck_assert_uint_eq(fresh.ends, 1);
    ck_assert_int_eq(fresh.end.status, STATUS_CLIENT_GONE);
}
END_TEST

/* ---- readers that do not read ---- */

/* Each keeps no more than its window, and whoever reads is not held back by them. */
START_TEST(test_pause)
{
    enum { SLOW = 8, WINDOW = 256 << 10, FLOOD = 400 << 10 };
    static const struct stub_h2_step steps[] = {
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = FLOOD },
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = FLOOD },
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = FLOOD },
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = FLOOD },
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = FLOOD },
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = FLOOD },
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = FLOOD },
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = FLOOD },
        { .what = H2_ANSWER }
    };
    static struct call slow[SLOW];
    struct h2_bench b = { .rig.conf.concurrency = 64 };
    h2_bench_open(&b, steps, SLOW + 1, NULL);
    for (int i = 0; i < SLOW; i++) {
        slow[i] = (struct call){ .pause_at = 1 };
        ck_assert_int_eq(rig_start(&b.rig, &slow[i], CAP_CHAT, true), STATUS_OK);
    }
    for (int i = 0; i < SLOW; i++)
        while (!slow[i].pieces)
            uv_run(&b.rig.loop, UV_RUN_ONCE);
    rig_spin(&b.rig, 100);
    size_t sent = stub_h2_sent(b.stub);
    ck_assert_uint_le(sent, SLOW * WINDOW);
    for (int i = 0; i < 50; i++)
        h2_bench_expect_ok(&b);
    rig_now_ns += 100 * SECOND; /* a reader's slowness is not the backend's silence */
    rig_spin(&b.rig, 250);
    ck_assert_uint_le(stub_h2_sent(b.stub), SLOW * WINDOW + 50 * 2);
    ck_assert_uint_eq(stub_h2_connections(b.stub), 1);
    for (int i = 0; i < SLOW; i++) {
        ck_assert_uint_eq(slow[i].ends, 0);
        rig_pause(&slow[i], false);
    }
    for (int i = 0; i < SLOW; i++) {
        rig_finish(&slow[i]);
        ck_assert_int_eq(slow[i].end.status, STATUS_OK);
        ck_assert_uint_eq(slow[i].bytes, FLOOD / 10 * 2 + (FLOOD % 10 ? 2 : 0));
    }
    h2_bench_close(&b);
}
END_TEST

/* The stream ends while its reader is away: it gets all of it, then the end. */
START_TEST(test_pause_to_the_end)
{
    static const struct stub_h2_step steps[] = {
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = 100 << 10 },
        { .what = H2_ANSWER }
    };
    struct h2_bench b = { .rig.h2 = true };
    struct call c = { .pause_at = 1 };
    h2_bench_open(&b, steps, 2, NULL);
    ck_assert_int_eq(rig_start(&b.rig, &c, CAP_CHAT, true), STATUS_OK);
    while (!c.pieces)
        uv_run(&b.rig.loop, UV_RUN_ONCE);
    rig_spin(&b.rig, 50);
    h2_bench_expect_ok(&b);
    ck_assert_uint_eq(c.ends, 0);
    for (unsigned at = 2000; !c.ends; at += 2000) { /* bit by bit */
        c.pause_at = at;
        rig_pause(&c, false);
        rig_spin(&b.rig, 5);
    }
    ck_assert_int_eq(c.end.status, STATUS_OK);
    ck_assert_uint_eq(c.pieces, 100 * 1024 / 10);
    h2_bench_close(&b);
}
END_TEST

START_TEST(test_cancel_while_paused)
{
    static const struct stub_h2_step steps[] = {
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = 100 << 10 },
        { .what = H2_FLOOD, .body = "data: {}\n\n", .flood_bytes = 4 << 20 },
        { .what = H2_ANSWER }
    };
    struct h2_bench b = { .rig.h2 = true };
    h2_bench_open(&b, steps, 3, NULL);
    for (int i = 0; i < 2; i++) { /* its stream has ended; it has not */
        struct call c = { .pause_at = 1 };
        ck_assert_int_eq(rig_start(&b.rig, &c, CAP_CHAT, true), STATUS_OK);
        while (!c.pieces)
            uv_run(&b.rig.loop, UV_RUN_ONCE);
        rig_spin(&b.rig, 50);
        rig_cancel(&c);
        rig_finish(&c);
        ck_assert_int_eq(c.end.status, STATUS_CLIENT_GONE);
    }
    h2_bench_expect_ok(&b);
    ck_assert_uint_eq(stub_h2_connections(b.stub), 1);
    h2_bench_close(&b);
}
END_TEST

/* A connection that nobody used for a minute may be gone without a word. */
START_TEST(test_long_idle)
{
    static const struct stub_h2_step step = { .what = H2_ANSWER };
    struct h2_bench b = { .rig.h2 = true };
    h2_bench_open(&b, &step, 1, NULL);
    h2_bench_expect_ok(&b);
    rig_now_ns += 59 * SECOND;
    h2_bench_expect_ok(&b);
    ck_assert_uint_eq(stub_h2_connections(b.stub), 1);
    rig_now_ns += 61 * SECOND;
    h2_bench_expect_ok(&b);
    ck_assert_uint_eq(stub_h2_connections(b.stub), 2);
    h2_bench_close(&b);
}
END_TEST

Suite *http_h2_suite(void);
Suite *http_h2_suite(void)
{
    Suite *s = suite_create("http_h2");
    TCase *t = tcase_create("http_h2");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_request);
    tcase_add_loop_test(t, test_paths, 0, 3);
    tcase_add_test(t, test_large);
    tcase_add_loop_test(t, test_end, 0, COUNT(rows));
    tcase_add_loop_test(t, test_repeat, 0, 2);
    tcase_add_loop_test(t, test_always_refused, 0, 2);
    tcase_add_test(t, test_early);
    tcase_add_loop_test(t, test_goaways, 0, 2);
    tcase_add_loop_test(t, test_limits, 0, 2);
    tcase_add_test(t, test_declined);
    tcase_add_test(t, test_nobody_there);
    tcase_add_loop_test(t, test_time, 0, 2);
    tcase_add_test(t, test_cancel);
    tcase_add_test(t, test_waiting);
    tcase_add_loop_test(t, test_close_ends_calls, 0, 3);
    tcase_add_test(t, test_pause);
    tcase_add_test(t, test_pause_to_the_end);
    tcase_add_test(t, test_cancel_while_paused);
    tcase_add_test(t, test_long_idle);
    suite_add_tcase(s, t);
    return s;
}
