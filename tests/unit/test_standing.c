/* tests/unit/test_standing.c -- a backend as the process knows it: kept over reloads, exact under
 * many threads, left alone when it asks. */
#include "gateway/standing.h"
#include "conf/catalog.h"
#include <check.h>
#include <string.h>

enum { THREADS = 8, ROUNDS = 20000 };
#define S INT64_C(1000000000)

static struct roster ro;
static struct catalog_backend backends[2];
static struct catalog catalog;

static void setup(void)
{
    roster_init(&ro);
    backends[0] = (struct catalog_backend){ .name = "a", .concurrency = 3, .queue_timeout_ms = 5 };
    backends[1] = (struct catalog_backend){ .name = "b", .concurrency = 9, .index = 1 };
    catalog = (struct catalog){ .backends = backends, .backend_count = 2 };
}

static struct standing **enroll(void)
{
    struct standing **all = roster_enroll(&ro, &catalog);
    ck_assert_ptr_nonnull(all);
    return all;
}

/* The same limits: the same standing.  Other ones: a new one, with the word of the old. */
START_TEST(test_reloads)
{
    struct standing **first = enroll();
    ck_assert(roster_say(&ro, "a", WORD_DISABLED) && !roster_say(&ro, "c", WORD_DRAINED));
    struct standing **same = enroll();
    ck_assert(first[0] == same[0] && first[1] == same[1]);
    backends[0].tokens_per_minute = 10;
    struct standing **other = enroll();
    ck_assert(other[0] != first[0] && other[1] == first[1]);
    ck_assert_int_eq(other[0]->word, WORD_DISABLED);
    roster_dismiss(&ro, same, 2);
    ck_assert(
        roster_say(&ro, "a", WORD_ENABLED)); /* both: requests of before choose by the old one */
    ck_assert(first[0]->word == WORD_ENABLED && other[0]->word == WORD_ENABLED);
    ck_assert_int_eq(roster_word(&ro, "b"), WORD_ENABLED);
    roster_dismiss(&ro, first, 2);
    roster_dismiss(&ro, other, 2);
    ck_assert_ptr_null(ro.first);
    ck_assert_int_eq(roster_word(&ro, "a"), WORD_ENABLED); /* nobody there any more */
    roster_dismiss(&ro, NULL, 2);
}
END_TEST

START_TEST(test_taking)
{
    backends[0].requests_per_minute = 60;
    backends[0].tokens_per_minute = 1000;
    struct standing **all = enroll();
    struct standing *st = all[0];
    struct limits_grant g[4] = { { 0 } };
    for (int i = 0; i < 3; i++)
        ck_assert(standing_take(st, 300, S, &g[i]));
    ck_assert(!standing_take(st, 1, S, &g[3])); /* three at once */
    ck_assert_int_eq(standing_wait_ms(st, 100, S), 0);
    ck_assert_int_gt(standing_wait_ms(st, 300, S), 0);
    ck_assert(!standing_leave(st, &g[0], 0, S)); /* nobody waits */
    ck_assert_int_eq(standing_wait_ms(st, 400, S), 0);
    ck_assert_int_eq(standing_wait_ms(st, 5000, S),
                     standing_wait_ms(st, 1000, S)); /* all there is */
    atomic_store(&st->waiting, 1);
    ck_assert(!standing_take(st, 1, S, &g[0])); /* others come first */
    ck_assert(standing_take_turn(st, 1, S, &g[0]));
    for (int i = 0; i < 3; i++)
        ck_assert(standing_leave(st, &g[i], 300, S));
    roster_dismiss(&ro, all, 2);
}
END_TEST

/* The longest wish counts, and none is believed for ever. */
START_TEST(test_rest)
{
    struct standing **all = enroll();
    struct limits_grant g = { 0 };
    standing_rest(all[0], 700, S);
    standing_rest(all[0], 300, S);
    ck_assert_int_eq(standing_wait_ms(all[0], 1, S), 700);
    ck_assert(!standing_take(all[0], 1, S + 699 * 1000000, &g));
    ck_assert(standing_take(all[0], 1, S + 700 * 1000000, &g));
    standing_leave(all[0], &g, 1, 2 * S);
    standing_rest(all[0], INT64_MAX, 2 * S);
    ck_assert_int_eq(standing_wait_ms(all[0], 1, 2 * S), REST_MS_MAX);
    roster_dismiss(&ro, all, 2);
}
END_TEST

static _Atomic int inside, most, taken;

static void *take_and_leave(void *arg)
{
    struct standing *st = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct limits_grant g = { 0 };
        if (!standing_take(st, 1, S, &g))
            continue;
        int now = atomic_fetch_add(&inside, 1) + 1, before = atomic_load(&most);
        while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
            ;
        atomic_fetch_add(&taken, 1);
        atomic_fetch_sub(&inside, 1);
        standing_leave(st, &g, 1, S);
    }
    return NULL;
}

/* Never one more than may be, by places or, when time stands still, by rate. */
START_TEST(test_many_threads)
{
    pthread_t threads[THREADS];
    backends[0].requests_per_minute = _i ? 1000 : 0;
    struct standing **all = enroll();
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_leave, all[0]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_le(most, 3);
    ck_assert(_i ? taken == 1000 : taken > 1000);
    ck_assert_int_eq(atomic_load(&all[0]->state.running), 0);
    roster_dismiss(&ro, all, 2);
}
END_TEST

Suite *standing_suite(void);
Suite *standing_suite(void)
{
    Suite *s = suite_create("standing");
    TCase *t = tcase_create("standing");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, test_reloads);
    tcase_add_test(t, test_taking);
    tcase_add_test(t, test_rest);
    tcase_add_loop_test(t, test_many_threads, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
