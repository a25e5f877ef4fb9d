/* tests/unit/test_money.c -- the published vectors of the billing rules, and the edges. */
#include "base/money.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <inttypes.h>
#include <string.h>

static money_t atoms(int64_t n)
{
    return (money_t){ n };
}

static const struct {
    const char *label, *price;
    uint64_t qty;
    int64_t atoms;
} rates[] = {
    { "V1 input", "2.50/1M", 1234, 30850000 },
    { "V1 output", "10.00/1M", 567, 56700000 },
    { "V2 uncached", "3.00/1M", 21, 630000 },
    { "V2 cached", "0.30/1M", 10318, 30954000 },
    { "V2 output", "15.00/1M", 60, 9000000 },
    { "V3 one", "0.0025/1M", 1, 25 },
    { "V3 seven", "0.0025/1M", 7, 175 },
    { "V3b one, down to even", "0.03125/1M", 1, 312 },
    { "V3b two, exact", "0.03125/1M", 2, 625 },
    { "V3b three, up to even", "0.03125/1M", 3, 938 },
    { "V3b five, down to even", "0.03125/1M", 5, 1562 },
    { "V4", "0.12", 2, 1200000000 * 2LL },
    { "V5", "0.006/60000", 61400, 61400000 },
    { "V5b", "15/1M", 4097, 614550000 },
    { "V14", "1.25/1M", 1000001, INT64_C(12500012500) },
    { "V16 input", "0.14/1M", 5369, 7516600 },
    { "V16 output", "0.28/1M", 13615, 38122000 },
    { "V18", "2.50/1M", 123456789, INT64_C(3086419725000) },
    { "nothing", "2.50/1M", 0, 0 },
    { "free", "0", UINT64_MAX, 0 },
    { "a thousand", "3/1k", 1, 30000000 },
    { "below half", "0.0000000001/3", 1, 0 },
    { "above half", "0.0000000001/3", 2, 1 },
    { "the largest", "900000000", 1, MONEY_ATOMS_MAX },
};
enum { RATES = sizeof rates / sizeof *rates };

START_TEST(rates_are_exact)
{
    struct price p;
    money_t m;
    ck_assert_msg(money_parse_price(rates[_i].price, &p), "%s", rates[_i].label);
    ck_assert(money_rate(rates[_i].qty, p, &m));
    ck_assert_msg(m.atoms == rates[_i].atoms, "%s: %" PRId64, rates[_i].label, m.atoms);
}
END_TEST

/* V19: a tie goes to the even atom, on both sides of zero. */
static const struct {
    int64_t atoms, expected;
} ties[] = {
    { 125, 12 }, { -125, -12 }, { 135, 14 }, { -135, -14 }, { 126, 13 }, { -126, -13 },
    { 124, 12 }, { -124, -12 }, { 5, 0 },    { -5, 0 },     { 15, 2 },   { -15, -2 },
};
enum { TIES = sizeof ties / sizeof *ties };

START_TEST(ties_go_to_even)
{
    money_t m;
    ck_assert(money_rate(1, (struct price){ ties[_i].atoms, 10 }, &m));
    ck_assert_int_eq(m.atoms, ties[_i].expected);
}
END_TEST

START_TEST(too_much_is_refused_and_leaves_the_output)
{
    money_t m = atoms(42);
    ck_assert(!money_rate(UINT64_MAX, (struct price){ INT64_MAX, 1 }, &m));
    ck_assert(!money_rate(2, (struct price){ MONEY_ATOMS_MAX, 1 }, &m));
    ck_assert(!money_rate(UINT64_MAX, (struct price){ INT64_MIN, 1 }, &m));
    ck_assert(!money_add(atoms(MONEY_ATOMS_MAX), atoms(1), &m));
    ck_assert(!money_add(atoms(INT64_MAX), atoms(INT64_MAX), &m));
    ck_assert(!money_sub(atoms(-MONEY_ATOMS_MAX), atoms(1), &m));
    ck_assert(!money_sub(atoms(INT64_MIN), atoms(INT64_MIN + 1 + MONEY_ATOMS_MAX), &m));
    ck_assert_int_eq(m.atoms, 42);
    ck_assert(money_rate(UINT64_MAX, (struct price){ INT64_MAX, INT64_MAX }, &m) == false);
    ck_assert(money_rate(1u << 31, (struct price){ INT64_MAX, INT64_MAX }, &m));
    ck_assert_int_eq(m.atoms, INT64_C(1) << 31);
}
END_TEST

START_TEST(sums_of_vectors)
{
    money_t m;
    ck_assert(money_add(atoms(30850000), atoms(56700000), &m)); /* V1 */
    ck_assert_int_eq(m.atoms, 87550000);
    ck_assert(money_add(atoms(7516600), atoms(38122000), &m)); /* V16 */
    ck_assert_int_eq(m.atoms, 45638600);
    ck_assert(money_sub(atoms(300000000), atoms(84300000), &m)); /* V15 */
    ck_assert_int_eq(m.atoms, 215700000);
}
END_TEST

static const struct {
    int64_t atoms;
    int exp;
    bool ok;
    int64_t minor;
} minors[] = {
    { INT64_C(3086419725000), 2, true, 30864 }, /* V18 */
    { 3350000000, 2, true, 34 },                /* V8: 0.335 */
    { 1250000000, 2, true, 13 },                /* V19: 0.125 */
    { -1250000000, 2, true, -13 },
    { 1249999999, 2, true, 12 },
    { 4999999999, 0, true, 0 }, /* yen */
    { 5000000000, 0, true, 1 },
    { 12345678901, 10, true, 12345678901 },
    { 0, 2, true, 0 },
    { MONEY_ATOMS_MAX, 2, true, INT64_C(90000000000) },
    { -MONEY_ATOMS_MAX, 0, true, -900000000 },
    { INT64_MIN, 2, true, INT64_C(-92233720369) },
    { 1, 11, false, 0 },
    { 1, -1, false, 0 },
};
enum { MINORS = sizeof minors / sizeof *minors };

