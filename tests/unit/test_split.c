/* tests/unit/test_split.c -- parts add up to the whole, and who gets the last unit is fixed. */
#include "base/split.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <inttypes.h>

enum { FEW = 4 };

static const struct {
    const char *label;
    int64_t whole;
    size_t count;
    int64_t weight[FEW], part[FEW];
} rows[] = {
    { "V10 thirds", 1000, 3, { 1, 1, 1 }, { 334, 333, 333 } },
    { "V10 uneven", 9999, 4, { 23071, 1, 1, 500 }, { 9786, 1, 0, 212 } },
    { "V10 percent", 100, 3, { 50, 30, 20 }, { 50, 30, 20 } },
    { "V11 share", 12345, 2, { 70, 30 }, { 8642, 3703 } },
    { "V11 of one cent", 1, 2, { 70, 30 }, { 1, 0 } },
    { "V11 three", 12345, 3, { 60, 25, 15 }, { 7407, 3086, 1852 } },
    { "V11 credit", 4115, 2, { 70, 30 }, { 2881, 1234 } },
    { "one part", 7, 1, { 3 }, { 7 } },
    { "nothing", 0, 2, { 1, 2 }, { 0, 0 } },
    { "a weight of 0", 5, 3, { 0, 1, 1 }, { 0, 3, 2 } },
    { "ties by lowest index", 2, 4, { 1, 1, 1, 1 }, { 1, 1, 0, 0 } },
    { "largest rest first", 10, 3, { 1, 1, 5 }, { 2, 1, 7 } },
    { "negative", -1000, 3, { 1, 1, 1 }, { -334, -333, -333 } },
    { "largest", INT64_MAX, 2, { INT64_MAX, INT64_MAX }, { INT64_MAX / 2 + 1, INT64_MAX / 2 } },
    { "heavy and light", INT64_MAX, 2, { INT64_MAX, 1 }, { INT64_MAX - 1, 1 } },
    { "most negative", -INT64_MAX, 1, { 1 }, { -INT64_MAX } },
};
enum { ROWS = sizeof rows / sizeof *rows };

START_TEST(parts_are_fixed)
{
    int64_t part[FEW] = { 0 };
    ck_assert_int_eq(split_whole(rows[_i].whole, rows[_i].weight, rows[_i].count, part), STATUS_OK);
    for (size_t i = 0; i < rows[_i].count; i++)
        ck_assert_msg(part[i] == rows[_i].part[i], "%s: part %zu is %" PRId64, rows[_i].label, i,
                      part[i]);
}
END_TEST

START_TEST(what_cannot_be_split_is_refused)
{
    int64_t part[2] = { 42, 42 };
    ck_assert_int_eq(split_whole(10, (int64_t[]){ 1, -1 }, 2, part), STATUS_BAD_FIELD);
    ck_assert_int_eq(split_whole(10, (int64_t[]){ 0, 0 }, 2, part), STATUS_BAD_FIELD);
    ck_assert_int_eq(split_whole(10, part, 0, part), STATUS_BAD_FIELD);
    ck_assert_int_eq(split_whole(INT64_MIN, (int64_t[]){ 1, 1 }, 2, part), STATUS_BAD_FIELD);
    ck_assert_int_eq(split_whole(10, part, (size_t)SPLIT_PARTS_MAX + 1, part), STATUS_BAD_FIELD);
    ck_assert(part[0] == 42 && part[1] == 42);
}
END_TEST

/* Many parts, also more than the stack holds: exact sum, no part off by a unit or more. */
START_TEST(sums_are_exact)
{
    enum { MOST = 200 };
    static int64_t weight[MOST], part[MOST];
    uint64_t seed = 12345;
    for (size_t count = 1; count <= MOST; count++) {
        int64_t total = 0, sum = 0;
        for (size_t i = 0; i < count; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            weight[i] = (int64_t)(seed >> 40);
            total += weight[i];
        }
        int64_t whole = (int64_t)(seed >> 16);
        ck_assert_int_eq(split_whole(whole, weight, count, part), STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            __int128 off = (__int128)part[i] * total - (__int128)whole * weight[i];
            ck_assert(off > -(__int128)total && off < total);
            sum += part[i];
        }
        ck_assert_int_eq(sum, whole);
    }
}
END_TEST

Suite *split_suite(void)
{
    Suite *s = suite_create("split");
    TCase *t = tcase_create("split");
    tcase_add_loop_test(t, parts_are_fixed, 0, ROWS);
    tcase_add_test(t, what_cannot_be_split_is_refused);
    tcase_add_test(t, sums_are_exact);
    suite_add_tcase(s, t);
    return s;
}
