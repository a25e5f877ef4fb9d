/* tests/unit/test_documents.c -- what a period costs beside usage, taxes, credit notes,
 * approval and payment; every store is audited at the end. */
#include "base/cleanup.h"
#include "billing/contract.h"
#include "billing/document.h"
#include "billing/fund.h"
#include "billing/organization.h"
#include "billing/payout.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <stdio.h>
#include <string.h>
#include "gen/unit_suites.h"

#define UNIT   INT64_C(10000000000)
#define DAY_US (INT64_C(24) * 3600 * 1000000)
#define APR_1  INT64_C(1806537600000000) /* 2027-04-01T00:00:00Z, after the fixture's own time */
#define MAY_1  (APR_1 + 30 * DAY_US)

static const struct seller seller = { .name = "Seller & Sons <GmbH>",
                                      .address = "1 \"Main\" St",
                                      .tax_id = "T1",
                                      .series = "MG",
                                      .tax_basis_points = 600,
                                      .minor_digits = 2 };

static struct fixture f;
static int64_t project;

static void setup(void)
{
    fixture_init(&f);
    fixture_catalog(&f);
    f.wall_us = APR_1;
    project = fixture_project(&f, "acme", 100000 * UNIT, "total");
}

static void teardown(void)
{
    fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_free(&f);
}

/* ---- running things on the ledger ---------------------------------------------------------- */

struct job {
    enum status (*run)(struct db *db, int64_t now_us, void *arg);
    void *arg;
};

static enum status run_job(struct ledger_call *call, struct db *db, int64_t now_us)
{
    struct job *j = call->arg;
    enum status s = j->run(db, now_us, j->arg);
    return s ? s : ledger_reload_projects(f.ledger);
}

static enum status on_ledger(enum status (*run)(struct db *db, int64_t now_us, void *arg),
                             void *arg)
{
    struct job j = { run, arg };
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = run_job, .arg = &j };
    return fixture_submit(&f, &call.op);
}

static enum status set_plan(struct db *db, int64_t now_us, void *arg)
{
    char err[256];
    AUTO(json_decref_ptr) json_t *plan = json_loads(arg, 0, NULL);
    const struct contract_change c = { .starts_us = now_us, .credit_atoms = -1, .plan = plan };
    enum status s = contract_change(db, 1, &c, now_us, err);
    ck_assert_msg(s == STATUS_OK, "%s", err);
    return s;
}

static void plan(const char *text)
{
    ck_assert_int_eq(on_ledger(set_plan, (void *)(uintptr_t)text), STATUS_OK);
}

struct asked {
    const char *month, *number, *amount, *by;
    int64_t line;
    json_t *document;
    char err[256];
};

static enum status issue_it(struct db *db, int64_t now_us, void *arg)
{
    struct asked *a = arg;
    return document_issue(db, "acme", a->month, &seller, now_us, &a->document);
}

static enum status approve_it(struct db *db, int64_t now_us, void *arg)
{
    struct asked *a = arg;
    return document_approve(db, "acme", a->month, &seller, a->by, now_us, &a->document);
}

static enum status credit_it(struct db *db, int64_t now_us, void *arg)
{
    struct asked *a = arg;
    return credit_note_issue(db, a->number, a->line, a->amount, "wrong price", &seller, now_us,
                             &a->document, a->err);
}

static enum status pay_it(struct db *db, int64_t now_us, void *arg)
{
    struct asked *a = arg;
    return document_pay(db, a->number, a->amount, "wire", now_us, &a->document);
}

static json_t *issue(const char *month)
{
    struct asked a = { .month = month };
    ck_assert_int_eq(on_ledger(issue_it, &a), STATUS_OK);
    return a.document;
}

static enum status credit(const char *number, int64_t line, const char *amount, json_t **ret)
{
    struct asked a = { .number = number, .line = line, .amount = amount };
    enum status s = on_ledger(credit_it, &a);
    *ret = a.document;
    return s;
}

