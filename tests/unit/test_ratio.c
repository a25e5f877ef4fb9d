/* tests/unit/test_ratio.c -- the two roundings and the ceiling: ties, signs and the ends of
 * the range. */
#include "base/ratio.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <inttypes.h>
#include <stdbool.h>

typedef enum status rounding(int64_t a, int64_t b, int64_t d, int64_t *ret);

static const struct {
    const char *label;
    int64_t a, b, d, even, up, ceiling;
} rows[] = {
    { "whole", 6, 7, 1, 42, 42, 42 },
    { "nothing", 0, 7, 3, 0, 0, 0 },
    { "below half", 1, 4, 10, 0, 0, 1 },
    { "above half", 1, 6, 10, 1, 1, 1 },
    { "V19 tie to even or away", 125, 1, 10, 12, 13, 13 },
    { "V19 negative tie", -125, 1, 10, -12, -13, -12 },
    { "tie, odd below", 135, 1, 10, 14, 14, 14 },
    { "negative tie, odd below", -135, 1, 10, -14, -14, -13 },
    { "half of one", 1, 1, 2, 0, 1, 1 },
    { "negative half of one", -1, 1, 2, 0, -1, 0 },
    { "one and a half", 3, 1, 2, 2, 2, 2 },
    { "odd divisor has no tie", 1, 1, 3, 0, 0, 1 },
    { "128 bits", INT64_MAX, INT64_MAX, INT64_MAX, 0, 0, 0 }, /* too much: see below */
    { "128 bits, in range", 3000000000000000000, 3, 1, RATIO_MAX, RATIO_MAX, RATIO_MAX },
    { "128 bits, tie", 4611686018427387904, 5, INT64_C(4611686018427387904) / 2 * 2, 5, 5, 5 },
    { "largest divisor", INT64_MAX, 1, INT64_MAX, 1, 1, 1 },
    { "half of the largest divisor", INT64_MAX / 2, 1, INT64_MAX, 0, 0, 1 },
    { "above half of it", INT64_MAX / 2 + 1, 1, INT64_MAX, 1, 1, 1 },
    { "smallest product", INT64_MIN, 1, INT64_MAX, -1, -1, -1 },
    { "both smallest", INT64_MIN, INT64_MIN, INT64_MAX, 0, 0, 0 }, /* too much */
    { "negative times negative", -5, -5, 2, 12, 13, 13 },
};
enum { ROWS = sizeof rows / sizeof *rows };

static bool too_much(int i)
{
    return rows[i].even == 0 && (rows[i].a == INT64_MIN || rows[i].b == INT64_MAX);
}

START_TEST(rounds_by_rule)
{
    rounding *const rules[] = { ratio_half_even, ratio_half_up, ratio_ceiling };
    const int64_t expected[] = { rows[_i].even, rows[_i].up, rows[_i].ceiling };
    for (int i = 0; i < 3; i++) {
        int64_t got = 42;
        enum status s = rules[i](rows[_i].a, rows[_i].b, rows[_i].d, &got);
        if (too_much(_i)) {
            ck_assert_int_eq(s, STATUS_BILLING_OVERFLOW);
            ck_assert_int_eq(got, 42);
        } else
            ck_assert_msg(s == STATUS_OK && got == expected[i], "%s: rule %d: %" PRId64,
                          rows[_i].label, i, got);
    }
}
END_TEST

START_TEST(a_divisor_is_positive)
{
    int64_t got = 42;
    ck_assert_int_eq(ratio_half_even(1, 1, 0, &got), STATUS_BAD_FIELD);
    ck_assert_int_eq(ratio_half_up(1, 1, -1, &got), STATUS_BAD_FIELD);
    ck_assert_int_eq(ratio_ceiling(1, 1, INT64_MIN, &got), STATUS_BAD_FIELD);
    ck_assert_int_eq(got, 42);
}
END_TEST

/* Every small case against the definition: twice the distance is at most d, and where it is d
 * the result is even, or away from zero. */
START_TEST(no_small_case_is_wrong)
{
    for (int64_t n = -60; n <= 60; n++)
        for (int64_t d = 1; d <= 12; d++) {
            int64_t even, up, ceiling;
            ck_assert_int_eq(ratio_half_even(n, 1, d, &even), STATUS_OK);
            ck_assert_int_eq(ratio_half_up(n, 1, d, &up), STATUS_OK);
            ck_assert_int_eq(ratio_ceiling(n, 1, d, &ceiling), STATUS_OK);
            int64_t off_even = 2 * (n - even * d), off_up = 2 * (n - up * d);
            ck_assert(off_even >= -d && off_even <= d && off_up >= -d && off_up <= d);
            ck_assert((off_even != d && off_even != -d) || even % 2 == 0);
            ck_assert(n > 0 ? off_up != d : off_up != -d);
            ck_assert(ceiling * d >= n && (ceiling - 1) * d < n);
        }
}
END_TEST

Suite *ratio_suite(void)
{
    Suite *s = suite_create("ratio");
    TCase *t = tcase_create("ratio");
    tcase_add_loop_test(t, rounds_by_rule, 0, ROWS);
    tcase_add_test(t, a_divisor_is_positive);
    tcase_add_test(t, no_small_case_is_wrong);
    suite_add_tcase(s, t);
    return s;
}
