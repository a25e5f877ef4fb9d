/* tests/unit/test_net.c -- what stands on a document: R6 to R8, R10 and R12, by their vectors. */
#include "billing/exchange.h"
#include "billing/net.h"
#include "billing/prorate.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <inttypes.h>

#define UNIT MONEY_ATOMS_PER_UNIT

/* ---- lines --------------------------------------------------------------------------------- */

static const struct {
    const char *label;
    int64_t atoms;
    int digits;
    enum net_rounding rule;
    int64_t minor, rounding;
} line_cases[] = {
    { "V8 a tie goes up", 3350000000, 2, NET_HALF_UP, 34, 50000000 },
    { "V8b a million small requests", 410000 * INT64_C(1000000), 2, NET_HALF_UP, 4100, 0 },
    { "V8b one small request", 410000, 2, NET_HALF_UP, 0, -410000 },
    { "V13 overage", INT64_C(1406234567891), 2, NET_HALF_UP, 14062, -34567891 },
    { "V18", INT64_C(3086419725000), 2, NET_HALF_UP, 30864, -19725000 },
    { "V19 up", 1250000000, 2, NET_HALF_UP, 13, 50000000 },
    { "V19 away from zero", -1250000000, 2, NET_HALF_UP, -13, -50000000 },
    { "V19 even", 1250000000, 2, NET_HALF_EVEN, 12, -50000000 },
    { "V19 even below zero", -1250000000, 2, NET_HALF_EVEN, -12, 50000000 },
    { "no minor unit", 15 * UNIT / 10, 0, NET_HALF_UP, 2, UNIT / 2 },
    { "three digits", 12345000, 3, NET_HALF_UP, 1, -2345000 },
    { "every atom", 7, 10, NET_HALF_UP, 7, 0 },
    { "nothing", 0, 2, NET_HALF_UP, 0, 0 },
};

START_TEST(test_line)
{
    struct net_line got;
    enum status s = net_line((money_t){ line_cases[_i].atoms }, line_cases[_i].digits,
                             line_cases[_i].rule, &got);
    ck_assert_msg(s == STATUS_OK && got.minor == line_cases[_i].minor &&
                      got.rounding_atoms == line_cases[_i].rounding,
                  "%s: %" PRId64 " %" PRId64, line_cases[_i].label, got.minor, got.rounding_atoms);
}
END_TEST

/* V8: three lines of exactly 0.335 are 1.02, and the books say where the 0.015 came from. */
START_TEST(test_v8_sum_of_rounded_lines)
{
    int64_t net = 0, exact = 0, rounding = 0;
    for (int i = 0; i < 3; i++) {
        struct net_line l;
        ck_assert_int_eq(net_line((money_t){ 3350000000 }, 2, NET_HALF_UP, &l), STATUS_OK);
        net += l.minor;
        exact += 3350000000;
        rounding += l.rounding_atoms;
    }
    ck_assert_int_eq(net, 102);
    ck_assert_int_eq(exact, 10050000000);
    ck_assert_int_eq(rounding, 150000000);
    ck_assert_int_eq(net * (UNIT / 100) - exact, rounding);
}
END_TEST

START_TEST(test_line_refuses)
{
    struct net_line l = { 42, 42 };
    ck_assert_int_eq(net_line((money_t){ 1 }, -1, NET_HALF_UP, &l), STATUS_BAD_FIELD);
    ck_assert_int_eq(net_line((money_t){ 1 }, 11, NET_HALF_UP, &l), STATUS_BAD_FIELD);
    ck_assert(l.minor == 42 && l.rounding_atoms == 42);
}
END_TEST

/* ---- taxes --------------------------------------------------------------------------------- */