static const char *total(const json_t *d, const char *key)
{
    return json_string_value(json_object_get(json_object_get(d, "totals"), key));
}

static const char *line_text(const json_t *d, size_t line, const char *key)
{
    const char *text =
        json_string_value(json_object_get(json_array_get(json_object_get(d, "lines"), line), key));
    return text ? text : "";
}

static int64_t balance(const char *kind)
{
    char sql[160];
    snprintf(sql, sizeof sql,
             "SELECT posted_atoms FROM account_balance b JOIN account a ON a.id = b.account"
             " WHERE a.organization = 1 AND a.kind = '%s'",
             kind);
    return fixture_int(&f, sql);
}

/* ---- closing ------------------------------------------------------------------------------- */

START_TEST(test_a_subscription_by_days) /* V12: 300.00, 20 of 30 days */
{
    f.wall_us = APR_1 + 10 * DAY_US + 1000000; /* the 11th: 20 days are left */
    plan("{\"fee\":\"300.00\"}");
    f.wall_us = MAY_1 + DAY_US;
    AUTO(json_decref_ptr) json_t *d = issue("2027-04");
    ck_assert_str_eq(total(d, "net"), "200.00");
    ck_assert_str_eq(line_text(d, 0, "text"),
                     "subscription 2027-04-11 to 2027-04-30: 20 of 30 days of 300.00");
    ck_assert_int_eq(balance("receivable"), 212 * UNIT);
    ck_assert_int_eq(balance("unbilled"), 0);
}
END_TEST

/* 99.00 for 17 days, then 31.00 for 14 of May's 31; a change of credit alone splits nothing. */
START_TEST(test_a_plan_changes_in_the_middle)
{
    f.wall_us = MAY_1;
    plan("{\"fee\":\"99.00\"}");
    f.wall_us = MAY_1 + 5 * DAY_US;
    plan("{\"payment_days\":14}");
    f.wall_us = MAY_1 + 17 * DAY_US + 3600000000; /* a day is of the plan that it ends with */
    plan("{\"fee\":\"31.00\"}");
    f.wall_us = MAY_1 + 32 * DAY_US;
    AUTO(json_decref_ptr) json_t *d = issue("2027-05");
    ck_assert_uint_eq(json_array_size(json_object_get(d, "lines")), 2);
    ck_assert_str_eq(line_text(d, 0, "net"), "54.29"); /* V12 */
    ck_assert_str_eq(line_text(d, 1, "net"), "14.00");
    ck_assert_str_eq(line_text(d, 0, "text"),
                     "subscription 2027-05-01 to 2027-05-17: 17 of 31 days of 99.00");
    ck_assert_str_eq(line_text(d, 1, "text"),
                     "subscription 2027-05-18 to 2027-05-31: 14 of 31 days of 31.00");
    ck_assert_str_eq(json_string_value(json_object_get(d, "due_date")), "2027-06-16");
}
END_TEST

START_TEST(test_a_minimum_and_its_shortfall) /* V13 */
{
    plan("{\"minimum\":\"1000.00\"}");
    fixture_request(&f, project, 256049383, 0); /* 640.1234575 */
    f.wall_us = MAY_1;
    AUTO(json_decref_ptr) json_t *d = issue("2027-04");
    ck_assert_str_eq(line_text(d, 1, "net"), "359.88");
    ck_assert_str_eq(line_text(d, 1, "text"), "shortfall to the minimum of the contract: "
                                              "1000.00 less 640.1234575 used");
    ck_assert_str_eq(total(d, "net"), "1000.00");
    fixture_request(&f, project, 456249383, 0); /* 1140.6234575 */
    f.wall_us = MAY_1 + 31 * DAY_US;
    AUTO(json_decref_ptr) json_t *next = issue("2027-05");
    ck_assert_uint_eq(json_array_size(json_object_get(next, "lines")), 1);
    ck_assert_str_eq(total(next, "net"), "1140.62");
}
END_TEST

