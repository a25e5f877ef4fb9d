/* tests/unit/test_route.c -- properties of the choice, over many random situations. */
#include "backends/route.h"
#include "tests/helpers/routes.h"
#include <check.h>

static struct scene s;

static bool usable(size_t i)
{
    return s.states[i].room && !route_set_has(&s.view.tried, i);
}

static void random_scene(void)
{
    size_t n = test_random() % (CATALOG_ROUTES_MAX + 1);
    uint32_t priority = 0;
    scene_open(&s, n);
    for (size_t i = 0; i < n; i++) {
        priority += test_random() % 8 == 0;
        s.routes[i].priority = priority;
        s.routes[i].weight = (uint32_t)(1 + test_random() % 1000);
        s.states[i].able = test_random() % 4 != 0;
        s.states[i].room = s.states[i].able && test_random() % 3 != 0;
        s.states[i].running = (uint32_t)(test_random() % 4);
        s.states[i].pace = test_random() % 2 ? test_random() >> (test_random() % 64) : 0;
        if (test_random() % 4 == 0)
            route_set_add(&s.view.tried, i);
    }
    scene_seal(&s);
}

/* Chosen: usable, and none that is usable has a lower priority.  Not: none is usable, and FULL
 * says rightly whether to wait. */
START_TEST(test_properties)
{
    for (int round = 0; round < 20000; round++) {
        random_scene();
        int chosen = route_choose(&s.view, test_random());
        bool able = false;
        ck_assert_int_lt(chosen, (int)s.view.count);
        ck_assert(chosen < 0 || usable((size_t)chosen));
        for (size_t i = 0; i < s.view.count; i++) {
            able = able || (s.states[i].able && !route_set_has(&s.view.tried, i));
            if (usable(i)) {
                ck_assert_int_ge(chosen, 0);
                ck_assert_uint_le(s.routes[chosen].priority, s.routes[i].priority);
            }
        }
        ck_assert(chosen >= 0 || (chosen == ROUTE_FULL) == able);
    }
}
END_TEST

/* 3, or so many that they are drawn from without looking at all: the shares are the weights'. */
START_TEST(test_idle_shares_by_weight)
{
    size_t n = _i ? 30 : 3;
    int hits[30] = { 0 };
    scene_open(&s, n);
    for (size_t i = 0; i < n; i++)
        s.routes[i].weight = i % 3 == 0 ? 1 : i % 3 == 1 ? 3 : 6;
    scene_seal(&s);
    for (int i = 0; i < 100000; i++)
        hits[route_choose(&s.view, test_random()) % 3]++;
    ck_assert_int_gt(hits[0], 9000);
    ck_assert_int_lt(hits[0], 11000);
    ck_assert_int_gt(hits[1], 29000);
    ck_assert_int_lt(hits[1], 31000);
}
END_TEST

/* Of two, the one that is expected earlier takes all; of equal ones the load evens out. */
START_TEST(test_load)
{
    scene_open(&s, 2);
    s.routes[1].weight = 2;
    scene_seal(&s);
    s.states[0].running = 10;
    s.states[1].running = 19;
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(route_choose(&s.view, test_random()), 1);
    s.states[1].running = 21;
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(route_choose(&s.view, test_random()), 0);
    scene_open(&s, 10);
    for (int i = 0; i < 10000; i++)
        s.states[route_choose(&s.view, test_random())].running++;
    for (int i = 0; i < 10; i++) {
        ck_assert_uint_ge(s.states[i].running, 990);
        ck_assert_uint_le(s.states[i].running, 1010);
    }
}
END_TEST

/* Twice as slow to begin: half the calls, as soon as there are some. */
START_TEST(test_pace)
{
    scene_open(&s, 2);
    s.states[0].pace = 1000000;
    s.states[1].pace = 2000000;
    for (int i = 0; i < 3000; i++)
        s.states[route_choose(&s.view, test_random())].running++;
    ck_assert_uint_ge(s.states[0].running, 1980);
    ck_assert_uint_le(s.states[0].running, 2020);
    static const uint64_t alike[][2] = { { 0, 1 }, { 1000, 0 }, { 1000, 1250 }, { 1250, 1000 } };
    for (size_t row = 0; row < 4; row++) {
        int first = 0;
        scene_open(&s, 2);
        s.states[0].pace = alike[row][0];
        s.states[1].pace = alike[row][1];
        for (int i = 0; i < 10000; i++)
            first += route_choose(&s.view, test_random()) == 0;
        ck_assert_int_gt(first, 4700); /* shared by weight */
        ck_assert_int_lt(first, 5300);
    }
}
END_TEST

START_TEST(test_edges)
{
    scene_open(&s, 0);
    ck_assert_int_eq(route_choose(&s.view, 0), ROUTE_NONE);
    scene_open(&s, 1);
    ck_assert_int_eq(route_choose(&s.view, UINT64_MAX), 0);
    s.states[0].room = false;
    ck_assert_int_eq(route_choose(&s.view, 0), ROUTE_FULL);
    route_set_add(&s.view.tried, 0);
    ck_assert_int_eq(route_choose(&s.view, 0), ROUTE_NONE);
    scene_open(&s, CATALOG_ROUTES_MAX); /* the only one of the last rung */
    for (size_t i = 0; i < CATALOG_ROUTES_MAX; i++) {
        s.routes[i].priority = (uint32_t)(i / 100);
        s.routes[i].weight = 1000;
        s.states[i].room = i == CATALOG_ROUTES_MAX - 1;
    }
    scene_seal(&s);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(route_choose(&s.view, test_random()), CATALOG_ROUTES_MAX - 1);
}
END_TEST

/* While most have room, a choice among many looks at a few. */
START_TEST(test_few_are_looked_at)
{
    scene_open(&s, 100);
    for (size_t i = 0; i < 100; i++)
        s.states[i].room = i % 10 != 0;
    for (int i = 0; i < 10000; i++)
        (void)route_choose(&s.view, test_random());
    ck_assert_uint_lt(s.looks, 25000);
}
END_TEST

START_TEST(test_thresholds)
{
    ck_assert(!route_panics(0, 0) && !route_panics(2, 1) && !route_panics(4, 2));
    ck_assert(route_panics(1, 1) && route_panics(3, 2) && route_panics(4, 3));
    ck_assert(route_may_eject(1, 0) && route_may_eject(2, 0) && route_may_eject(3, 1));
    ck_assert(!route_may_eject(2, 1) && !route_may_eject(4, 2) && !route_may_eject(5, 3));
    ck_assert(route_may_retry(0, 0) && route_may_retry(0, 2) && route_may_retry(20, 3));
    ck_assert(!route_may_retry(0, 3) && !route_may_retry(19, 3) && !route_may_retry(100, 20));
}
END_TEST

Suite *route_suite(void);
Suite *route_suite(void)
{
    Suite *suite = suite_create("route");
    TCase *t = tcase_create("route");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_properties);
    tcase_add_loop_test(t, test_idle_shares_by_weight, 0, 2);
    tcase_add_test(t, test_load);
    tcase_add_test(t, test_pace);
    tcase_add_test(t, test_edges);
    tcase_add_test(t, test_few_are_looked_at);
    tcase_add_test(t, test_thresholds);
    suite_add_tcase(suite, t);
    return suite;
}
