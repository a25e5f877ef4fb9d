/* tests/unit/test_http_life.c -- an HTTP backend through time: connecting, time-outs, kept
 * connections, cancel, pause, close. */
#include "tests/helpers/http_rig.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    for (int i = 0; i < 3; i++) {
        rig_chat(&r, &c, false);
        ck_assert_int_eq(c.end.status, STATUS_NO_BACKEND);
        ck_assert(c.end.untouched && c.end.unanswered);
        ck_assert_int_eq(c.end.health, HEALTH_BAD);
    }
    ck_assert_uint_eq(r.backend->stats.failed, 3);
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
    rig_chat(&r, &c, false);
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
    rig_chat(&strict, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_NO_BACKEND);
    ck_assert(c.end.untouched);
    ck_assert_uint_eq(stub_http_requests(stub), 0);
    rig_close(&strict);
    rig_open_at(&trusting, stub_http_url(stub), "/v1");
    for (int i = 0; i < 3; i++) {
        rig_chat(&trusting, &c, false);
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
    rig_wait_up(&r);
    rig_chat(&r, &c, false);
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
    ck_assert_int_eq(rig_start(&r, &c, CAP_CHAT, time_rows[_i].stream), STATUS_OK);
    while (c.pieces < time_rows[_i].pieces || !stub_http_requests(r.stub))
        uv_run(&r.loop, UV_RUN_ONCE);
    rig_now_ns += time_rows[_i].jump_s * SECOND;
    rig_finish(&c);
    ck_assert_msg(c.end.status == time_rows[_i].status, "%s", time_rows[_i].label);
    ck_assert(!c.end.untouched);
    ck_assert(stub_http_wait_closed(r.stub, 1)); /* the upstream is told by the closed connection */
    rig_close(&r);
}
END_TEST

/* Clients in a hurry do not make the backend look sick to the others; its own silence does. */
START_TEST(test_whose_fault)
{
    struct stub_http_answer a = { .bytes = "", .then = STUB_HANG };
    struct rig r = { .hurry_ms = _i ? 0 : 500 };
    rig_open(&r, &a, 1);
    for (unsigned n = 1; n <= 3; n++) {
        struct call c = { 0 };
        ck_assert_int_eq(rig_start(&r, &c, CAP_CHAT, false), STATUS_OK);
        while (stub_http_requests(r.stub) < n)
            uv_run(&r.loop, UV_RUN_ONCE);
        rig_now_ns += 61 * SECOND;
        rig_finish(&c);
        ck_assert_int_eq(c.end.status, STATUS_DEADLINE);
        ck_assert_int_eq(c.end.health, _i ? HEALTH_BAD : HEALTH_UNKNOWN);
    }
    rig_close(&r);
}
END_TEST

/* An upstream that was told how much time there is may see the end of it before we do. */
static const struct {
    uint64_t hurry_ms;
    int64_t took_ms;
    enum health_verdict health;
} word_rows[] = { { 500, 450, HEALTH_UNKNOWN },
                  { 500, 399, HEALTH_BAD },
                  { 500, 0, HEALTH_BAD },
                  { 0, 450, HEALTH_BAD } };

START_TEST(test_late_by_its_own_word)
{
    char *answer = stub_http_json(504, "", "{\"error\":{\"code\":\"deadline_exceeded\"}}");
    struct stub_http_answer a = { .bytes = answer };
    struct rig r = { .hurry_ms = word_rows[_i].hurry_ms };
    struct call c = { 0 };
    rig_open(&r, &a, 1);
    ck_assert_int_eq(rig_start(&r, &c, CAP_CHAT, false), STATUS_OK);
    rig_now_ns += word_rows[_i].took_ms * (SECOND / 1000);
    rig_finish(&c);
    ck_assert_int_eq(c.end.status, STATUS_DEADLINE);
    ck_assert_int_eq(c.end.health, word_rows[_i].health);
    ck_assert(!c.end.untouched);
    rig_close(&r);
    free(answer);
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
        rig_chat(&r, &c, false);
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
    rig_chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    rig_chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_BACKEND_FAILED);
    ck_assert(!c.end.untouched);
    ck_assert_uint_eq(stub_http_requests(r.stub), 2);
    rig_close(&r);
}
END_TEST