START_TEST(test_v9_tax_on_sums)
{
    const struct tax_line lines[] = {
        { "S", 1300, 5000 }, { "S", 600, 10001 }, { "S", 600, 20002 }, { "E", 600, 1 }
    };
    struct tax_group g[TAX_GROUPS_MAX];
    unsigned count;
    ck_assert_int_eq(tax_groups(lines, 3, g, &count), STATUS_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(g[0].basis_points, 600);
    ck_assert_int_eq(g[0].net_minor, 30003);
    ck_assert_int_eq(g[0].tax_minor, 1800);
    ck_assert_int_eq(g[1].tax_minor, 650);
    ck_assert_int_eq(g[0].tax_minor + g[1].tax_minor, 2450);
    ck_assert_int_eq(tax_groups(lines, 4, g, &count), STATUS_OK);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(g[0].category, "E");
}
END_TEST

START_TEST(test_v9b_not_per_line)
{
    const struct tax_line line = { "S", 600, 1025 }, lines[] = { line, line, line };
    struct tax_group g[TAX_GROUPS_MAX];
    unsigned count;
    ck_assert_int_eq(tax_groups(lines, 3, g, &count), STATUS_OK);
    ck_assert_int_eq(g[0].net_minor, 3075);
    ck_assert_int_eq(g[0].tax_minor, 185);
    ck_assert_int_eq(tax_groups(lines, 1, g, &count), STATUS_OK);
    ck_assert_int_eq(3 * g[0].tax_minor, 186); /* what a tax per line would have come to */
}
END_TEST

START_TEST(test_tax_refuses)
{
    static struct tax_line many[TAX_GROUPS_MAX + 1];
    struct tax_group g[TAX_GROUPS_MAX];
    unsigned count = 42;
    for (int i = 0; i <= TAX_GROUPS_MAX; i++)
        many[i] = (struct tax_line){ "S", i, 1 };
    ck_assert_int_eq(tax_groups(many, TAX_GROUPS_MAX + 1, g, &count), STATUS_BAD_FIELD);
    ck_assert_int_eq(tax_groups(&(struct tax_line){ "S", -1, 1 }, 1, g, &count), STATUS_BAD_FIELD);
    ck_assert_int_eq(tax_groups(&(struct tax_line){ "S", 10001, 1 }, 1, g, &count),
                     STATUS_BAD_FIELD);
    const struct tax_line large[] = { { "S", 1, INT64_MAX }, { "S", 1, 1 } };
    ck_assert_int_eq(tax_groups(large, 2, g, &count), STATUS_BILLING_OVERFLOW);
    ck_assert_uint_eq(count, 42);
    ck_assert_int_eq(tax_groups(many, TAX_GROUPS_MAX, g, &count), STATUS_OK);
    ck_assert_int_eq(tax_groups(NULL, 0, g, &count), STATUS_OK);
    ck_assert_uint_eq(count, 0);
}
END_TEST

/* ---- proration ----------------------------------------------------------------------------- */

enum { PARTS = 4 };
static const struct {
    const char *label;
    int64_t price;
    size_t count;
    int64_t length[PARTS], part[PARTS];
} parts_cases[] = {
    { "V12 two parts of a month", 9900, 2, { 17, 14 }, { 5429, 4471 } },
    { "one part", 9900, 1, { 31 }, { 9900 } },
    { "the last is what the others left", 100, 3, { 1, 1, 1 }, { 33, 34, 33 } },
    { "no part is negative", 2, 4, { 1, 1, 1, 1 }, { 1, 0, 1, 0 } },
    { "a part of nothing", 100, 3, { 10, 0, 20 }, { 33, 0, 67 } },
    { "seconds", 300, 2, { 1, 2678399 }, { 0, 300 } },
    { "largest", 9000000000000000000, 2, { 1, 1 }, { 4500000000000000000, 4500000000000000000 } },
};

START_TEST(test_parts)
{
    int64_t part[PARTS] = { 0 };
    ck_assert_int_eq(
        prorate_parts(parts_cases[_i].price, parts_cases[_i].length, parts_cases[_i].count, part),
        STATUS_OK);
    for (size_t i = 0; i < parts_cases[_i].count; i++)
        ck_assert_msg(part[i] == parts_cases[_i].part[i], "%s: part %zu is %" PRId64,
                      parts_cases[_i].label, i, part[i]);
}
END_TEST

START_TEST(test_v12_days_used)
{
    int64_t got = 42;
    ck_assert_int_eq(prorate(30000, 20, 30, &got), STATUS_OK);
    ck_assert_int_eq(got, 20000);
    ck_assert_int_eq(prorate(9900, 17, 31, &got), STATUS_OK);
    ck_assert_int_eq(got, 5429);
    ck_assert_int_eq(prorate(9900, 0, 31, &got), STATUS_OK);
    ck_assert_int_eq(got, 0);
    ck_assert_int_eq(prorate(9900, 32, 31, &got), STATUS_BAD_FIELD);
    ck_assert_int_eq(prorate(-1, 1, 31, &got), STATUS_BAD_FIELD);
    ck_assert_int_eq(prorate(1, -1, 31, &got), STATUS_BAD_FIELD);
    ck_assert_int_eq(prorate(1, 0, 0, &got), STATUS_BAD_FIELD);
    ck_assert_int_eq(got, 0);
    int64_t part[2] = { 42, 42 };
    ck_assert_int_eq(prorate_parts(1, (int64_t[]){ 0, 0 }, 2, part), STATUS_BAD_FIELD);
    ck_assert_int_eq(prorate_parts(1, (int64_t[]){ 2, -1 }, 2, part), STATUS_BAD_FIELD);
    ck_assert_int_eq(prorate_parts(1, (int64_t[]){ INT64_MAX, 1 }, 2, part), STATUS_BAD_FIELD);
    ck_assert_int_eq(prorate_parts(INT64_MAX, (int64_t[]){ 1, 1 }, 2, part),
                     STATUS_BILLING_OVERFLOW);
    ck_assert(part[0] == 42 && part[1] == 42);
}
END_TEST

/* ---- another currency ---------------------------------------------------------------------- */

static const struct {
    const char *label;
    int64_t minor;
    struct exchange_rate rate;
    enum status status;
    int64_t expected;
} exchange_cases[] = {
    { "V20 12.34 USD at 7.1234", 1234, { 71234, 10000, 2, 2 }, STATUS_OK, 8790 },
    { "to yen", 1234, { 1505, 10, 2, 0 }, STATUS_OK, 1857 },
    { "from yen", 1857, { 10, 1505, 0, 2 }, STATUS_OK, 1234 },
    { "to three digits", 1234, { 3, 10, 2, 3 }, STATUS_OK, 3702 },
    { "a tie", 1, { 1, 2, 2, 2 }, STATUS_OK, 1 },
    { "a credit", -1234, { 71234, 10000, 2, 2 }, STATUS_OK, -8790 },
    { "no rate", 1, { 0, 1, 2, 2 }, STATUS_BAD_FIELD, 0 },
    { "over nothing", 1, { 1, 0, 2, 2 }, STATUS_BAD_FIELD, 0 },
    { "digits", 1, { 1, 1, 2, 11 }, STATUS_BAD_FIELD, 0 },
    { "negative digits", 1, { 1, 1, -1, 2 }, STATUS_BAD_FIELD, 0 },
    { "too much", INT64_MAX, { 2, 1, 2, 2 }, STATUS_BILLING_OVERFLOW, 0 },
    { "a rate too long", 1, { INT64_MAX, 1, 0, 2 }, STATUS_BILLING_OVERFLOW, 0 },
};

START_TEST(test_exchange)
{
    int64_t got = 0;
    enum status s = exchange(exchange_cases[_i].minor, &exchange_cases[_i].rate, &got);
    ck_assert_msg(s == exchange_cases[_i].status && got == exchange_cases[_i].expected,
                  "%s: %" PRId64, exchange_cases[_i].label, got);
}
END_TEST

Suite *net_suite(void)
{
    Suite *s = suite_create("net");
    TCase *t = tcase_create("net");
    tcase_add_loop_test(t, test_line, 0, sizeof line_cases / sizeof *line_cases);
    tcase_add_test(t, test_v8_sum_of_rounded_lines);
    tcase_add_test(t, test_line_refuses);
    tcase_add_test(t, test_v9_tax_on_sums);
    tcase_add_test(t, test_v9b_not_per_line);
    tcase_add_test(t, test_tax_refuses);
    tcase_add_loop_test(t, test_parts, 0, sizeof parts_cases / sizeof *parts_cases);
    tcase_add_test(t, test_v12_days_used);
    tcase_add_loop_test(t, test_exchange, 0, sizeof exchange_cases / sizeof *exchange_cases);
    suite_add_tcase(s, t);
    return s;
}
