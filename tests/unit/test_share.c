/* tests/unit/test_share.c -- who gets which part of a line, and gives it back: vector V11. */
#include "billing/share.h"
#include <check.h>
#include "gen/unit_suites.h"

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

/* Of [86.42, 37.03] a credit of 41.15 takes back [28.81, 12.34]; the rest takes the rest. */
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

Suite *share_suite(void)
{
    Suite *s = suite_create("share");
    TCase *t = tcase_create("share");
    tcase_add_test(t, test_v11_shares);
    tcase_add_test(t, test_v11_credit_takes_shares_back);
    tcase_add_test(t, test_a_line_is_returned_to_the_last_cent);
    suite_add_tcase(s, t);
    return s;
}
