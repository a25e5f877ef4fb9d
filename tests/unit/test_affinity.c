/* tests/unit/test_affinity.c -- the same conversation to the same backend, and what moves when. */
#include "backends/affinity.h"
#include "tests/helpers/routes.h"
#include <check.h>
#include <stdlib.h>

enum { KEYS = 20000 };

static struct scene s;

static int choose(uint64_t key, bool *home)
{
    return affinity_choose(&s.view, key, home);
}

static void homes(int *ret)
{
    bool home;
    for (uint64_t k = 0; k < KEYS; k++) {
        ret[k] = choose(k * UINT64_C(0xbf58476d1ce4e5b9) + 1, &home);
        ck_assert(home);
    }
}

START_TEST(test_by_weight_and_always_the_same)
{
    static int first[KEYS], again[KEYS];
    int hits[4] = { 0 };
    scene_open(&s, 4);
    s.routes[3].weight = 5;
    scene_seal(&s);
    homes(first);
    homes(again);
    for (int i = 0; i < KEYS; i++) {
        ck_assert_int_eq(first[i], again[i]);
        hits[first[i]]++;
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_int_gt(hits[i], KEYS / 8 * 9 / 10);
        ck_assert_int_lt(hits[i], KEYS / 8 * 11 / 10);
    }
}
END_TEST

/* One more of ten: a tenth or so moves, all of it to the new one.  One down: only its own move. */
START_TEST(test_few_move)
{
    static int ten[KEYS], eleven[KEYS], nine[KEYS];
    int moved = 0;
    scene_open(&s, 10);
    homes(ten);
    s.states[4].able = s.states[4].room = false;
    homes(nine);
    scene_open(&s, 11);
    homes(eleven);
    for (int i = 0; i < KEYS; i++) {
        ck_assert(eleven[i] == ten[i] || eleven[i] == 10);
        ck_assert(nine[i] == ten[i] || ten[i] == 4);
        moved += eleven[i] != ten[i];
    }
    ck_assert_int_gt(moved, KEYS / 11 * 9 / 10);
    ck_assert_int_lt(moved, KEYS / 11 * 11 / 10);
}
END_TEST

/* No room, or more than its share: the second choice of that conversation, always the same. */
START_TEST(test_passed_over)
{
    bool home;
    scene_open(&s, 3);
    int first = choose(42, &home);
    s.states[first].room = false;
    int second = choose(42, &home);
    ck_assert(!home && second >= 0 && second != first);
    s.states[first] = (struct route_state){ .able = true, .room = true, .running = 100 };
    s.looks = 0;
    ck_assert_int_eq(choose(42, &home), second);
    ck_assert(!home);
    ck_assert_uint_eq(s.looks, 2); /* at the home and at the second, however many there are */
    for (int i = 0; i < 3; i++)
        s.states[i].running = 100; /* a crowd everywhere is no crowd */
    ck_assert_int_eq(choose(42, &home), first);
    ck_assert(home);
}
END_TEST

/* One conversation that is all the load stays within the bound of its home. */
START_TEST(test_bounded_load)
{
    bool home;
    scene_open(&s, 10);
    for (int i = 0; i < 1000; i++)
        s.states[choose(7, &home)].running++;
    for (int i = 0; i < 10; i++)
        ck_assert_uint_le(s.states[i].running, 1000 / 10 * 5 / 4 + AFFINITY_SLACK + 1);
}
END_TEST

START_TEST(test_rungs_and_ends)
{
    bool home;
    scene_open(&s, 4);
    s.routes[2].priority = s.routes[3].priority = 1;
    scene_seal(&s);
    for (uint64_t k = 1; k < 100; k++)
        ck_assert_int_lt(choose(k, &home), 2);
    s.states[0].room = s.states[1].room = false;
    ck_assert_int_ge(choose(9, &home), 2);
    ck_assert(!home); /* it would have been below */
    s.states[0].able = s.states[1].able = false;
    ck_assert_int_ge(choose(9, &home), 2);
    ck_assert(home);
    s.states[2].room = s.states[3].room = false;
    ck_assert_int_eq(choose(9, &home), ROUTE_FULL);
    route_set_add(&s.view.tried, 2);
    route_set_add(&s.view.tried, 3);
    ck_assert_int_eq(choose(9, &home), ROUTE_NONE);
}
END_TEST

Suite *affinity_suite(void);
Suite *affinity_suite(void)
{
    Suite *suite = suite_create("affinity");
    TCase *t = tcase_create("affinity");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_by_weight_and_always_the_same);
    tcase_add_test(t, test_few_move);
    tcase_add_test(t, test_passed_over);
    tcase_add_test(t, test_bounded_load);
    tcase_add_test(t, test_rungs_and_ends);
    suite_add_tcase(suite, t);
    return suite;
}
