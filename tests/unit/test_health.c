/* tests/unit/test_health.c -- ejection, its growing length, the one probe, and the way back. */
#include "backends/health.h"
#include <check.h>

#define S INT64_C(1000)

static void call(struct health *h, enum health_verdict v, int64_t now)
{
    enum health_call c = health_begin(h, now);
    health_end(h, c, v, now, true);
}

static void fail_until_ejected(struct health *h, int64_t now)
{
    for (int i = 0; i < HEALTH_FAILURES_MAX; i++) {
        ck_assert(health_available(h, now));
        call(h, HEALTH_BAD, now);
    }
    ck_assert(!health_available(h, now));
}

START_TEST(test_five_in_a_row)
{
    struct health h = { 0 };
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < HEALTH_FAILURES_MAX - 1; i++)
            call(&h, HEALTH_BAD, round);
        call(&h, HEALTH_UNKNOWN, round); /* says nothing, neither way */
        ck_assert(health_available(&h, round));
        call(&h, HEALTH_GOOD, round);
    }
    fail_until_ejected(&h, 100);
    ck_assert(!health_available(&h, 100 + 30 * S - 1));
    ck_assert(health_available(&h, 100 + 30 * S));
}
END_TEST

START_TEST(test_one_probe)
{
    struct health h = { 0 };
    fail_until_ejected(&h, 0);
    ck_assert_int_eq(health_begin(&h, 30 * S), HEALTH_PROBE);
    ck_assert(!health_available(&h, 30 * S));
    ck_assert(!health_available(&h, 3000 * S)); /* however long the probe takes */
    health_end(&h, HEALTH_PROBE, HEALTH_UNKNOWN, 31 * S, true);
    ck_assert(health_available(&h, 31 * S)); /* the client left: the next one probes */
    call(&h, HEALTH_GOOD, 31 * S);
    ck_assert(health_available(&h, 31 * S));
    ck_assert_int_eq(health_begin(&h, 31 * S), HEALTH_PLAIN);
    ck_assert(health_available(&h, 31 * S));
}
END_TEST

START_TEST(test_longer_each_time)
{
    struct health h = { 0 };
    int64_t now = 0;
    fail_until_ejected(&h, now);
    for (int n = 1; n < 20; n++) {
        int64_t expect = n < 10 ? n * 30 * S : 300 * S;
        ck_assert(!health_available(&h, now + expect - 1));
        now += expect;
        ck_assert(health_available(&h, now));
        call(&h, HEALTH_BAD, now);
    }
}
END_TEST

START_TEST(test_flapping_and_forgiving)
{
    struct health h = { 0 };
    fail_until_ejected(&h, 0);
    call(&h, HEALTH_GOOD, 30 * S);
    fail_until_ejected(&h, 40 * S); /* soon again: 60 s */
    ck_assert(!health_available(&h, 40 * S + 60 * S - 1));
    call(&h, HEALTH_GOOD, 100 * S);
    fail_until_ejected(&h, 401 * S); /* well for more than 300 s: 30 s again */
    ck_assert(health_available(&h, 401 * S + 30 * S));
}
END_TEST

/* What began before the ejection neither prolongs nor ends it. */
START_TEST(test_stragglers)
{
    struct health h = { 0 };
    enum health_call c[20];
    for (int i = 0; i < 20; i++)
        c[i] = health_begin(&h, 0);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(health_end(&h, c[i], i < 18 ? HEALTH_BAD : HEALTH_GOOD, 1, true), i == 4);
    ck_assert(!health_available(&h, 30 * S));
    ck_assert(health_available(&h, 30 * S + 1));
}
END_TEST

/* In a panic an ejected backend is used all the same: success ends the ejection, failure changes
 * nothing, and what the probe says afterwards still counts. */
START_TEST(test_trials)
{
    struct health h = { 0 };
    fail_until_ejected(&h, 0);
    ck_assert_int_eq(health_begin(&h, 1 * S), HEALTH_TRIAL);
    ck_assert(!health_end(&h, HEALTH_TRIAL, HEALTH_BAD, 1 * S, true));
    ck_assert(!health_available(&h, 30 * S - 1) && health_available(&h, 30 * S));
    ck_assert_int_eq(health_begin(&h, 30 * S), HEALTH_PROBE);
    ck_assert_int_eq(health_begin(&h, 30 * S), HEALTH_TRIAL);
    health_end(&h, HEALTH_TRIAL, HEALTH_GOOD, 31 * S, true);
    ck_assert(health_available(&h, 31 * S));
    ck_assert(!health_end(&h, HEALTH_PROBE, HEALTH_BAD, 32 * S, true)); /* one failure of five */
    ck_assert(health_available(&h, 32 * S));
    for (int i = 0; i < 3; i++)
        call(&h, HEALTH_BAD, 33 * S);
    ck_assert(health_available(&h, 33 * S));
    call(&h, HEALTH_BAD, 33 * S);
    ck_assert(!health_available(&h, 33 * S));
}
END_TEST

/* Held in while too many others are out; the next failure after that ejects it. */
START_TEST(test_held_in)
{
    struct health h = { .eject_after = 3, .ejection_ms = 100 };
    for (int i = 0; i < 10; i++)
        ck_assert(!health_end(&h, health_begin(&h, 0), HEALTH_BAD, 0, false));
    ck_assert(health_available(&h, 0));
    ck_assert(health_end(&h, health_begin(&h, 0), HEALTH_BAD, 0, true));
    ck_assert(!health_available(&h, 99) && health_available(&h, 100));
}
END_TEST

/* Random errors at 1 % do not eject in any run a test could see (1e-10 a call). */
START_TEST(test_random_errors)
{
    struct health h = { 0 };
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 200000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        ck_assert(health_available(&h, i));
        call(&h, x % 100 ? HEALTH_GOOD : HEALTH_BAD, i);
    }
}
END_TEST

Suite *health_suite(void);
Suite *health_suite(void)
{
    Suite *s = suite_create("health");
    TCase *t = tcase_create("health");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_five_in_a_row);
    tcase_add_test(t, test_one_probe);
    tcase_add_test(t, test_longer_each_time);
    tcase_add_test(t, test_flapping_and_forgiving);
    tcase_add_test(t, test_stragglers);
    tcase_add_test(t, test_trials);
    tcase_add_test(t, test_held_in);
    tcase_add_test(t, test_random_errors);
    suite_add_tcase(s, t);
    return s;
}
