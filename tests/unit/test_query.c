/* tests/unit/test_query.c -- parameters behind the '?': what is read, and what nobody sends. */
#include "gateway/query.h"
#include <check.h>
#include <stdio.h>
#include <string.h>
#include "gen/unit_suites.h"

static struct arena *arena;

static void setup(void)
{
    arena = arena_new(1 << 20);
    ck_assert_ptr_nonnull(arena);
}

static void teardown(void)
{
    arena_free(arena);
}

static const struct {
    const char *query, *read; /* name=value;..; "!": refused there */
} rows[] = {
    { "", "" },
    { "&&&", "" },
    { "a=1", "a=1;" },
    { "a=1&b=2", "a=1;b=2;" },
    { "&a=1&&b=2&", "a=1;b=2;" },
    { "a", "a=;" },
    { "a=", "a=;" },
    { "=a", "=a;" },
    { "a=b=c", "a=b=c;" },
    { "models[]=x", "models=x;" },
    { "models%5B%5D=base%2Fchat", "models=base/chat;" },
    { "[]=x", "[]=x;" },
    { "a=b+c%20d", "a=b c d;" },
    { "a=%e4%bd%a0", "a=\xe4\xbd\xa0;" },
    { "a=1&b=%", "a=1;!" },
    { "a=%4", "!" },
    { "a=%4&b=1", "!" },
    { "a=%zz", "!" },
    { "a=%00", "!" },
    { "a=%0a", "!" },
    { "%7f=1", "!" },
    { "a=\x01", "!" },
};

START_TEST(test_pairs)
{
    struct span rest = { rows[_i].query, strlen(rows[_i].query) };
    char read[256] = "";
    struct query_pair p;
    enum status s;
    while ((s = query_next(&rest, arena, &p)) == STATUS_OK && p.name) {
        size_t at = strlen(read);
        snprintf(read + at, sizeof read - at, "%s=%s;", p.name, p.value);
    }
    size_t end = strlen(read);
    snprintf(read + end, sizeof read - end, "%s", s == STATUS_OK ? "" : "!");
    ck_assert_str_eq(read, rows[_i].read);
}
END_TEST

START_TEST(test_an_endless_query_ends)
{
    static char text[1 << 20];
    struct arena *small = arena_new(4096);
    memset(text, 'a', sizeof text);
    struct span rest = { text, sizeof text };
    struct query_pair p;
    ck_assert_int_eq(query_next(&rest, small, &p), STATUS_NO_MEMORY);
    arena_free(small);
}
END_TEST

static const struct {
    const char *text;
    bool ok;
} numbers[] = {
    { "1", true },
    { "10", true },
    { "007", true },
    { "0", false },
    { "11", false },
    { "", false },
    { "-1", false },
    { "+1", false },
    { " 1", false },
    { "1 ", false },
    { "1e1", false },
    { "0x1", false },
    { "99999999999999999999999999", false },
};

START_TEST(test_numbers)
{
    int64_t n = -7;
    ck_assert_int_eq(query_number(numbers[_i].text, 1, 10, &n), numbers[_i].ok);
    ck_assert_int_eq(n != -7, numbers[_i].ok);
}
END_TEST

static const struct {
    const char *text;
    int64_t seconds; /* -1: refused */
} instants[] = {
    { "1970-01-01T00:00:00Z", 0 },
    { "2026-11-01T00:00:00Z", 1793491200 },
    { "2026-11-01T00:00:00.999Z", 1793491200 },
    { "2026-11-01T02:30:00+02:30", 1793491200 },
    { "2026-11-01T02:30:00 02:30", 1793491200 },
    { "2026-10-31T19:00:00-05:00", 1793491200 },
    { "2026-02-29T00:00:00Z", -1 },
    { "2026-11-01", -1 },
    { "2026-11-01T00:00:00", -1 },
    { "2026-11-01T00:00:00z", -1 },
    { "2026-11-01T24:00:00Z", -1 },
    { "2026-11-01T00:00:00.Z", -1 },
    { "2026-11-01T00:00:00+24:00", -1 },
    { "2026-11-01T00:00:00+2:00", -1 },
    { "2026-11-01T00:00:00Z ", -1 },
    { "1969-12-31T23:59:59Z", -1 },
    { "9999-01-01T00:00:00Z", -1 },
    { "1793491200", -1 },
    { "", -1 },
};

START_TEST(test_instants)
{
    int64_t us = -1000000;
    bool good = query_instant(instants[_i].text, &us);
    ck_assert_int_eq(good, instants[_i].seconds >= 0);
    ck_assert_int_eq(us, instants[_i].seconds * 1000000);
}
END_TEST

Suite *query_suite(void)
{
    Suite *s = suite_create("query");
    TCase *t = tcase_create("query");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_pairs, 0, sizeof rows / sizeof *rows);
    tcase_add_test(t, test_an_endless_query_ends);
    tcase_add_loop_test(t, test_numbers, 0, sizeof numbers / sizeof *numbers);
    tcase_add_loop_test(t, test_instants, 0, sizeof instants / sizeof *instants);
    suite_add_tcase(s, t);
    return s;
}
