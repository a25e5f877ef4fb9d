/* tests/unit/test_draw.c -- who pays first, and who gets which part. */
#include "base/money.h"
#include "billing/draw.h"
#include "billing/net.h"
#include "billing/share.h"
#include <check.h>
#include "gen/unit_suites.h"

/* ---- the order ----------------------------------------------------------------------------- */

START_TEST(test_order)
{
    /* The id is the place it must come to. */
    struct fund funds[] = {
        { .id = 8, .class = FUND_POSTPAID, .priority = -5 },
        { .id = 5, .class = FUND_COMMITMENT, .expires_us = 1 },
        { .id = 4, .class = FUND_GRANT, .priority = 1, .expires_us = 10 },
        { .id = 1, .class = FUND_GRANT, .expires_us = 10, .created_us = 7 },
        { .id = 2, .class = FUND_GRANT, .expires_us = 20, .created_us = 1 },
        { .id = 3, .class = FUND_GRANT },
        { .id = 0, .class = FUND_RESTRICTED_GRANT, .priority = 9 },
        { .id = 6, .class = FUND_PREPAID, .created_us = 1 },
        { .id = 7, .class = FUND_PREPAID, .created_us = 1 },
    };
    enum { COUNT = sizeof funds / sizeof *funds };
    draw_sort(funds, COUNT);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(funds[i].id, i);
    draw_sort(NULL, 0);
}
END_TEST

START_TEST(test_take)
{
    const struct fund funds[] = {
        { .id = 1, .class = FUND_RESTRICTED_GRANT, .left = 100, .applies = false },
        { .id = 2, .class = FUND_GRANT, .left = 30, .expires_us = 50, .applies = true },
        { .id = 3, .class = FUND_GRANT, .left = 20, .applies = true },
        { .id = 4, .class = FUND_PREPAID, .left = 25, .applies = true },
    };
    int64_t taken[4], missing;
    ck_assert_int_eq(draw_take(funds, 4, 60, 49, taken, &missing), STATUS_OK);
    ck_assert(taken[0] == 0 && taken[1] == 30 && taken[2] == 20 && taken[3] == 10);
    ck_assert_int_eq(missing, 0);
    ck_assert_int_eq(draw_take(funds, 4, 60, 50, taken, &missing), STATUS_OK); /* one has expired */
    ck_assert(taken[1] == 0 && taken[2] == 20 && taken[3] == 25);
    ck_assert_int_eq(missing, 15);
    ck_assert_int_eq(draw_take(funds, 4, 0, 0, taken, &missing), STATUS_OK);
    ck_assert(taken[1] == 0 && missing == 0);
}
END_TEST

START_TEST(test_take_refuses)
{
    struct fund funds[] = { { .class = FUND_PREPAID, .left = 1, .applies = true },
                            { .class = FUND_GRANT, .left = 1, .applies = true } };
    int64_t taken[2] = { 42, 42 }, missing = 42;
    ck_assert_int_eq(draw_take(funds, 2, 1, 0, taken, &missing), STATUS_BAD_FIELD);
    ck_assert_int_eq(draw_take(funds, 1, -1, 0, taken, &missing), STATUS_BAD_FIELD);
    funds[0].left = -1;
    ck_assert_int_eq(draw_take(funds, 1, 1, 0, taken, &missing), STATUS_BAD_FIELD);
    ck_assert(taken[0] == 42 && missing == 42);
}
END_TEST