START_TEST(test_capacity_costs_by_the_hour)
{
    plan("{\"reserved\":[{\"text\":\"2 GPUs\",\"hourly\":\"2.50\",\"units\":2}]}");
    f.wall_us = APR_1 + 10 * DAY_US + 1800 * INT64_C(1000000);
    plan("{\"reserved\":null}");
    f.wall_us = MAY_1;
    AUTO(json_decref_ptr) json_t *d = issue("2027-04");
    ck_assert_str_eq(total(d, "net"), "1202.50"); /* 240.5 hours */
    ck_assert_str_eq(line_text(d, 0, "text"), "2 GPUs: 2 reserved, 240.500000 hours at 2.50");
}
END_TEST

/* 100.00 for a year is invoiced once and earned in twelve parts that add up. */
START_TEST(test_a_year_is_earned_month_by_month)
{
    static const char *const months[] = { "2027-04", "2027-05", "2027-06", "2027-07", "2027-08",
                                          "2027-09", "2027-10", "2027-11", "2027-12", "2028-01",
                                          "2028-02", "2028-03", "2028-04" };
    plan("{\"fee\":\"100.00\",\"fee_every\":\"year\"}");
    for (int i = 0; i < 13; i++) {
        f.wall_us = APR_1 + (i + 1) * 31 * DAY_US;
        AUTO(json_decref_ptr) json_t *d = issue(months[i]);
        ck_assert_str_eq(total(d, "net"), i % 12 ? "0.00" : "100.00");
        if (i == 0)
            ck_assert_str_eq(line_text(d, 0, "text"), "subscription for a year from 2027-04-01");
        if (i == 0)
            ck_assert_int_eq(balance("revenue"), -83333333333);
        if (i == 11)
            ck_assert_int_eq(balance("deferred_revenue"), 0);
    }
    ck_assert_int_eq(balance("revenue") + balance("deferred_revenue"), -200 * UNIT);
}
END_TEST

static enum status cut_it(struct db *db, int64_t now_us, void *arg)
{
    return document_cut(db, arg, now_us);
}

/* 300.00 for 30 days: ten of them on the first invoice, the rest on the second, no usage twice. */
START_TEST(test_a_period_is_cut_for_an_invoice)
{
    static char acme[] = "acme", nobody[] = "nobody";
    plan("{\"fee\":\"300.00\",\"included\":\"1.00\"}");
    ck_assert_int_eq(on_ledger(cut_it, nobody), STATUS_NOT_FOUND);
    ck_assert_int_eq(on_ledger(cut_it, acme), STATUS_NOT_FOUND); /* nothing was used */
    fixture_request(&f, project, 800000, 0);                     /* 2.00, one of them included */
    f.wall_us = APR_1 + 10 * DAY_US + 3600000000;
    ck_assert_int_eq(on_ledger(cut_it, acme), STATUS_OK);
    fixture_request(&f, project, 400000, 0);
    f.wall_us = MAY_1 + 1;
    AUTO(json_decref_ptr) json_t *first = issue("2027-04"); /* nobody had asked for it yet */
    AUTO(json_decref_ptr) json_t *second = issue("2027-04");
    AUTO(json_decref_ptr) json_t *again = issue("2027-04");
    ck_assert_str_eq(total(first, "net"), "101.00");
    ck_assert_str_eq(total(second, "net"), "201.00");
    ck_assert(json_equal(again, second));
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM billing_period"), 2);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM fund"), 1);
}
END_TEST

/* The subscription goes on after a cut, also when nothing is used any more. */
START_TEST(test_what_follows_a_cut_is_invoiced_unused)
{
    static char acme[] = "acme";
    plan("{\"fee\":\"300.00\"}");
    fixture_request(&f, project, 400000, 0);
    f.wall_us = APR_1 + 10 * DAY_US + 3600000000;
    ck_assert_int_eq(on_ledger(cut_it, acme), STATUS_OK);
    f.wall_us += 2;
    AUTO(json_decref_ptr) json_t *first = issue("2027-04");
    AUTO(json_decref_ptr) json_t *again = issue("2027-04"); /* the month is not over yet */
    f.wall_us = MAY_1 + 1;
    AUTO(json_decref_ptr) json_t *second = issue("2027-04");
    ck_assert_str_eq(total(first, "net"), "101.00");
    ck_assert(json_equal(again, first));
    ck_assert_str_eq(total(second, "net"), "200.00");
    fixture_audit_clean(&f);
}
END_TEST

