/* tests/unit/test_hops.c -- CDN-Loop: which members are ours. */
#include "gateway/hops.h"
#include <check.h>
#include "gen/unit_suites.h"

static const struct {
    const char *value;
    unsigned count;
} rows[] = {
    { "", 0 },
    { "maasgate", 1 },
    { " maasgate ", 1 },
    { "MaasGate", 1 },
    { "maasgate, maasgate", 2 },
    { "maasgate,maasgate,maasgate", 3 },
    { "maasgate;v=1, other; a=\"b\", maasgate ; x", 2 },
    { "\tmaasgate\t,,\t, maasgate", 2 },
    { "maasgates", 0 },
    { "xmaasgate", 0 },
    { "maas gate", 0 },
    { "other;maasgate", 0 },
    { "maasgate.example", 0 },
    { ",", 0 },
    { "maasgate,", 1 },
};

START_TEST(test_members)
{
    const char *value = rows[_i].value;
    ck_assert_uint_eq(hops_count((struct span){ value, strlen(value) }), rows[_i].count);
}
END_TEST

Suite *hops_suite(void)
{
    Suite *s = suite_create("hops");
    TCase *t = tcase_create("hops");
    tcase_add_loop_test(t, test_members, 0, sizeof rows / sizeof *rows);
    suite_add_tcase(s, t);
    return s;
}
