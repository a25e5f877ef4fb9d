/* tests/unit/test_route.c -- properties of the choice, over many random situations. */
#include "backends/route.h"
#include <check.h>

static uint64_t state = 0x9e3779b97f4a7c15u;
static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1du;
}

static bool usable(const struct route_state *s, unsigned tried, size_t i)
{
    return s[i].up && s[i].running < s[i].capacity && !(tried >> i & 1);
}

/* Chosen: usable, and none that is usable has a lower priority.  -1: none is usable. */
START_TEST(test_properties)
{
    for (int round = 0; round < 20000; round++) {
        struct catalog_route routes[ROUTE_MAX] = { 0 };
        struct route_state states[ROUTE_MAX] = { 0 };
        size_t n = next() % (ROUTE_MAX + 1);
        unsigned tried = (unsigned)(next() & next());
        for (size_t i = 0; i < n; i++) {
            routes[i].priority = (uint32_t)(next() % 3);
            routes[i].weight = next() % 8 ? (uint32_t)(1 + next() % 100) : UINT32_MAX;
            states[i] = (struct route_state){ next() % 4 != 0, (uint32_t)(next() % 4),
                                              (uint32_t)(next() % 5) };
        }
        int chosen = route_choose(routes, n, states, next(), tried);
        ck_assert_int_lt(chosen, (int)n);
        ck_assert(chosen < 0 || usable(states, tried, (size_t)chosen));
        for (size_t i = 0; i < n; i++)
            if (usable(states, tried, i)) {
                ck_assert_int_ge(chosen, 0);
                ck_assert_uint_le(routes[chosen].priority, routes[i].priority);
            }
    }
}
END_TEST

START_TEST(test_idle_shares_by_weight)
{
    struct catalog_route routes[] = { { .weight = 1 }, { .weight = 3 }, { .weight = 6 } };
    struct route_state states[] = { { true, 0, 9 }, { true, 0, 9 }, { true, 0, 9 } };
    int hits[3] = { 0 };
    for (int i = 0; i < 100000; i++)
        hits[route_choose(routes, 3, states, next(), 0)]++;
    ck_assert_int_gt(hits[0], 9000);
    ck_assert_int_lt(hits[0], 11000);
    ck_assert_int_gt(hits[1], 29000);
    ck_assert_int_lt(hits[1], 31000);
}
END_TEST

/* Of two, the one with less work per weight takes all; of equal ones the load evens out. */
START_TEST(test_load)
{
    struct catalog_route two[] = { { .weight = 1 }, { .weight = 2 } };
    struct route_state states[] = { { true, 10, 99 }, { true, 19, 99 } };
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(route_choose(two, 2, states, next(), 0), 1);
    states[1].running = 21;
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(route_choose(two, 2, states, next(), 0), 0);

    struct catalog_route ten[10] = { 0 };
    struct route_state load[10] = { 0 };
    for (int i = 0; i < 10; i++) {
        ten[i].weight = 1;
        load[i] = (struct route_state){ true, 0, UINT32_MAX };
    }
    for (int i = 0; i < 10000; i++)
        load[route_choose(ten, 10, load, next(), 0)].running++;
    for (int i = 0; i < 10; i++) {
        ck_assert_uint_ge(load[i].running, 990);
        ck_assert_uint_le(load[i].running, 1010);
    }
}
END_TEST

START_TEST(test_edges)
{
    struct catalog_route routes[40] = { 0 };
    struct route_state states[40] = { 0 };
    ck_assert_int_eq(route_choose(routes, 0, states, 0, 0), -1);
    for (int i = 0; i < 40; i++)
        states[i] = (struct route_state){ true, 0, 1 };
    for (int i = 0; i < 1000; i++) { /* weights of 0, and more routes than bits */
        int chosen = route_choose(routes, 40, states, i ? next() : UINT64_MAX, 0);
        ck_assert_int_ge(chosen, 0);
        ck_assert_int_lt(chosen, ROUTE_MAX);
    }
    ck_assert_int_eq(route_choose(routes, 40, states, next(), UINT32_MAX), -1);
}
END_TEST

Suite *route_suite(void);
Suite *route_suite(void)
{
    Suite *s = suite_create("route");
    TCase *t = tcase_create("route");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_properties);
    tcase_add_test(t, test_idle_shares_by_weight);
    tcase_add_test(t, test_load);
    tcase_add_test(t, test_edges);
    suite_add_tcase(s, t);
    return s;
}