START_TEST(test_a_cut_period_is_issued_at_once)
{
    static char acme[] = "acme";
    fixture_request(&f, project, 400000, 0);
    ck_assert_int_eq(on_ledger(cut_it, acme), STATUS_OK);
    f.wall_us += 2;
    AUTO(json_decref_ptr) json_t *first = issue("2027-04");
    ck_assert_str_eq(total(first, "net"), "1.00");
    fixture_request(&f, project, 800000, 0);
    ck_assert_int_eq(on_ledger(cut_it, acme), STATUS_OK);
    f.wall_us += 2;
    AUTO(json_decref_ptr) json_t *second = issue("2027-04");
    ck_assert_str_eq(total(second, "net"), "2.00");
    ck_assert_str_ne(json_string_value(json_object_get(first, "number")),
                     json_string_value(json_object_get(second, "number")));
}
END_TEST

/* ---- taxes --------------------------------------------------------------------------------- */

struct charge_args {
    const char *amount, *category;
    int64_t points;
};

static enum status charge_it(struct db *db, int64_t now_us, void *arg)
{
    const struct charge_args *a = arg;
    struct charge_new c = { .organization = 1,
                            .kind = "other",
                            .text = a->amount,
                            .at_us = now_us,
                            .tax_category = a->category,
                            .tax_basis_points = a->points };
    ck_assert(money_parse(a->amount, &c.amount));
    return charge_add(db, &c, now_us);
}

static void charge(const char *amount, const char *category, int64_t points)
{
    struct charge_args a = { amount, category, points };
    ck_assert_int_eq(on_ledger(charge_it, &a), STATUS_OK);
}

START_TEST(test_tax_is_of_groups) /* V9 */
{
    charge("100.01", NULL, 0);
    charge("200.02", NULL, 0);
    charge("50.00", "S", 1300);
    f.wall_us = MAY_1;
    AUTO(json_decref_ptr) json_t *d = issue("2027-04");
    ck_assert_str_eq(total(d, "tax"), "24.50");
    ck_assert_uint_eq(json_array_size(json_object_get(d, "taxes")), 2);
    struct charge_args late = { "1.00", NULL, 0 };
    f.wall_us = MAY_1 - 1;
    ck_assert_int_eq(on_ledger(charge_it, &late), STATUS_OK); /* the ledger's clock goes on */
}
END_TEST

/* The seller takes 6 %, which a category without tax does not follow; the words go along. */
START_TEST(test_no_tax_says_why)
{
    plan("{\"tax_category\":\"AE\"}");
    charge("100.00", NULL, 0);
    f.wall_us = MAY_1;
    AUTO(json_decref_ptr) json_t *d = issue("2027-04");
    const char *number = json_string_value(json_object_get(d, "number"));
    ck_assert_str_eq(total(d, "gross"), "100.00");
    const json_t *group = json_array_get(json_object_get(d, "taxes"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(group, "text")), "reverse charge");
    AUTO(free_ptr) char *html = document_html(d);
    ck_assert_ptr_nonnull(strstr(html, "Tax AE (reverse charge) 0.00 % on 100.00"));
    json_t *note = NULL;
    ck_assert_int_eq(credit(number, 0, NULL, &note), STATUS_OK);
    group = json_array_get(json_object_get(note, "taxes"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(group, "text")), "reverse charge");
    json_decref(note);
}
END_TEST

/* ---- credit notes -------------------------------------------------------------------------- */