START_TEST(minor_units_round_half_away)
{
    int64_t minor = 77;
    ck_assert(money_to_minor(atoms(minors[_i].atoms), minors[_i].exp, &minor) == minors[_i].ok);
    ck_assert_int_eq(minor, minors[_i].ok ? minors[_i].minor : 77);
}
END_TEST

static const struct {
    const char *text;
    bool ok;
    int64_t atoms, per_units;
} prices[] = {
    { "0.10", true, 1000000000, 1 },
    { "2.5/1M", true, 25000000000, 1000000 },
    { "0.006/60000", true, 60000000, 60000 },
    { "3/1k", true, 30000000000, 1000 },
    { "3/2G", true, 30000000000, 2000000000 },
    { "0", true, 0, 1 },
    { "0.0000000001", true, 1, 1 },
    { "0.00000000010000", true, 1, 1 },
    { "0.00000000001", false, 0, 0 },
    { "0.00000000011", false, 0, 0 },
    { "900000000", true, MONEY_ATOMS_MAX, 1 },
    { "900000000.0000000001", false, 0, 0 },
    { "900000001", false, 0, 0 },
    { "99999999999999999999999", false, 0, 0 },
    { "", false, 0, 0 },
    { ".", false, 0, 0 },
    { "1.", false, 0, 0 },
    { ".5", false, 0, 0 },
    { "01", false, 0, 0 },
    { "00", false, 0, 0 },
    { "-1", false, 0, 0 },
    { "+1", false, 0, 0 },
    { "1e3", false, 0, 0 },
    { "1,5", false, 0, 0 },
    { " 1", false, 0, 0 },
    { "1 ", false, 0, 0 },
    { "1/", false, 0, 0 },
    { "1/0", false, 0, 0 },
    { "1/M", false, 0, 0 },
    { "1/1m", false, 0, 0 },
    { "1/1K", false, 0, 0 },
    { "1/1Mx", false, 0, 0 },
    { "1/-1", false, 0, 0 },
    { "1/1.5M", false, 0, 0 },
    { "1/01", false, 0, 0 },
    { "1/9223372036854775807", true, 10000000000, INT64_MAX },
    { "1/9223372036854775808", false, 0, 0 },
    { "1/9223372036854775807k", false, 0, 0 },
    { "1/1/1", false, 0, 0 },
    { "nan", false, 0, 0 },
    { "0x10", false, 0, 0 },
};
enum { PRICES = sizeof prices / sizeof *prices };

START_TEST(price_texts)
{
    struct price p = { 7, 7 };
    ck_assert_msg(money_parse_price(prices[_i].text, &p) == prices[_i].ok, "%s", prices[_i].text);
    ck_assert_int_eq(p.atoms, prices[_i].ok ? prices[_i].atoms : 7);
    ck_assert_int_eq(p.per_units, prices[_i].ok ? prices[_i].per_units : 7);
}
END_TEST

static const struct {
    int64_t atoms;
    int places;
    const char *text;
} texts[] = {
    { 87550000, 10, "0.0087550000" },
    { 87550000, 0, "0.008755" },
    { 87550000, 2, "0.008755" },
    { 0, 0, "0" },
    { 0, 2, "0.00" },
    { 20000000000, 0, "2" },
    { 20000000000, 2, "2.00" },
    { 100000000000, 0, "10" },
    { 25000000000, 2, "2.50" },
    { -1, 0, "-0.0000000001" },
    { -25000000000, 2, "-2.50" },
    { MONEY_ATOMS_MAX, 2, "900000000.00" },
    { INT64_MAX, 0, "922337203.6854775807" },
    { INT64_MIN, 0, "-922337203.6854775808" },
};
enum { TEXTS = sizeof texts / sizeof *texts };

START_TEST(amounts_as_text)
{
    char buf[MONEY_TEXT_BYTES];
    ck_assert_str_eq(money_text(atoms(texts[_i].atoms), texts[_i].places, buf), texts[_i].text);
}
END_TEST

START_TEST(what_is_written_is_read_back)
{
    char buf[MONEY_TEXT_BYTES];
    uint64_t x = (uint64_t)_i * 2654435761u + 1;
    bool ok = true;
    for (int round = 0; ok && round < 1000; round++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        money_t m = atoms((int64_t)(x % ((uint64_t)MONEY_ATOMS_MAX + 1))), back;
        ok = money_parse(money_text(m, _i, buf), &back) && back.atoms == m.atoms;
    }
    ck_assert(ok);
}
END_TEST

Suite *money_suite(void)
{
    Suite *s = suite_create("money");
    TCase *t = tcase_create("money");
    tcase_add_loop_test(t, rates_are_exact, 0, RATES);
    tcase_add_loop_test(t, ties_go_to_even, 0, TIES);
    tcase_add_test(t, too_much_is_refused_and_leaves_the_output);
    tcase_add_test(t, sums_of_vectors);
    tcase_add_loop_test(t, minor_units_round_half_away, 0, MINORS);
    tcase_add_loop_test(t, price_texts, 0, PRICES);
    tcase_add_loop_test(t, amounts_as_text, 0, TEXTS);
    tcase_add_loop_test(t, what_is_written_is_read_back, 0, MONEY_ATOM_EXP + 1);
    suite_add_tcase(s, t);
    return s;
}
