/* tests/unit/test_handover.c -- how long a loop keeps what it has for the ledger: never longer than its
 * turns bring more, nor than somebody could still come. */
#include "gateway/handover.h"
#include <check.h>
#include "gen/unit_suites.h"

static struct mpsc_node nodes[2 * HANDOVER_OPS_MAX];

static void add(struct handover *h, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        handover_add(h, &nodes[h->ops]);
}

START_TEST(who_is_alone_waits_for_nobody)
{
    struct handover h = { 0 };
    add(&h, 1);
    ck_assert(handover_is_due(&h, 1));
}
END_TEST

START_TEST(when_all_are_there_it_goes)
{
    struct handover h = { 0 };
    add(&h, 2);
    ck_assert(!handover_is_due(&h, 3));
    add(&h, 1);
    ck_assert(handover_is_due(&h, 3));
}
END_TEST

START_TEST(a_turn_that_brings_nothing_ends_it)
{
    struct handover h = { 0 };
    add(&h, 1);
    ck_assert(!handover_is_due(&h, 1000));
    add(&h, 5);
    ck_assert(!handover_is_due(&h, 1000));
    ck_assert(handover_is_due(&h, 1000));
}
END_TEST

START_TEST(it_is_bounded)
{
    struct handover many = { 0 }, slow = { 0 };
    add(&many, HANDOVER_OPS_MAX);
    ck_assert(handover_is_due(&many, 100000));
    for (int turn = 0; turn < HANDOVER_TURNS_MAX; turn++) {
        add(&slow, 1);
        ck_assert(!handover_is_due(&slow, 100000));
    }
    add(&slow, 1);
    ck_assert(handover_is_due(&slow, 100000));
}
END_TEST

START_TEST(it_is_a_chain_for_the_queue)
{
    struct handover h = { 0 };
    struct mpsc q = { NULL };
    add(&h, 3);
    ck_assert(mpsc_push_all(&q, h.newest, h.oldest));
    struct mpsc_node *n = mpsc_take(&q);
    for (int i = 0; i < 3; i++, n = n->next)
        ck_assert_ptr_eq(n, &nodes[i]);
    ck_assert_ptr_null(n);
}
END_TEST

Suite *handover_suite(void)
{
    Suite *s = suite_create("handover");
    TCase *t = tcase_create("handover");
    tcase_add_test(t, who_is_alone_waits_for_nobody);
    tcase_add_test(t, when_all_are_there_it_goes);
    tcase_add_test(t, a_turn_that_brings_nothing_ends_it);
    tcase_add_test(t, it_is_bounded);
    tcase_add_test(t, it_is_a_chain_for_the_queue);
    suite_add_tcase(s, t);
    return s;
}