START_TEST(test_credit_notes_never_exceed)
{
    charge("10.25", NULL, 0);
    charge("10.25", NULL, 0);
    charge("10.25", NULL, 0);
    f.wall_us = MAY_1;
    AUTO(json_decref_ptr) json_t *d = issue("2027-04");
    ck_assert_str_eq(total(d, "tax"), "1.85"); /* V9b */
    const char *number = json_string_value(json_object_get(d, "number"));
    json_t *note = NULL;
    ck_assert_int_eq(credit(number, 1, "10.26", &note), STATUS_BAD_FIELD);
    ck_assert_int_eq(credit(number, 9, NULL, &note), STATUS_BAD_FIELD);
    ck_assert_int_eq(credit(number, 0, "1.00", &note), STATUS_BAD_FIELD);
    ck_assert_int_eq(credit("MG-2027-000099", 0, NULL, &note), STATUS_NOT_FOUND);
    ck_assert_int_eq(credit(number, 1, "0.08", &note), STATUS_OK);
    ck_assert_str_eq(total(note, "tax"), "0.00");
    ck_assert_str_eq(json_string_value(json_object_get(note, "number")), "MG-CN-2027-000001");
    json_decref(note);
    ck_assert_int_eq(credit(number, 1, "10.18", &note), STATUS_BAD_FIELD);
    ck_assert_int_eq(credit(number, 0, NULL, &note), STATUS_OK); /* the rest: all of the tax */
    ck_assert_str_eq(total(note, "gross"), "32.52");
    ck_assert_str_eq(total(note, "tax"), "1.85");
    json_decref(note);
    ck_assert_int_eq(credit(number, 0, NULL, &note), STATUS_BAD_FIELD);
    ck_assert_int_eq(balance("receivable"), 0);
    ck_assert_int_eq(balance("tax_payable"), 0);
    ck_assert_int_eq(balance("revenue"), 0);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM document"), 3);
}
END_TEST

/* ---- shares -------------------------------------------------------------------------------- */

static enum status share_it(struct db *db, int64_t now_us, void *arg)
{
    const struct organization_new o = { "builder", "builder", "", "", "", "", "", 0 };
    const struct organization_new vendor = { "vendor", "vendor", "", "", "", "", "", 0 };
    int64_t id;
    (void)arg;
    ck_assert_int_eq(organization_create(db, &o, now_us, &id), STATUS_OK);
    ck_assert_int_eq(organization_create(db, &vendor, now_us, &id), STATUS_OK);
    ck_assert_int_eq(payout_rule(db, "base/", "builder", 1000, now_us), STATUS_OK);
    ck_assert_int_eq(payout_rule(db, "base/chat", "builder", 2500, now_us), STATUS_OK);
    return payout_rule(db, "base/chat", "vendor", 1500, now_us);
}

static enum status too_much(struct db *db, int64_t now_us, void *arg)
{
    (void)arg;
    return payout_rule(db, "base/chat", "vendor", 7501, now_us);
}

static const char *earned(const char *partner, const char *key, char buf[static 32])
{
    json_t *statement = NULL;
    struct db *db = fixture_reader(&f);
    ck_assert_int_eq(payout_statement(db, partner, "2027-05", 2, &statement), STATUS_OK);
    snprintf(buf, 32, "%s", json_string_value(json_object_get(statement, key)));
    json_decref(statement);
    db_close(db);
    return buf;
}

START_TEST(test_shares_are_given_and_taken_back) /* V11: 60/25/15 of 123.45 */
{
    char text[32];
    ck_assert_int_eq(on_ledger(share_it, NULL), STATUS_OK);
    ck_assert_int_eq(on_ledger(too_much, NULL), STATUS_BAD_FIELD);
    fixture_request(&f, project, 49380000, 0); /* 123.45 */
    charge("10.00", NULL, 0);
    f.wall_us = MAY_1 + 1;
    AUTO(json_decref_ptr) json_t *d = issue("2027-04");
    const char *number = json_string_value(json_object_get(d, "number"));
    ck_assert_str_eq(earned("builder", "total", text), "30.86");
    ck_assert_str_eq(earned("vendor", "total", text), "18.52");
    json_t *note = NULL;
    ck_assert_int_eq(credit(number, 1, "41.15", &note), STATUS_OK);
    json_decref(note);
    ck_assert_str_eq(earned("builder", "total", text), "20.57");
    ck_assert_int_eq(credit(number, 0, NULL, &note), STATUS_OK);
    json_decref(note);
    ck_assert_str_eq(earned("builder", "total", text), "0.00");
    ck_assert_str_eq(earned("vendor", "open", text), "0.00");
}
END_TEST

