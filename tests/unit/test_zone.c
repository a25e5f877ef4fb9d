/* tests/unit/test_zone.c -- months of time zones, against what the C library says. */
#include "billing/zone.h"
#include <check.h>
#include <stdlib.h>
#include <time.h>
#include "gen/unit_suites.h"

static const char *const names[] = { "UTC",
                                     "Europe/Berlin",
                                     "Asia/Shanghai",
                                     "Asia/Kolkata",
                                     "America/New_York",
                                     "Australia/Lord_Howe",
                                     "Pacific/Apia",
                                     "Asia/Kathmandu",
                                     "America/Sao_Paulo",
                                     "Pacific/Kiritimati" };

static int64_t by_library(int year, int month)
{
    struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = 1, .tm_isdst = -1 };
    return (int64_t)mktime(&tm) * 1000000;
}

START_TEST(test_months_are_those_of_the_library)
{
    struct zone *z;
    ck_assert_int_eq(zone_open(names[_i], &z), STATUS_OK);
    ck_assert_str_eq(zone_name(z), names[_i]);
    setenv("TZ", names[_i], 1);
    tzset();
    for (int year = 1995; year < 2037; year++)
        for (int month = 1; month <= 12; month++) {
            int64_t from = by_library(year, month), to = by_library(year, month + 1), a, b;
            zone_month(z, from, &a, &b);
            ck_assert_msg(a == from && b == to, "%s %d-%d: %lld..%lld, not %lld..%lld", names[_i],
                          year, month, (long long)a, (long long)b, (long long)from, (long long)to);
            zone_month(z, to - 1, &a, &b);
            ck_assert(a == from && b == to);
        }
    unsetenv("TZ");
    tzset();
    zone_free(z);
}
END_TEST

START_TEST(test_days)
{
    struct zone *z;
    int y, m, d;
    ck_assert_int_eq(zone_open("Europe/Berlin", &z), STATUS_OK);
    ck_assert_int_eq(zone_day(z, 2026, 7, 1), INT64_C(1782856800000000)); /* 22:00 UTC of June */
    zone_date(z, INT64_C(1782856800000000) - 1, &y, &m, &d);
    ck_assert(y == 2026 && m == 6 && d == 30);
    ck_assert_int_eq(zone_offset(z, INT64_C(1782856800000000)), 7200);
    zone_free(z);
}
END_TEST

static const struct {
    const char *name;
    enum status status;
} refused[] = {
    { "Mars/Olympus", STATUS_NOT_FOUND },
    { "Europe", STATUS_NOT_FOUND },
    { "../../etc/passwd", STATUS_BAD_FIELD },
    { "/etc/passwd", STATUS_BAD_FIELD },
    { "", STATUS_BAD_FIELD },
    { "Europe/Ber lin", STATUS_BAD_FIELD },
};

START_TEST(test_refused)
{
    struct zone *z = NULL;
    ck_assert_int_eq(zone_open(refused[_i].name, &z), refused[_i].status);
    ck_assert_ptr_null(z);
}
END_TEST

Suite *zone_suite(void)
{
    Suite *s = suite_create("zone");
    TCase *t = tcase_create("zone");
    tcase_add_loop_test(t, test_months_are_those_of_the_library, 0, sizeof names / sizeof *names);
    tcase_add_test(t, test_days);
    tcase_add_loop_test(t, test_refused, 0, sizeof refused / sizeof *refused);
    suite_add_tcase(s, t);
    return s;
}
