/* tests/unit/test_mpsc.c -- nothing is lost, doubled or overtaken on the way to the consumer. */
#include "base/mpsc.h"
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include "gen/unit_suites.h"

enum { PRODUCERS = 4, EACH = 20000 };

struct item {
    struct mpsc_node node; /* first, so that a node is its item */
    int producer, number;
};

static struct mpsc queue;
static struct item items[PRODUCERS][EACH];

static void *produce(void *arg)
{
    struct item *mine = arg;
    for (int i = 0; i < EACH; i++)
        mpsc_push(&queue, &mine[i].node);
    return NULL;
}

/* Takes all there is; false when an item overtook another of its producer. */
static bool consume(int next[static PRODUCERS], int *total)
{
    bool ok = true;
    for (struct mpsc_node *n = mpsc_take(&queue), *after; n; n = after) {
        after = n->next;
        const struct item *item = (const struct item *)(const void *)n;
        ok &= item->number == next[item->producer]++;
        ++*total;
    }
    return ok;
}

START_TEST(many_producers_one_consumer)
{
    pthread_t threads[PRODUCERS];
    int next[PRODUCERS] = { 0 }, total = 0;
    bool ok = true;
    for (int p = 0; p < PRODUCERS; p++)
        for (int i = 0; i < EACH; i++)
            items[p][i] = (struct item){ .producer = p, .number = i };
    for (int p = 0; p < PRODUCERS; p++)
        ck_assert_int_eq(pthread_create(&threads[p], NULL, produce, items[p]), 0);
    while (ok && total < PRODUCERS * EACH) {
        ok = consume(next, &total);
        sched_yield();
    }
    for (int p = 0; p < PRODUCERS; p++)
        pthread_join(threads[p], NULL);
    ck_assert(ok);
    ck_assert_int_eq(total, PRODUCERS * EACH);
    ck_assert_ptr_null(mpsc_take(&queue));
}
END_TEST

/* Who finds the queue empty wakes the consumer, and nobody else does. */
START_TEST(the_first_push_is_told)
{
    struct mpsc q = { NULL };
    struct mpsc_node a, b;
    ck_assert(mpsc_push(&q, &a));
    ck_assert(!mpsc_push(&q, &b));
    ck_assert_ptr_eq(mpsc_take(&q), &a);
    ck_assert_ptr_eq(a.next, &b);
    ck_assert_ptr_null(b.next);
    ck_assert(mpsc_push(&q, &b));
}
END_TEST

START_TEST(several_come_in_their_order)
{
    struct mpsc q = { NULL };
    struct mpsc_node first, second, third, fourth;
    second.next = &first;
    third.next = &second;
    ck_assert(mpsc_push_all(&q, &third, &first));
    ck_assert(!mpsc_push(&q, &fourth));
    ck_assert_ptr_eq(mpsc_take(&q), &first);
    ck_assert_ptr_eq(first.next, &second);
    ck_assert_ptr_eq(second.next, &third);
    ck_assert_ptr_eq(third.next, &fourth);
    ck_assert_ptr_null(fourth.next);
}
END_TEST

Suite *mpsc_suite(void)
{
    Suite *s = suite_create("mpsc");
    TCase *t = tcase_create("mpsc");
    tcase_add_test(t, many_producers_one_consumer);
    tcase_add_test(t, the_first_push_is_told);
    tcase_add_test(t, several_come_in_their_order);
    suite_add_tcase(s, t);
    return s;
}