/* ---- approval, payment, forms -------------------------------------------------------------- */

START_TEST(test_only_what_was_approved_is_issued)
{
    plan("{\"approval\":true}");
    charge("5.00", NULL, 0);
    struct asked a = { .month = "2027-04", .by = "Ada" };
    ck_assert_int_eq(on_ledger(approve_it, &a), STATUS_CONFLICT); /* the month goes on */
    f.wall_us = MAY_1;
    ck_assert_int_eq(on_ledger(issue_it, &a), STATUS_FORBIDDEN);
    ck_assert_int_eq(on_ledger(approve_it, &a), STATUS_OK);
    json_decref(a.document);
    a.document = NULL;
    ck_assert_int_eq(on_ledger(issue_it, &a), STATUS_OK);
    json_decref(a.document);
    ck_assert_int_eq(on_ledger(approve_it, &a), STATUS_CONFLICT); /* it is invoiced */
    ck_assert_ptr_nonnull(json_object_get(a.document, "number"));
    json_decref(a.document);
    ck_assert_int_eq(fixture_int(&f, "SELECT approved_by = 'Ada' FROM approval"), 1);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM approval"), 1);
}
END_TEST

START_TEST(test_payments_up_to_what_is_open)
{
    charge("10.00", NULL, 0);
    f.wall_us = MAY_1;
    AUTO(json_decref_ptr) json_t *d = issue("2027-04");
    struct asked a = { .number = json_string_value(json_object_get(d, "number")),
                       .amount = "10.61" };
    ck_assert_int_eq(on_ledger(pay_it, &a), STATUS_BAD_FIELD);
    a.amount = "9.999";
    ck_assert_int_eq(on_ledger(pay_it, &a), STATUS_BAD_FIELD);
    a.amount = "10"; /* as people write it */
    ck_assert_int_eq(on_ledger(pay_it, &a), STATUS_OK);
    ck_assert_str_eq(json_string_value(json_object_get(a.document, "state")), "open");
    ck_assert_str_eq(json_string_value(json_object_get(a.document, "open")), "0.60");
    json_decref(a.document);
    a.amount = "0.60";
    ck_assert_int_eq(on_ledger(pay_it, &a), STATUS_OK);
    ck_assert_str_eq(json_string_value(json_object_get(a.document, "state")), "paid");
    json_decref(a.document);
    ck_assert_int_eq(balance("receivable"), 0);
    ck_assert_int_eq(balance("cash"), 10 * UNIT + 6 * UNIT / 10);
}
END_TEST

START_TEST(test_html_escapes)
{
    charge("1.00", NULL, 0);
    f.wall_us = MAY_1;
    AUTO(json_decref_ptr) json_t *d = issue("2027-04");
    AUTO(free_ptr) char *html = document_html(d);
    ck_assert_ptr_nonnull(strstr(html, "Seller &amp; Sons &lt;GmbH&gt;"));
    ck_assert_ptr_nonnull(strstr(html, "1 &quot;Main&quot; St"));
    ck_assert_ptr_nonnull(strstr(html, "MG-2027-000001"));
    ck_assert_ptr_null(strstr(html, "<script"));
}
END_TEST

