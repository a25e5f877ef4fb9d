/* tests/unit/test_usage.c -- meters are found by their names and keep their numbers. */
#include "base/usage.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <string.h>

START_TEST(a_meter_is_found_by_its_name)
{
    enum meter m = (enum meter)_i;
    ck_assert_int_eq(meter_find(meter_name(m)), m);
    ck_assert(*meter_unit(m));
}
END_TEST

START_TEST(an_unknown_name_is_none)
{
    ck_assert_int_eq(meter_find("prompt_tokens"), METER_COUNT);
    ck_assert_int_eq(meter_find(""), METER_COUNT);
}
END_TEST

/* These numbers are on disk. */
START_TEST(numbers_never_change)
{
    ck_assert_str_eq(meter_name(0), "requests");
    ck_assert_str_eq(meter_name(5), "output_reasoning_tokens");
    ck_assert_str_eq(meter_name(10), "tensor_elements");
    ck_assert_str_eq(meter_name(15), "video_ms");
    ck_assert_str_eq(meter_name(17), "input_video_tokens");
}
END_TEST

START_TEST(zero_is_a_value_and_absent_is_not)
{
    struct usage u = { .present = 0 };
    usage_set(&u, METER_IMAGES, 0);
    ck_assert(usage_has(&u, METER_IMAGES));
    ck_assert(!usage_has(&u, METER_REQUESTS));
}
END_TEST

/* A new kind of token that is forgotten in METERS_TOKENS would be free of every limit. */
START_TEST(tokens_are_in_or_out)
{
    uint32_t tokens = 0;
    for (unsigned m = 0; m < METER_COUNT; m++)
        tokens |= strcmp(meter_unit((enum meter)m), "token") ? 0 : UINT32_C(1) << m;
    ck_assert_uint_eq(tokens, METERS_TOKENS);
    ck_assert_uint_eq(METERS_TOKENS_IN & METERS_TOKENS_OUT, 0);
}
END_TEST

START_TEST(sums_stop_at_the_largest_number)
{
    struct usage u = { .present = 0 };
    u.qty[METER_INPUT_CACHED] = 7; /* not present: unknown */
    usage_set(&u, METER_INPUT_UNCACHED, 3);
    usage_set(&u, METER_INPUT_AUDIO, 4);
    usage_set(&u, METER_OUTPUT_TEXT, 5);
    ck_assert_uint_eq(usage_sum(&u, METERS_TOKENS_IN), 7);
    ck_assert_uint_eq(usage_sum(&u, METERS_TOKENS), 12);
    usage_set(&u, METER_OUTPUT_TEXT, UINT64_MAX);
    ck_assert_uint_eq(usage_sum(&u, METERS_TOKENS), INT64_MAX);
    usage_set(&u, METER_OUTPUT_TEXT, INT64_MAX);
    ck_assert_uint_eq(usage_sum(&u, METERS_TOKENS), INT64_MAX);
}
END_TEST

Suite *usage_suite(void)
{
    Suite *s = suite_create("usage");
    TCase *t = tcase_create("usage");
    tcase_add_loop_test(t, a_meter_is_found_by_its_name, 0, METER_COUNT);
    tcase_add_test(t, an_unknown_name_is_none);
    tcase_add_test(t, numbers_never_change);
    tcase_add_test(t, zero_is_a_value_and_absent_is_not);
    tcase_add_test(t, tokens_are_in_or_out);
    tcase_add_test(t, sums_stop_at_the_largest_number);
    suite_add_tcase(s, t);
    return s;
}
