/* tests/unit/test_volume.c -- what a period of a volume price comes to (vectors V7v and V17). */
#include "billing/volume.h"
#include <check.h>
#include <string.h>
#include "gen/unit_suites.h"

static struct volume v;

static void setup(void)
{
    v = (struct volume){ NULL, 0, 0 };
}

static void teardown(void)
{
    volume_free(&v);
}

/* A line of the book `text`, charged as its requests were. */
static void note(const char *text, int64_t version, int64_t qty, int64_t charged, int64_t covered)
{
    struct pricebook_line line = { .number = 0 };
    bool bad;
    ck_assert(pricebook_next(&text, &line, &bad));
    ck_assert_int_eq(volume_note(&v, &line, version, qty, charged, covered, 0), STATUS_OK);
}

static const char v7[] = "m images volume 10000000:20000/1,50000000:15000/1,*:10000/1\n";

static const struct {
    int64_t qty, due;
} edges[] = {
    { 10000000, INT64_C(200000000000) }, { 10000001, INT64_C(150000015000) },
    { 50000000, INT64_C(750000000000) }, { 50000001, INT64_C(500000010000) },
    { 62345678, INT64_C(623456780000) },
};

START_TEST(test_v7v)
{
    note(v7, 1, edges[_i].qty, edges[_i].qty * 20000, 0);
    ck_assert_int_eq(volume_close(&v), STATUS_OK);
    ck_assert_int_eq(v.part[0].due, edges[_i].due);
    ck_assert_int_eq(volume_owed(&v.part[0]), edges[_i].due);
}
END_TEST

START_TEST(test_v17)
{
    note("m images volume 15:10/1,*:5/1\n", 1, 16, 160, 0);
    ck_assert_int_eq(volume_close(&v), STATUS_OK);
    ck_assert(v.part[0].due == 80 && v.part[0].then.atoms == 10 && v.part[0].after.atoms == 5);
}
END_TEST

/* R5: all versions choose the tier, each has its own price; another size is another series. */
START_TEST(test_versions_and_series)
{
    note("m images volume 15:10/1,*:5/1\n", 1, 10, 100, 0);
    note("m images volume 15:12/1,*:4/1\n", 2, 10, 120, 0);
    note("m images volume 15:10/1,*:5/1 size=big\n", 2, 10, 100, 0);
    note("n images volume 15:10/1,*:5/1\n", 2, 10, 100, 0);
    ck_assert_int_eq(volume_close(&v), STATUS_OK);
    ck_assert(v.part[0].due == 50 && v.part[1].due == 40);
    ck_assert(v.part[2].due == 100 && v.part[3].due == 100);
}
END_TEST

START_TEST(test_funds_that_paid_more_than_is_due)
{
    note("m images volume 15:10/1,*:5/1\n", 1, 20, 200, 150);
    note("m images volume 15:10/1,*:5/1\n", 2, 20, 200, 30);
    ck_assert_int_eq(volume_close(&v), STATUS_OK);
    ck_assert_int_eq(volume_owed(&v.part[0]), 0);
    ck_assert_int_eq(volume_owed(&v.part[1]), 70);
}
END_TEST

/* Three requests of one unit at 0.4 atoms were charged nothing; the close would be 1. */
START_TEST(test_nothing_is_asked_for_on_top)
{
    note("m images volume 15:2/5,*:1/5\n", 1, 3, 0, 0);
    ck_assert_int_eq(volume_close(&v), STATUS_OK);
    ck_assert_int_eq(v.part[0].due, 0);
    note("m images graduated 15:2/5,*:1/5\n", 1, 3, 0, 0);
    ck_assert_uint_eq(v.count, 1); /* no price by volume */
}
END_TEST

START_TEST(test_overflow)
{
    note(v7, 1, INT64_MAX, 0, 0);
    note(v7, 2, INT64_MAX, 0, 0);
    ck_assert_int_eq(volume_close(&v), STATUS_BILLING_OVERFLOW);
}
END_TEST

Suite *volume_suite(void)
{
    Suite *s = suite_create("volume");
    TCase *t = tcase_create("volume");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_v7v, 0, (int)(sizeof edges / sizeof *edges));
    tcase_add_test(t, test_v17);
    tcase_add_test(t, test_versions_and_series);
    tcase_add_test(t, test_funds_that_paid_more_than_is_due);
    tcase_add_test(t, test_nothing_is_asked_for_on_top);
    tcase_add_test(t, test_overflow);
    suite_add_tcase(s, t);
    return s;
}