/* Each number on paper follows from others on it. */
START_TEST(test_html_explains)
{
    plan("{\"included\":\"0.40\",\"fee\":\"1.00\"}");
    fixture_request(&f, project, 400000, 0);
    f.wall_us = MAY_1;
    AUTO(json_decref_ptr) json_t *d = issue("2027-04");
    const char *number = json_string_value(json_object_get(d, "number"));
    AUTO(free_ptr) char *html = document_html(d);
    static const char *const says[] = { ">400000 <small>token<",
                                        "2.50 per 1000000",
                                        ">0.6000000000<br><small>funds paid 0.4000000000<",
                                        ">S 6.00 %<",
                                        ">Sum before rounding</td><td class=n>1.6000000000<",
                                        ">Rounding of the lines</td><td class=n>0.0000000000<",
                                        "Tax S 6.00 % on 1.60",
                                        "2027-04-01 to 2027-04-30 UTC",
                                        "All amounts are in USD" };
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        ck_assert_msg(strstr(html, says[i]) != NULL, "%s", says[i]);
    json_t *note = NULL;
    ck_assert_int_eq(credit(number, 2, "0.50", &note), STATUS_OK);
    AUTO(free_ptr) char *credited = document_html(note);
    ck_assert_ptr_nonnull(strstr(credited, "Credit of invoice MG-2027-000001"));
    ck_assert_ptr_nonnull(strstr(credited, "Line 2 of the invoice"));
    json_decref(note);
}
END_TEST

static enum status buy_it(struct db *db, int64_t now_us, void *arg)
{
    const struct fund_new n = { .organization = 1,
                                .kind = "commit",
                                .model = "",
                                .note = arg,
                                .amount = { 100 * UNIT },
                                .from_us = now_us,
                                .to_us = INT64_MAX };
    int64_t id;
    return fund_add(db, &n, now_us, &id);
}

START_TEST(test_a_bought_commitment_is_invoiced_and_drawn)
{
    static char note[] = "commitment of 2026";
    fixture_request(&f, project, 4000000, 0); /* 10.00, before it was bought */
    ck_assert_int_eq(on_ledger(buy_it, note), STATUS_OK);
    fixture_request(&f, project, 8000000, 0); /* 20.00 out of it */
    f.wall_us = MAY_1;
    AUTO(json_decref_ptr) json_t *d = issue("2027-04");
    ck_assert_str_eq(line_text(d, 0, "covered"), "20.0000000000");
    ck_assert_str_eq(line_text(d, 0, "net"), "10.00");
    ck_assert_str_eq(line_text(d, 1, "text"), note);
    ck_assert_str_eq(total(d, "net"), "110.00");
    ck_assert_int_eq(balance("customer_commit"), -80 * UNIT);
    ck_assert_int_eq(balance("revenue"), -30 * UNIT);
}
END_TEST

Suite *documents_suite(void)
{
    Suite *s = suite_create("documents");
    TCase *t = tcase_create("store");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_subscription_by_days);
    tcase_add_test(t, test_a_plan_changes_in_the_middle);
    tcase_add_test(t, test_a_minimum_and_its_shortfall);
    tcase_add_test(t, test_capacity_costs_by_the_hour);
    tcase_add_test(t, test_a_year_is_earned_month_by_month);
    tcase_add_test(t, test_a_period_is_cut_for_an_invoice);
    tcase_add_test(t, test_what_follows_a_cut_is_invoiced_unused);
    tcase_add_test(t, test_a_cut_period_is_issued_at_once);
    tcase_add_test(t, test_tax_is_of_groups);
    tcase_add_test(t, test_no_tax_says_why);
    tcase_add_test(t, test_credit_notes_never_exceed);
    tcase_add_test(t, test_shares_are_given_and_taken_back);
    tcase_add_test(t, test_only_what_was_approved_is_issued);
    tcase_add_test(t, test_payments_up_to_what_is_open);
    tcase_add_test(t, test_html_escapes);
    tcase_add_test(t, test_html_explains);
    tcase_add_test(t, test_a_bought_commitment_is_invoiced_and_drawn);
    suite_add_tcase(s, t);
    return s;
}
