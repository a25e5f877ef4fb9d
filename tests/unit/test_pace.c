/* tests/unit/test_pace.c -- time to first token: its average, its scale, its forgetting. */
#include "backends/pace.h"
#include <check.h>

#define MS INT64_C(1000000)
#define S  (1000 * MS)

START_TEST(test_scale)
{
    struct pace p = { 0 };
    ck_assert_uint_eq(pace_now(&p, 5 * S), 0);
    pace_sample(&p, 300 * MS, 0, 5 * S);
    ck_assert_uint_eq(pace_now(&p, 5 * S), 300 * MS);
    /* three times the work in three times the time is the same pace */
    p = (struct pace){ 0 };
    pace_sample(&p, 900 * MS, 512, 5 * S);
    ck_assert_uint_eq(pace_now(&p, 5 * S), 300 * MS);
    ck_assert_uint_eq(p.ttft_ns, 900 * MS);
}
END_TEST

START_TEST(test_average)
{
    struct pace p = { 0 };
    pace_sample(&p, 80 * MS, 0, 0);
    pace_sample(&p, 160 * MS, 0, 0);
    ck_assert_uint_eq(pace_now(&p, 0), 90 * MS);
    for (int i = 0; i < 100; i++)
        pace_sample(&p, 40 * MS, 0, 0);
    ck_assert_uint_lt(pace_now(&p, 0), 41 * MS);
    ck_assert_uint_gt(pace_now(&p, 0), 39 * MS);
}
END_TEST

START_TEST(test_forgetting)
{
    struct pace p = { 0 };
    pace_sample(&p, 800 * MS, 0, 0);
    ck_assert_uint_eq(pace_now(&p, 10 * S - 1), 800 * MS);
    ck_assert_uint_eq(pace_now(&p, 10 * S), 400 * MS);
    ck_assert_uint_eq(pace_now(&p, 30 * S), 100 * MS);
    ck_assert_uint_eq(pace_now(&p, 100000 * S), 0);
    pace_sample(&p, 50 * MS, 0, 30 * S); /* on top of what is still remembered */
    ck_assert_uint_eq(pace_now(&p, 30 * S), 100 * MS - 100 * MS / 8 + 50 * MS / 8);
}
END_TEST

START_TEST(test_edges)
{
    struct pace p = { 0 };
    pace_sample(&p, -5, UINT64_MAX, 0);
    ck_assert_uint_ge(pace_now(&p, 0), 1); /* known, however fast */
    pace_sample(&p, INT64_MAX, 0, INT64_MAX);
    ck_assert_uint_gt(pace_now(&p, INT64_MAX), 0);
}
END_TEST

Suite *pace_suite(void);
Suite *pace_suite(void)
{
    Suite *s = suite_create("pace");
    TCase *t = tcase_create("pace");
    tcase_add_test(t, test_scale);
    tcase_add_test(t, test_average);
    tcase_add_test(t, test_forgetting);
    tcase_add_test(t, test_edges);
    suite_add_tcase(s, t);
    return s;
}