/* Where a repetition does no harm it goes out again, on a new connection, once. */
START_TEST(test_second_execution_allowed)
{
    static const char yes[] = JSON_HEAD "Content-Length: 2\r\n\r\n{}";
    struct stub_http_answer a[] = { { .bytes = yes },
                                    { .bytes = "", .then = STUB_CLOSE },
                                    { .bytes = _i ? "" : yes, .then = _i ? STUB_CLOSE : 0 },
                                    { .bytes = yes } };
    struct rig r = { .conf.repeat_unanswered = true };
    struct call c;
    rig_open(&r, a, 4);
    rig_chat(&r, &c, false);
    rig_chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, _i ? STATUS_BACKEND_FAILED : STATUS_OK);
    ck_assert_uint_eq(stub_http_requests(r.stub), 3);
    rig_close(&r);
}
END_TEST

/* A backend on a stub of either kind. */
static void open_either(struct rig *r, const struct stub_http_answer *answers, size_t count,
                        bool tls)
{
    r->stub = stub_http_start(answers, count, tls);
    r->conf.ca_file = stub_http_ca_file(r->stub);
    rig_open_at(r, stub_http_url(r->stub), "/v1");
}

/* Servers close kept connections, politely or not: the next request just takes a new one. */
START_TEST(test_closed_while_kept)
{
    char *answer = stub_http_json(200, "", "{}");
    struct stub_http_answer a[] = { { .bytes = answer, .then = _i & 1 ? STUB_RESET : STUB_CLOSE },
                                    { .bytes = answer } };
    struct rig r = { 0 };
    struct call c;
    open_either(&r, a, 2, _i & 2);
    rig_chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    ck_assert(stub_http_wait_closed(r.stub, 1));
    rig_chat(&r, &c, false);
    ck_assert_msg(c.end.status == STATUS_OK, "%s", status_info(c.end.status)->name);
    ck_assert_uint_eq(stub_http_connections(r.stub), 2);
    rig_close(&r);
    free(answer);
}
END_TEST

