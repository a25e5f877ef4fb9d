/* The pipeline as a table: the invariants of money stand in its rows. */
#include "gateway/pipeline.h"
#include "gen/unit_suites.h"
#include <stdbool.h>

/* Once money is held, settle is on every way out. */
START_TEST(test_every_way_out_settles)
{
    for (enum state s = S_BACKEND; s < S_SETTLE; s++) {
        ck_assert_int_gt(pipeline[s].next, s);
        ck_assert_int_gt(pipeline[s].on_fail, s);
        ck_assert_int_le(pipeline[s].next, S_SETTLE);
        ck_assert_int_le(pipeline[s].on_fail, S_SETTLE);
    }
}
END_TEST

/* Before it is held, nobody comes past it by failing. */
START_TEST(test_a_refusal_skips_the_work)
{
    for (enum state s = S_ACCEPT; s <= S_HOLD; s++) {
        ck_assert_int_eq(pipeline[s].next, s + 1);
        ck_assert_int_eq(pipeline[s].on_fail, S_ANSWER);
    }
}
END_TEST

/* Every row moves forward, so every walk ends, whatever each stage says. */
START_TEST(test_every_walk_ends)
{
    for (unsigned says = 0; says < 1u << S_DONE; says++) {
        enum state s = S_ACCEPT;
        bool held = false, settled = false;
        for (int steps = 0; s != S_DONE; steps++) {
            ck_assert_int_lt(steps, S_COUNT);
            bool next = says >> s & 1;
            held = held || (s == S_HOLD && next);
            settled = settled || s == S_SETTLE;
            s = next ? pipeline[s].next : pipeline[s].on_fail;
        }
        ck_assert_int_eq(held, settled);
    }
}
END_TEST

START_TEST(test_every_row_is_filled)
{
    for (enum state s = S_ACCEPT; s < S_DONE; s++) {
        ck_assert_ptr_nonnull(pipeline[s].name);
        ck_assert(pipeline[s].run != NULL);
    }
}
END_TEST

Suite *pipeline_suite(void)
{
    Suite *s = suite_create("pipeline");
    TCase *t = tcase_create("table");
    tcase_add_test(t, test_every_way_out_settles);
    tcase_add_test(t, test_a_refusal_skips_the_work);
    tcase_add_test(t, test_every_walk_ends);
    tcase_add_test(t, test_every_row_is_filled);
    suite_add_tcase(s, t);
    return s;
}
