/* tests/unit/test_statement.c -- an invoice by cost centres: the parts are the whole, to the last
 * minor unit, whoever has used how little. */
#include "base/cleanup.h"
#include "billing/contract.h"
#include "billing/decimal.h"
#include "billing/document.h"
#include "billing/fund.h"
#include "billing/statement.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <string.h>
#include "gen/unit_suites.h"

#define DAY_US INT64_C(86400000000)

static struct fixture f;
static int64_t projects[4]; /* without a cost centre, then A, B, C */
static char number[DOCUMENT_NUMBER_BYTES];

static enum status add_projects(struct ledger_call *call, struct db *db, int64_t now_us)
{
    static const char *const sql[] = {
        "INSERT INTO project (slug, display_name, budget_atoms, budget_period, created_us,"
        " organization, cost_centre) VALUES ('a', 'a', 1000000000000, 'month', 1, 1, 'A')",
        "INSERT INTO project (slug, display_name, budget_atoms, budget_period, created_us,"
        " organization, cost_centre) VALUES ('b', 'b', 1000000000000, 'month', 1, 1, 'B')",
        "INSERT INTO project (slug, display_name, budget_atoms, budget_period, created_us,"
        " organization, cost_centre) VALUES ('c', 'c', 1000000000000, 'month', 1, 1, 'C')",
    };
    (void)call, (void)now_us;
    for (int i = 0; i < 3; i++) {
        enum status s = db_run(db_prepare(db, sql[i]));
        if (s)
            return s;
        projects[i + 1] = db_last_id(db);
    }
    return ledger_reload_projects(f.ledger);
}

static enum status charge(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call;
    const struct charge_new c = { .organization = 1,
                                  .kind = "other",
                                  .text = "licence",
                                  .amount = { 1000000000 },
                                  .at_us = now_us };
    return charge_add(db, &c, now_us);
}

static void call(enum status (*run)(struct ledger_call *call, struct db *db, int64_t now_us))
{
    struct ledger_call c = { .op.kind = LEDGER_CALL, .run = run };
    ck_assert_int_eq(fixture_submit(&f, &c.op), STATUS_OK);
}

static void setup(void)
{
    fixture_init(&f);
    fixture_catalog(&f);
    projects[0] = fixture_project(&f, "acme", 100 * MONEY_ATOMS_PER_UNIT, "month");
    call(add_projects);
}

static void teardown(void)
{
    fixture_free(&f);
}

static json_t *statements(const char *of, const char *centre, enum status expected)
{
    struct db *db = fixture_reader(&f);
    json_t *list = NULL;
    ck_assert_int_eq(statement_list(db, of, centre, &list), expected);
    db_close(db);
    return list;
}

static int64_t minor(const json_t *document, const char *key)
{
    int64_t value;
    const json_t *totals = json_object_get(document, "totals");
    ck_assert(decimal_parse_minor(json_string_value(json_object_get(totals, key)), 2, &value));
    return value;
}

static json_t *invoice(void)
{
    struct db *db = fixture_reader(&f);
    json_t *d = NULL;
    ck_assert_int_eq(document_find(db, number, &d), STATUS_OK);
    db_close(db);
    return d;
}

static void check_sums(const json_t *list, const json_t *whole)
{
    static const char *const keys[] = { "net", "tax", "gross" };
    for (size_t k = 0; k < 3; k++) {
        int64_t sum = 0;
        for (size_t i = 0; i < json_array_size(list); i++)
            sum += minor(json_array_get(list, i), keys[k]);
        ck_assert_int_eq(sum, minor(whole, keys[k]));
    }
}

/* Each of three used a third of a line of 0.01, and more of others. */
START_TEST(test_parts_are_the_whole)
{
    for (int i = 1; i < 4; i++)
        fixture_request(&f, projects[i], 1111, 7 * (uint64_t)(i + _i));
    fixture_request(&f, projects[0], (uint64_t)_i * 1000 + 1, 333);
    call(charge);
    f.wall_us += 20 * DAY_US;
    fixture_invoice(&f, number);
    AUTO(json_decref_ptr) json_t *list = statements(number, NULL, STATUS_OK);
    AUTO(json_decref_ptr) json_t *whole = invoice();
    ck_assert_uint_eq(json_array_size(list), 4);
    check_sums(list, whole);
    const json_t *none = json_array_get(list, 0);
    ck_assert_str_eq(json_string_value(json_object_get(none, "cost_centre")), "");
    ck_assert_uint_eq(json_array_size(json_object_get(none, "lines")), 3); /* the licence, too */
    AUTO(json_decref_ptr) json_t *one = statements(number, "B", STATUS_OK);
    ck_assert(json_equal(json_array_get(one, 0), json_array_get(list, 2)));
    AUTO(free_ptr) char *csv = document_csv(json_array_get(list, 1));
    AUTO(free_ptr) char *html = document_html(json_array_get(list, 1));
    ck_assert_ptr_nonnull(strstr(csv, ",\"A\"\r\n"));
    ck_assert_ptr_nonnull(strstr(html, "<h1>Statement</h1>"));
    ck_assert_ptr_nonnull(strstr(html, "Cost centre A"));
}
END_TEST

START_TEST(test_what_is_no_statement)
{
    fixture_request(&f, projects[1], 100000, 0);
    f.wall_us += 20 * DAY_US;
    fixture_invoice(&f, number);
    ck_assert_ptr_null(statements("MG-2026-999999", NULL, STATUS_NOT_FOUND));
    ck_assert_ptr_null(statements(number, "C", STATUS_NOT_FOUND)); /* it has used nothing */
    ck_assert_ptr_null(statements(number, "nobody", STATUS_NOT_FOUND));
    AUTO(json_decref_ptr) json_t *list = statements(number, NULL, STATUS_OK);
    ck_assert_uint_eq(json_array_size(list), 1);
    fixture_close(&f);
    fixture_tamper(&f, "UPDATE usage_rollup SET atoms = atoms - 1");
    ck_assert_ptr_null(statements(number, NULL, STATUS_INTERNAL));
}
END_TEST

Suite *statement_suite(void)
{
    Suite *s = suite_create("statement");
    TCase *t = tcase_create("statement");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_parts_are_the_whole, 0, 6);
    tcase_add_test(t, test_what_is_no_statement);
    suite_add_tcase(s, t);
    return s;
}
