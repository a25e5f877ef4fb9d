/* tests/unit/test_http_lines.c -- headers that are given together are the same as one by one. */
#include "gateway/http_lines.h"
#include <check.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include "gen/unit_suites.h"

static struct MHD_Response *response;
static struct http_lines lines;
static char got[4 * HTTP_LINES_BYTES];

static void setup(void)
{
    response = MHD_create_response_empty(MHD_RF_NONE);
    ck_assert_ptr_nonnull(response);
    http_lines_begin(&lines, response);
    *got = '\0';
}

static void teardown(void)
{
    MHD_destroy_response(response);
}

static enum MHD_Result collect(void *cls, enum MHD_ValueKind kind, const char *name,
                               const char *value)
{
    size_t len = strlen(got);
    (void)cls, (void)kind;
    snprintf(got + len, sizeof got - len, "%s: %s\r\n", name, value);
    return MHD_YES;
}

/* As the library sends them: each of its headers as "NAME: VALUE\r\n". */
static const char *all(void)
{
    http_lines_end(&lines);
    MHD_get_response_headers(response, collect, NULL);
    return got;
}

START_TEST(they_are_sent_as_they_were_added)
{
    http_lines_add(&lines, "content-type", "application/json");
    http_lines_add(&lines, "x-request-id", "7");
    http_lines_add(&lines, "vary", "authorization");
    ck_assert_str_eq(all(), "content-type: application/json\r\nx-request-id: 7\r\n"
                            "vary: authorization\r\n");
}
END_TEST

START_TEST(none_is_none)
{
    ck_assert_str_eq(all(), "");
    ck_assert_int_eq(MHD_get_response_headers(response, NULL, NULL), 0);
}
END_TEST

/* A content type may come from a backend. */
START_TEST(a_value_cannot_end_its_line)
{
    static const char *const bad[] = { "a\r\nset-cookie: b", "a\nb", "\r", "" };
    http_lines_add(&lines, "first", "1");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        http_lines_add(&lines, "bad", bad[i]);
    http_lines_add(&lines, "last", "2");
    ck_assert_str_eq(all(), "first: 1\r\nlast: 2\r\n");
}
END_TEST

START_TEST(more_than_there_is_room_for)
{
    static char value[3 * HTTP_LINES_BYTES / 5], huge[2 * HTTP_LINES_BYTES];
    char want[sizeof got];
    memset(value, 'v', sizeof value - 1);
    memset(huge, 'h', sizeof huge - 1);
    http_lines_add(&lines, "a", value);
    http_lines_add(&lines, "b", value);
    http_lines_add(&lines, "c", huge);
    http_lines_add(&lines, "d", "1");
    snprintf(want, sizeof want, "a: %s\r\nb: %s\r\nc: %s\r\nd: 1\r\n", value, value, huge);
    ck_assert_str_eq(all(), want);
}
END_TEST

/* To its last byte, and one more. */
START_TEST(the_room_is_used_whole)
{
    for (size_t len = HTTP_LINES_BYTES - 16; len < HTTP_LINES_BYTES; len++) {
        char value[HTTP_LINES_BYTES + 1], want[sizeof got];
        memset(value, 'v', len);
        value[len] = '\0';
        http_lines_add(&lines, "n", value);
        http_lines_add(&lines, "m", "1");
        snprintf(want, sizeof want, "n: %s\r\nm: 1\r\n", value);
        ck_assert_str_eq(all(), want);
        teardown();
        setup();
    }
}
END_TEST

Suite *http_lines_suite(void)
{
    Suite *s = suite_create("http_lines");
    TCase *t = tcase_create("http_lines");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, they_are_sent_as_they_were_added);
    tcase_add_test(t, none_is_none);
    tcase_add_test(t, a_value_cannot_end_its_line);
    tcase_add_test(t, more_than_there_is_room_for);
    tcase_add_test(t, the_room_is_used_whole);
    suite_add_tcase(s, t);
    return s;
}