/* An answer that nobody asked for is not taken for the next request's. */
START_TEST(test_unasked_answer)
{
    static const char right[] = JSON_HEAD "Content-Length: 2\r\n\r\n{}";
    struct stub_http_answer a[] = {
        { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" JSON_HEAD
                             "Content-Length: 7\r\n\r\n{\"a\":1}",
          .piece = sizeof right - 1,
          .piece_ms = 20 },
        { .bytes = right },
    };
    struct rig r = { 0 };
    struct call c;
    open_either(&r, a, 2, _i);
    rig_chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    /* The loop does not see it come: it is there when the next request starts. */
    ck_assert(stub_http_wait_sent(r.stub, 1));
    rig_chat(&r, &c, false);
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
    ck_assert_int_eq(rig_start(&r, &c, CAP_CHAT, true), STATUS_OK);
    rig_finish(&c);
    ck_assert_int_eq(c.end.status, STATUS_CLIENT_GONE);
    ck_assert_uint_eq(c.pieces, 2);
    ck_assert(stub_http_wait_closed(r.stub, 1));

    c = (struct call){ 0 }; /* before anything was sent */
    ck_assert_int_eq(rig_start(&r, &c, CAP_CHAT, true), STATUS_OK);
    rig_cancel(&c);
    rig_cancel(&c);
    rig_finish(&c);
    ck_assert_int_eq(c.end.status, STATUS_CLIENT_GONE);
    ck_assert(c.end.untouched);
    ck_assert_uint_eq(stub_http_requests(r.stub), 1);
    ck_assert_uint_eq(r.backend->stats.cancelled, 2);
    ck_assert_uint_eq(r.backend->stats.running, 0);
    rig_close(&r);
    free(stream);
}
END_TEST

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
    ck_assert_int_eq(rig_start(&r, &c, CAP_CHAT, true), STATUS_OK);
    while (!c.pieces)
        uv_run(&r.loop, UV_RUN_ONCE);
    rig_spin(&r, 150);
    unsigned held = c.pieces;
    ck_assert_uint_lt(held, 64 * 1024 / 10);
    rig_now_ns += 100 * SECOND; /* a reader's slowness is not the backend's silence */
    rig_spin(&r, 250);
    ck_assert_uint_eq(c.pieces, held);
    ck_assert_uint_eq(c.ends, 0);
    rig_pause(&c, false);
    rig_pause(&c, true);
    rig_spin(&r, 50);
    ck_assert_uint_eq(c.pieces, held);
    rig_pause(&c, false);
    while (c.pieces < held + 10000)
        uv_run(&r.loop, UV_RUN_ONCE);
    rig_cancel(&c);
    rig_finish(&c);
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
    ck_assert_int_eq(rig_start(&r, &c, CAP_CHAT, true), STATUS_OK);
    while (!c.pieces)
        uv_run(&r.loop, UV_RUN_ONCE);
    rig_spin(&r, 50);
    if (!c.ends) /* else all of it came in one read */
        rig_pause(&c, false);
    rig_finish(&c);
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
    ck_assert_int_eq(rig_start(&r, &running, CAP_CHAT, true), STATUS_OK);
    while (!running.pieces)
        uv_run(&r.loop, UV_RUN_ONCE);
    ck_assert_int_eq(rig_start(&r, &fresh, CAP_CHAT, true), STATUS_OK);
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
            ck_assert_int_eq(rig_start(&r, &calls[i], CAP_CHAT, false), STATUS_OK);
        ck_assert_int_eq(rig_start(&r, &calls[20], CAP_CHAT, false), STATUS_OVERLOADED);
        for (int i = 0; i < 20; i++) {
            rig_finish(&calls[i]);
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
    rig_spin(&unknown, 300);
    ck_assert_int_eq(rig_start(&unknown, &c, CAP_CHAT, false), STATUS_NO_BACKEND);
    rig_close(&unknown);
    snprintf(url, sizeof url, "http://localhost%s", port);
    rig_open_at(&hasty, url, "/v1");
    rig_close(&hasty); /* while the lookup runs */
    rig_open_at(&known, url, "/v1");
    ck_assert(!known.backend->stats.up);
    ck_assert_int_eq(rig_start(&known, &c, CAP_CHAT, false), STATUS_NO_BACKEND);
    rig_wait_up(&known);
    rig_chat(&known, &c, false);
    ck_assert_int_eq(c.end.status, STATUS_OK);
    rig_close(&known);
}
END_TEST

Suite *http_life_suite(void);
Suite *http_life_suite(void)
{
    Suite *s = suite_create("http_life");
    TCase *t = tcase_create("http_life");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_refused);
    tcase_add_test(t, test_not_tls);
    tcase_add_test(t, test_tls);
    tcase_add_test(t, test_wrong_name);
    tcase_add_loop_test(t, test_time, 0, sizeof time_rows / sizeof *time_rows);
    tcase_add_loop_test(t, test_whose_fault, 0, 2);
    tcase_add_loop_test(t, test_late_by_its_own_word, 0, sizeof word_rows / sizeof *word_rows);
    tcase_add_test(t, test_retry_after);
    tcase_add_test(t, test_no_second_execution);
    tcase_add_loop_test(t, test_second_execution_allowed, 0, 2);
    tcase_add_loop_test(t, test_closed_while_kept, 0, 4);
    tcase_add_loop_test(t, test_unasked_answer, 0, 2);
    tcase_add_test(t, test_cancel);
    tcase_add_test(t, test_pause);
    tcase_add_test(t, test_pause_to_the_end);
    tcase_add_test(t, test_close_ends_calls);
    tcase_add_test(t, test_concurrency);
    tcase_add_test(t, test_name);
    suite_add_tcase(s, t);
    return s;
}
