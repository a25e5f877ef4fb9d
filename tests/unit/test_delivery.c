/* How much of a stream reached its client: added, taken, sent, and the tokens at each place. */
#include "gateway/delivery.h"
#include <check.h>
#include <string.h>

enum { EVENT = 200 }; /* bytes of one */

static const struct span token = { "{\"choices\":[{\"delta\":{\"content\":\"x\"}}]}", 38 };
static const struct span role = {
    "{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}", 58
};

static struct usage out(uint64_t text)
{
    struct usage u = { .present = 0 };
    usage_set(&u, METER_INPUT_UNCACHED, 7);
    usage_set(&u, METER_OUTPUT_TEXT, text);
    return u;
}

static const struct usage unknown;

/* `count` tokens that wait behind `waiting` bytes; the backend counts when `counts`. */
static void add(struct delivery *d, size_t count, size_t *waiting, bool counts)
{
    for (size_t i = 0; i < count; i++) {
        struct usage u = out(d->added.text + 1);
        *waiting += EVENT;
        delivery_add(d, token, counts ? &u : &unknown, *waiting);
    }
}

START_TEST(test_a_reader_that_keeps_up)
{
    struct delivery d;
    size_t waiting = 0;
    delivery_init(&d);
    for (int i = 1; i <= 3; i++) {
        add(&d, 1, &waiting, true);
        ck_assert_uint_eq(d.sent.events,
                          (unsigned)i - 1); /* in the server's hands, perhaps no further */
        delivery_take(&d, waiting, 0);
        ck_assert_uint_eq(d.sent.text, (unsigned)i - 1);
        waiting = 0;
        delivery_sent(&d);
        ck_assert_uint_eq(d.sent.text, (unsigned)i);
        ck_assert_uint_eq(d.sent.events, (unsigned)i);
    }
    ck_assert_ptr_null(d.marks.at); /* nothing had to be remembered */
    delivery_free(&d);
}
END_TEST

/* Taken piece by piece, each place has the tokens of the events before it. */
START_TEST(test_a_reader_that_is_behind)
{
    struct delivery d;
    size_t waiting = 0, taken = 0;
    delivery_init(&d);
    add(&d, 1000, &waiting, _i);
    while (waiting > 0) {
        size_t piece = waiting < 7 * EVENT ? waiting : 7 * EVENT;
        delivery_sent(&d);
        if (taken >= 40) /* the first events were not worth a mark: they count a little late */
            ck_assert_uint_eq(d.sent.events, taken);
        ck_assert_uint_le(d.sent.events, taken);
        ck_assert_uint_eq(d.sent.text, _i ? d.sent.events : 0);
        waiting -= piece;
        delivery_take(&d, piece, waiting);
        taken += piece / EVENT;
    }
    delivery_sent(&d);
    ck_assert_uint_eq(d.sent.events, 1000);
    ck_assert_uint_eq(d.marks.len, 0);
    delivery_free(&d);
}
END_TEST

START_TEST(test_more_comes_while_it_is_behind)
{
    struct delivery d;
    size_t waiting = 0;
    delivery_init(&d);
    add(&d, 100, &waiting, true);
    for (int i = 0; i < 50; i++) {
        waiting -= 30 * EVENT;
        delivery_take(&d, 30 * EVENT, waiting);
        delivery_sent(&d);
        ck_assert_uint_eq(d.sent.text, (unsigned)(i + 1) * 30);
        add(&d, 30, &waiting, true);
    }
    ck_assert_uint_eq(d.added.text, 100 + 50 * 30);
    delivery_free(&d);
}
END_TEST

START_TEST(test_a_role_is_no_token)
{
    struct delivery d;
    struct usage none_yet = out(0);
    delivery_init(&d);
    delivery_add(&d, role, &unknown, 100);
    ck_assert_uint_eq(d.added.events, 0);
    delivery_add(&d, token, &none_yet, 200); /* whatever it looks like: the backend counts none */
    ck_assert_uint_eq(d.added.events, 0);
    delivery_add(&d, token, &unknown, 300);
    ck_assert_uint_eq(d.added.events, 1);
    delivery_free(&d);
}
END_TEST

/* A backend that reports once, at the end, has then counted what was sent, too: all or nothing. */
START_TEST(test_the_count_at_the_end)
{
    struct delivery d;
    struct usage total = out(50), input = { .present = 0 };
    size_t waiting = 0;
    usage_set(&input, METER_INPUT_UNCACHED, 3);
    delivery_init(&d);
    delivery_count(&d, &input);
    ck_assert(!d.added.counted); /* input alone says nothing of output */
    add(&d, 10, &waiting, false);
    delivery_take(&d, waiting, 0);
    delivery_count(&d, &total);
    ck_assert_uint_eq(d.added.text, 50);
    ck_assert_uint_eq(d.taken.text, 50);
    ck_assert(!d.sent.counted); /* it is still at the beginning */
    delivery_sent(&d);
    ck_assert_uint_eq(d.sent.text, 50);
    delivery_free(&d);
}
END_TEST

Suite *delivery_suite(void);
Suite *delivery_suite(void)
{
    Suite *s = suite_create("delivery");
    TCase *c = tcase_create("delivery");
    tcase_add_test(c, test_a_reader_that_keeps_up);
    tcase_add_loop_test(c, test_a_reader_that_is_behind, 0, 2);
    tcase_add_test(c, test_more_comes_while_it_is_behind);
    tcase_add_test(c, test_a_role_is_no_token);
    tcase_add_test(c, test_the_count_at_the_end);
    suite_add_tcase(s, c);
    return s;
}