/* V13: a commitment of 1000.00, then usage of 640.1234567891 and of 500.5. */
START_TEST(test_v13_commitment_then_overage)
{
    const int64_t first = 6401234567891, second = 5005000000000;
    struct fund funds[] = {
        { .id = 1, .class = FUND_COMMITMENT, .left = 1000 * MONEY_ATOMS_PER_UNIT, .applies = true },
        { .id = 2, .class = FUND_POSTPAID, .left = INT64_MAX, .applies = true },
    };
    int64_t taken[2], missing, shortfall;
    struct net_line net;
    ck_assert_int_eq(draw_take(funds, 2, first, 0, taken, &missing), STATUS_OK);
    ck_assert(taken[0] == first && taken[1] == 0);
    ck_assert_int_eq(draw_shortfall(1000 * MONEY_ATOMS_PER_UNIT, first, &shortfall), STATUS_OK);
    ck_assert_int_eq(net_line((money_t){ shortfall }, 2, NET_HALF_UP, &net), STATUS_OK);
    ck_assert_int_eq(net.minor, 35988);
    funds[0].left -= taken[0];
    ck_assert_int_eq(draw_take(funds, 2, second, 0, taken, &missing), STATUS_OK);
    ck_assert_int_eq(taken[0], 3598765432109);
    ck_assert_int_eq(taken[1], 1406234567891);
    ck_assert_int_eq(net_line((money_t){ taken[1] }, 2, NET_HALF_UP, &net), STATUS_OK);
    ck_assert_int_eq(net.minor, 14062);
    ck_assert_int_eq(draw_shortfall(5, 5, &shortfall), STATUS_OK);
    ck_assert_int_eq(shortfall, 0);
    ck_assert_int_eq(draw_shortfall(5, 9, &shortfall), STATUS_OK);
    ck_assert_int_eq(shortfall, 0);
    ck_assert_int_eq(draw_shortfall(-5, 9, &shortfall), STATUS_BAD_FIELD);
}
END_TEST

/* ---- shares -------------------------------------------------------------------------------- */

START_TEST(test_v11_shares)
{
    int64_t part[3];
    ck_assert_int_eq(share_split(12345, (int64_t[]){ 7000, 3000 }, 2, part), STATUS_OK);
    ck_assert(part[0] == 8642 && part[1] == 3703);
    ck_assert_int_eq(share_split(1, (int64_t[]){ 7000, 3000 }, 2, part), STATUS_OK);
    ck_assert(part[0] == 1 && part[1] == 0);
    ck_assert_int_eq(share_split(12345, (int64_t[]){ 6000, 2500, 1500 }, 3, part), STATUS_OK);
    ck_assert(part[0] == 7407 && part[1] == 3086 && part[2] == 1852);
    ck_assert_int_eq(share_split(1, (int64_t[]){ 7000, 2999 }, 2, part), STATUS_BAD_FIELD);
    ck_assert_int_eq(share_split(1, (int64_t[]){ 10001, -1 }, 2, part), STATUS_BAD_FIELD);
}
END_TEST

/* V11: of [86.42, 37.03] a credit of 41.15 takes back [28.81, 12.34]; the rest takes the rest. */
START_TEST(test_v11_credit_takes_shares_back)
{
    int64_t held[] = { 8642, 3703 }, part[2];
    ck_assert_int_eq(share_return(4115, held, 2, part), STATUS_OK);
    ck_assert(part[0] == 2881 && part[1] == 1234);
    held[0] -= part[0];
    held[1] -= part[1];
    ck_assert_int_eq(share_return(12345 - 4115, held, 2, part), STATUS_OK);
    ck_assert(part[0] == held[0] && part[1] == held[1]);
    ck_assert_int_eq(share_return(12345 - 4115 + 1, held, 2, part), STATUS_BAD_FIELD);
    ck_assert_int_eq(share_return(-1, held, 2, part), STATUS_BAD_FIELD);
    ck_assert_int_eq(share_return(0, (int64_t[]){ 0, 0 }, 2, part), STATUS_OK);
    ck_assert(part[0] == 0 && part[1] == 0);
}
END_TEST

/* Cent by cent until nothing is held: nobody ever returns more than it has. */
START_TEST(test_a_line_is_returned_to_the_last_cent)
{
    int64_t held[] = { 37, 3, 0, 60 }, part[4];
    for (int left = 100; left > 0; left--) {
        ck_assert_int_eq(share_return(1, held, 4, part), STATUS_OK);
        int64_t sum = 0;
        for (int i = 0; i < 4; i++) {
            ck_assert_int_le(part[i], held[i]);
            held[i] -= part[i];
            sum += part[i];
        }
        ck_assert_int_eq(sum, 1);
    }
}
END_TEST

Suite *draw_suite(void)
{
    Suite *s = suite_create("draw");
    TCase *t = tcase_create("draw");
    tcase_add_test(t, test_order);
    tcase_add_test(t, test_take);
    tcase_add_test(t, test_take_refuses);
    tcase_add_test(t, test_v13_commitment_then_overage);
    tcase_add_test(t, test_v11_shares);
    tcase_add_test(t, test_v11_credit_takes_shares_back);
    tcase_add_test(t, test_a_line_is_returned_to_the_last_cent);
    suite_add_tcase(s, t);
    return s;
}
