/* tests/unit/test_sse.c -- the same events however the bytes are cut. */
#include "backends/sse.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX = 64 };

struct seen {
    char text[1024]; /* "name|data;" for each event */
    unsigned stop_after;
    unsigned events;
};

static bool on_event(void *arg, const char *name, struct span data)
{
    struct seen *seen = arg;
    size_t used = strlen(seen->text);
    snprintf(seen->text + used, sizeof seen->text - used, "%s|%.*s;", name, (int)data.len, data.at);
    return ++seen->events != seen->stop_after;
}

/* What comes out when the bytes go in `piece` at a time. */
static enum status run(const char *bytes, size_t len, size_t piece, bool finish, struct seen *seen)
{
    struct sse s;
    enum status status = STATUS_OK;
    sse_init(&s, MAX);
    for (size_t at = 0; at < len && status == STATUS_OK; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        char *copy = malloc(n); /* exactly as long, so that reading beyond it is seen */
        memcpy(copy, bytes + at, n);
        status = sse_feed(&s, (struct span){ copy, n }, on_event, seen);
        free(copy);
    }
    if (finish && status == STATUS_OK)
        status = sse_finish(&s, on_event, seen);
    sse_clear(&s);
    return status;
}

static const struct {
    const char *label, *bytes, *events;
    bool finish;
} cases[] = {
    { "one", "data: {}\n\n", "|{};", false },
    { "no space", "data:{}\n\n", "|{};", false },
    { "only one space goes", "data:  x\n\n", "| x;", false },
    { "crlf", "data: a\r\n\r\ndata: b\r\n\r\n", "|a;|b;", false },
    { "cr", "data: a\r\rdata: b\r\r", "|a;|b;", false },
    { "mixed ends", "data: a\n\r\ndata: b\r\n\rdata: c\r\n\n", "|a;|b;|c;", false },
    { "several lines", "data: a\ndata: b\ndata:\ndata: c\n\n", "|a\nb\n\nc;", false },
    { "name", "event: ping\ndata: 1\n\ndata: 2\n\n", "ping|1;|2;", false },
    { "name without data is nothing", "event: ping\n\ndata: 2\n\n", "|2;", false },
    { "comments", ": hello\n\n:\n\ndata: 1\n: in between\n\n", "|1;", false },
    { "bom",
      "\xef\xbb\xbf"
      "data: 1\n\n",
      "|1;", false },
    { "bom only at the start",
      "data: 1\n\n\xef\xbb\xbf"
      "data: 2\n\n",
      "|1;", false },
    { "two boms",
      "\xef\xbb\xbf\xef\xbb\xbf"
      "data: 2\n\n",
      "", false },
    { "id and retry", "id: 1\nretry: 5\ndata: x\n\n", "|x;", false },
    { "unknown field", "dat: 1\ndatax: 2\ndata: 3\n\n", "|3;", false },
    { "field without colon", "data\n\n", "|;", false },
    { "empty data", "data:\n\n", "|;", false },
    { "colon in the value", "data: a:b\n\n", "|a:b;", false },
    { "no end", "data: 1\n\ndata: 2\n", "|1;", false },
    { "no end, finished", "data: 1\n\ndata: 2\n", "|1;|2;", true },
    { "no line end, finished", "data: 1\n\ndata: 2", "|1;|2;", true },
    { "nothing", "", "", true },
    { "only line ends", "\n\r\n\r\n\n", "", true },
    { "long name is cut",
      "event: 0123456789012345678901234567890123456789012345678901\n"
      "data: 1\n\n",
      "0123456789012345678901234567890123456789012345678901|1;", false },
};

START_TEST(test_any_cut)
{
    const char *bytes = cases[_i].bytes;
    for (size_t piece = 1; piece <= strlen(bytes) + 1; piece++) {
        struct seen seen = { 0 };
        ck_assert_int_eq(run(bytes, strlen(bytes), piece, cases[_i].finish, &seen), STATUS_OK);
        ck_assert_msg(strcmp(seen.text, cases[_i].events) == 0, "%s, cut by %zu: %s",
                      cases[_i].label, piece, seen.text);
    }
}
END_TEST

/* One number limits an event, and where the bytes are cut does not move it. */
START_TEST(test_limit)
{
    char bytes[3 * MAX];
    for (size_t len = 1; len < 2 * MAX; len++) {
        memset(bytes, 'x', sizeof bytes);
        memcpy(bytes, "data: ", 6);
        memcpy(bytes + 6 + len, "\n\n", 2);
        enum status expect = 6 + len <= MAX ? STATUS_OK : STATUS_BACKEND_GARBAGE;
        for (size_t piece = 1; piece <= len + 8; piece++) {
            struct seen seen = { 0 };
            ck_assert_int_eq(run(bytes, len + 8, piece, false, &seen), expect);
            ck_assert_uint_eq(seen.events, expect == STATUS_OK);
        }
    }
}
END_TEST

START_TEST(test_limit_of_many_lines)
{
    char bytes[MAX * 8] = "";
    struct seen seen = { 0 };
    for (int i = 0; i < MAX; i++)
        strncat(bytes, "data:\n", 7);
    ck_assert_int_eq(run(bytes, strlen(bytes), 5, false, &seen), STATUS_BACKEND_GARBAGE);
    memset(bytes, ':', sizeof bytes); /* an endless comment is one long line */
    ck_assert_int_eq(run(bytes, sizeof bytes, 7, false, &seen), STATUS_BACKEND_GARBAGE);
    ck_assert_uint_eq(seen.events, 0);
}
END_TEST

START_TEST(test_failure_is_sticky)
{
    struct sse s;
    struct seen seen = { 0 };
    char longer[2 * MAX];
    memset(longer, 'x', sizeof longer);
    sse_init(&s, MAX);
    ck_assert_int_eq(sse_feed(&s, (struct span){ longer, sizeof longer }, on_event, &seen),
                     STATUS_BACKEND_GARBAGE);
    ck_assert_int_eq(sse_feed(&s, SPAN("\n\ndata: 1\n\n"), on_event, &seen),
                     STATUS_BACKEND_GARBAGE);
    ck_assert_int_eq(sse_finish(&s, on_event, &seen), STATUS_BACKEND_GARBAGE);
    sse_reset(&s);
    ck_assert_int_eq(sse_feed(&s, SPAN("data: 1\n\n"), on_event, &seen), STATUS_OK);
    ck_assert_str_eq(seen.text, "|1;");
    sse_clear(&s);
}
END_TEST

START_TEST(test_stop)
{
    struct seen seen = { .stop_after = 2 };
    const char bytes[] = "data: 1\n\ndata: 2\n\ndata: 3\n\n";
    ck_assert_int_eq(run(bytes, sizeof bytes - 1, sizeof bytes, true, &seen), STATUS_OK);
    ck_assert_str_eq(seen.text, "|1;|2;");
}
END_TEST

Suite *sse_suite(void);
Suite *sse_suite(void)
{
    Suite *s = suite_create("sse");
    TCase *t = tcase_create("sse");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_any_cut, 0, sizeof cases / sizeof *cases);
    tcase_add_test(t, test_limit);
    tcase_add_test(t, test_limit_of_many_lines);
    tcase_add_test(t, test_failure_is_sticky);
    tcase_add_test(t, test_stop);
    suite_add_tcase(s, t);
    return s;
}
