/* tests/unit/test_funds.c -- what pays for usage: grants, commitments, top-ups, credit;
 * never more than there is, in the written order, whatever fails. */
#include "billing/contract.h"
#include "billing/marks.h"
#include "billing/purse.h"
#include "billing/running.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <stdio.h>
#include <string.h>
#include "gen/unit_suites.h"

#define UNIT INT64_C(10000000000)

static struct fixture f;
static int64_t project;

static void setup(void)
{
    fixture_init(&f);
    fixture_catalog(&f);
    project = fixture_project(&f, "acme", 1000 * UNIT, "total");
}

static void teardown(void)
{
    fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_free(&f);
}

static enum status run_sql(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)now_us;
    struct db_stmt *s = db_prepare(db, call->arg);
    enum status status = s ? db_run(s) : db_status(db);
    return status ? status : ledger_reload_projects(f.ledger);
}

static void administer(const char *sql)
{
    struct ledger_call call = { .op.kind = LEDGER_CALL,
                                .run = run_sql,
                                .arg = (void *)(uintptr_t)sql };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
}

/* Prepaid from now on: what funds do not cover is refused. */
static void no_credit(void)
{
    administer("INSERT INTO contract (organization, starts_us, credit_atoms, created_us)"
               " VALUES (1, 1, 0, 1)");
}

#define FUND(columns, values)                                                                     \
    administer("INSERT INTO fund (organization, from_us, to_us, created_us, " columns ") VALUES " \
               "(1, 0, 4000000000000000, 0, " values ")")

static enum status try_request(int64_t model, int64_t hold, uint64_t in)
{
    struct ledger_hold h = fixture_hold_of(&f, project, hold);
    h.model = model;
    enum status s = fixture_hold(&f, &h);
    if (s)
        return s;
    struct ledger_settle t = fixture_settle_of(&h, in, 0);
    return fixture_settle(&f, &t);
}

static int64_t drawn(int64_t fund)
{
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT drawn_atoms FROM fund_balance WHERE fund = %d", (int)fund);
    return fixture_int(&f, sql);
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

START_TEST(test_prepaid_pays_what_it_has)
{
    no_credit();
    ck_assert_int_eq(try_request(1, 25000, 1), STATUS_NO_QUOTA);
    FUND("kind, amount_atoms", "'prepaid', 100000");
    ck_assert_int_eq(try_request(1, 75000, 3), STATUS_OK);
    ck_assert_int_eq(try_request(1, 50000, 1), STATUS_NO_QUOTA); /* 25000 are left */
    ck_assert_int_eq(try_request(1, 25000, 1), STATUS_OK);
    ck_assert_int_eq(drawn(1), 100000);
    ck_assert_int_eq(balance("customer_prepaid"), 100000);
    ck_assert_int_eq(balance("unbilled"), 0);
    ck_assert_int_eq(balance("revenue"), -100000);
    FUND("kind, amount_atoms", "'prepaid', 25000"); /* a top-up */
    ck_assert_int_eq(try_request(1, 25000, 1), STATUS_OK);
}
END_TEST

/* promo before commit before prepaid before credit; inside by priority, then expiry. */
START_TEST(test_the_order_of_drawing)
{
    FUND("kind, amount_atoms", "'prepaid', 25000");            /* 1 */
    FUND("kind, amount_atoms", "'commit', 25000");             /* 2 */
    FUND("kind, amount_atoms, priority", "'promo', 25000, 2"); /* 3 */
    FUND("kind, amount_atoms, priority", "'promo', 25000, 1"); /* 4 */
    administer("INSERT INTO fund (organization, from_us, to_us, created_us, kind, amount_atoms,"
               " priority) VALUES (1, 0, 3000000000000000, 9, 'promo', 25000, 2)"); /* 5 */
    static const int64_t order[] = { 4, 5, 3, 2, 1 };
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(drawn(order[i]), 0);
        ck_assert_int_eq(try_request(1, 25000, 1), STATUS_OK);
        ck_assert_int_eq(drawn(order[i]), 25000);
    }
    ck_assert_int_eq(balance("unbilled"), 0);
    ck_assert_int_eq(try_request(1, 25000, 1), STATUS_OK);
    ck_assert_int_eq(balance("unbilled"), 25000);
    ck_assert_int_eq(balance("customer_promo"), 75000);
    ck_assert_int_eq(balance("revenue"), -150000);
}
END_TEST

START_TEST(test_one_request_over_several_funds)
{
    FUND("kind, amount_atoms", "'promo', 30000");
    FUND("kind, amount_atoms", "'prepaid', 30000");
    ck_assert_int_eq(try_request(1, 500000, 4), STATUS_OK);
    ck_assert_int_eq(drawn(1), 30000);
    ck_assert_int_eq(drawn(2), 30000);
    ck_assert_int_eq(balance("unbilled"), 40000);
    ck_assert_int_eq(fixture_int(&f, "SELECT draws = '[[1,30000],[2,30000]]' FROM settlement"), 1);
    ck_assert_int_eq(fixture_int(&f, "SELECT covered_atoms FROM usage_rollup"), 60000);
}
END_TEST

START_TEST(test_a_fund_for_one_model_and_one_time)
{
    no_credit();
    FUND("kind, amount_atoms, model", "'promo', 100000, 2");
    administer("INSERT INTO fund (organization, from_us, to_us, created_us, kind, amount_atoms)"
               " VALUES (1, 0, 1000, 0, 'promo', 100000)"); /* over */
    ck_assert_int_eq(try_request(1, 25000, 1), STATUS_NO_QUOTA);
    struct ledger_hold h = fixture_hold_of(&f, project, 100000);
    h.model = 2;
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    struct ledger_settle t = fixture_settle_of(&h, 0, 0);
    ck_assert_int_eq(fixture_settle(&f, &t), STATUS_OK);
    ck_assert_int_eq(drawn(1), 0);
}
END_TEST

/* What a hold has taken is not there for another one, and comes back. */
START_TEST(test_holds_earmark)
{
    no_credit();
    FUND("kind, amount_atoms", "'prepaid', 100000");
    struct ledger_hold h[4];
    for (unsigned i = 0; i < 4; i++) {
        h[i] = fixture_hold_of(&f, project, 25000);
        ck_assert_int_eq(fixture_hold(&f, &h[i]), STATUS_OK);
    }
    ck_assert_int_eq(try_request(1, 1, 0), STATUS_NO_QUOTA);
    FUND("kind, amount_atoms", "'prepaid', 25000"); /* loaded again while four are held */
    ck_assert_int_eq(try_request(1, 25001, 0), STATUS_NO_QUOTA);
    for (unsigned i = 0; i < 4; i++) {
        struct ledger_settle t = fixture_settle_of(&h[i], i % 2, 0);
        ck_assert_int_eq(fixture_settle(&f, &t), STATUS_OK);
    }
    ck_assert_int_eq(drawn(1), 50000);
    ck_assert_int_eq(try_request(1, 75000, 3), STATUS_OK);
    ck_assert_int_eq(drawn(1) + drawn(2), 125000);
}
END_TEST

START_TEST(test_credit_has_a_limit)
{
    administer("INSERT INTO contract (organization, starts_us, credit_atoms, created_us)"
               " VALUES (1, 1, 60000, 1)");
    ck_assert_int_eq(try_request(1, 60001, 1), STATUS_NO_QUOTA);
    ck_assert_int_eq(try_request(1, 60000, 1), STATUS_OK);
    ck_assert_int_eq(try_request(1, 35001, 1), STATUS_NO_QUOTA);
    FUND("kind, amount_atoms", "'prepaid', 1");
    ck_assert_int_eq(try_request(1, 35001, 1), STATUS_OK);
}
END_TEST

START_TEST(test_a_contract_begins_at_its_time)
{
    char sql[160];
    snprintf(sql, sizeof sql,
             "INSERT INTO contract (organization, starts_us, credit_atoms, created_us)"
             " VALUES (1, %lld, 0, 1)",
             (long long)f.wall_us + 60000000);
    administer(sql);
    ck_assert_int_eq(try_request(1, 25000, 1), STATUS_OK);
    f.wall_us += 61000000;
    (void)try_request(1, 25000, 1); /* the batch that meets it still goes by the old one */
    ck_assert_int_eq(try_request(1, 25000, 1), STATUS_NO_QUOTA);
}
END_TEST

START_TEST(test_a_start_remembers_what_was_drawn)
{
    no_credit();
    FUND("kind, amount_atoms", "'prepaid', 100000");
    ck_assert_int_eq(try_request(1, 75000, 3), STATUS_OK);
    struct ledger_hold open = fixture_hold_of(&f, project, 25000);
    ck_assert_int_eq(fixture_hold(&f, &open), STATUS_OK);
    fixture_close(&f);
    fixture_open(&f); /* the open one is settled with nothing */
    ck_assert_int_eq(try_request(1, 25001, 1), STATUS_NO_QUOTA);
    ck_assert_int_eq(try_request(1, 25000, 1), STATUS_OK);
    ck_assert_int_eq(drawn(1), 100000);
}
END_TEST

/* ---- contracts ----------------------------------------------------------------------------- */

struct change_args {
    const char *plan, *zone;
    int64_t credit, starts_us;
    enum status expected;
    char err[256];
};

static enum status run_change(struct ledger_call *call, struct db *db, int64_t now_us)
{
    struct change_args *a = call->arg;
    json_t *plan = json_loads(a->plan, 0, NULL);
    const struct contract_change c = { .starts_us = a->starts_us ? a->starts_us : now_us,
                                       .credit_atoms = a->credit,
                                       .time_zone = a->zone,
                                       .plan = plan };
    enum status s = contract_change(db, 1, &c, now_us, a->err);
    json_decref(plan);
    return s ? s : ledger_reload_projects(f.ledger);
}

static const char *change(const char *plan, const char *zone, int64_t credit, enum status expected)
{
    static struct change_args a;
    a = (struct change_args){ plan, zone, credit, 0, expected, "" };
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = run_change, .arg = &a };
    enum status s = fixture_submit(&f, &call.op);
    bool as_expected = s == expected || (expected == STATUS_BAD_FIELD && *a.err);
    ck_assert_msg(as_expected, "%d: %s", s, a.err);
    return a.err;
}

#define MONTH_US (INT64_C(30) * 24 * 3600 * 1000000)

START_TEST(test_a_subscription_includes_usage_each_month)
{
    change("{\"fee\":\"1.00\",\"included\":\"0.00001\",\"rollover_basis_points\":5000}", NULL, 0,
           STATUS_OK);
    ck_assert_int_eq(try_request(1, 100000, 1), STATUS_OK); /* 0.00001 is there, 25000 used */
    ck_assert_int_eq(try_request(1, 100000, 1), STATUS_NO_QUOTA);
    ck_assert_int_eq(try_request(1, 75000, 0), STATUS_OK);
    f.wall_us += MONTH_US; /* half of 75000 is carried on */
    ck_assert_int_eq(try_request(1, 137501, 1), STATUS_NO_QUOTA);
    ck_assert_int_eq(try_request(1, 137500, 5), STATUS_OK);
    ck_assert_int_eq(try_request(1, 25000, 1), STATUS_NO_QUOTA);
    ck_assert_int_eq(balance("unbilled"), 0);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM fund WHERE period IS NOT NULL"), 2);
    f.wall_us += 2 * MONTH_US;
    ck_assert_int_eq(try_request(1, 100001, 0), STATUS_NO_QUOTA);
    ck_assert_int_eq(try_request(1, 100000, 0), STATUS_OK);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(expired_atoms) FROM fund_balance"), 75000 + 12500);
    fixture_close(&f);
    fixture_open(&f); /* the month has begun already: nothing is included twice */
    ck_assert_int_eq(try_request(1, 100001, 0), STATUS_NO_QUOTA);
}
END_TEST

/* What is over expires when any organisation's month begins, and memory may then forget it. */
START_TEST(test_what_is_carried_on_outlives_the_month_of_another)
{
    int64_t other = fixture_project(&f, "other", INT64_MAX / 4, "month");
    change("{\"fee\":\"1.00\",\"included\":\"0.00001\",\"rollover_basis_points\":5000}", NULL, 0,
           STATUS_OK);
    ck_assert_int_eq(try_request(1, 100000, 1), STATUS_OK);
    f.wall_us += MONTH_US;
    fixture_request(&f, other, 1, 0);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(expired_atoms) FROM fund_balance"), 75000);
    fixture_project(&f, "third", 0, "month"); /* memory follows the rows */
    ck_assert_int_eq(try_request(1, 137501, 1), STATUS_NO_QUOTA);
    ck_assert_int_eq(try_request(1, 137500, 1), STATUS_OK);
}
END_TEST

START_TEST(test_months_are_the_contracts)
{
    change("{}", "Asia/Shanghai", -1, STATUS_OK);
    f.wall_us = INT64_C(1795880000000000); /* 2026-11-28T15:33:20Z */
    fixture_request(&f, project, 1, 0);
    f.wall_us = INT64_C(1796054400000000); /* 2026-11-30T16:00Z: December in Shanghai */
    fixture_request(&f, project, 1, 0);
    f.wall_us += 3600000000;
    fixture_request(&f, project, 1, 0);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM billing_period"), 2);
    ck_assert_int_eq(fixture_int(&f, "SELECT max(starts_us) FROM billing_period"),
                     INT64_C(1796054400000000));
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(requests) FROM usage_rollup WHERE period = 2"), 2);
    ck_assert_ptr_nonnull(
        strstr(change("{}", "Europe/Berlin", -1, STATUS_CONFLICT), "another zone"));
}
END_TEST

static const struct {
    const char *plan, *says;
} bad_plans[] = {
    { "{\"fee\":300}", "fee: " },
    { "{\"fee\":\"-1\"}", "fee: '-1' is not an amount" },
    { "{\"fee\":\"1.00\",\"fee_every\":\"week\"}", "neither month nor year" },
    { "{\"fee_every\":\"year\"}", "no effect without fee" },
    { "{\"rollover_basis_points\":1}", "no effect without included" },
    { "{\"minimun\":\"1.00\"}", "minimun" },
    { "{\"payment_days\":1000}", "payment_days" },
    { "{\"reserved\":[{\"text\":\"x\",\"hourly\":\"1\"}]}", "units" },
    { "{\"reserved\":[1]}", "reserved: each is an object" },
    { "{\"tax_category\":\"QQ\"}", "'QQ' is none of S, AA, Z" },
    { "{\"tax_category\":\"AE\",\"tax_basis_points\":1900}", "AE is without tax (reverse charge)" },
};

START_TEST(test_bad_plans_are_told)
{
    const char *said = change(bad_plans[_i].plan, NULL, -1, STATUS_BAD_FIELD);
    ck_assert_msg(strstr(said, bad_plans[_i].says) != NULL, "%s", said);
}
END_TEST

START_TEST(test_marks_come_and_go)
{
    struct marks m = { 0 };
    enum { COUNT = 3000 };
    for (int round = 0; round < 3; round++) {
        for (rid_t i = 1; i <= COUNT; i++)
            ck_assert(marks_put(&m, i * 64, &(struct draws){ .credit = i }));
        for (rid_t i = 1; i <= COUNT; i += 2)
            marks_drop(&m, i * 64);
        for (rid_t i = 1; i <= COUNT; i++) {
            const struct draws *d = marks_find(&m, i * 64);
            ck_assert_int_eq(d ? d->credit : 0, i % 2 ? 0 : i);
        }
        ck_assert_uint_eq(m.count, COUNT / 2);
        marks_drop(&m, 1); /* was never there */
        for (rid_t i = 2; i <= COUNT; i += 2)
            marks_drop(&m, i * 64);
        ck_assert_uint_eq(m.count, 0);
    }
    marks_free(&m);
}
END_TEST

/* ---- a hold that grows (running.h) --------------------------------------------------------- */

static enum status hold_more(struct ledger_hold *h, int64_t leg, int64_t atoms)
{
    struct ledger_more m = { .op.kind = LEDGER_MORE,
                             .rid = h->rid,
                             .project = h->project,
                             .model = h->model,
                             .leg = leg,
                             .held = h->hold,
                             .more = { atoms } };
    enum status s = fixture_submit(&f, &m.op);
    if (s == STATUS_OK)
        h->hold.atoms += atoms;
    return s;
}

START_TEST(test_the_parts_of_a_hold_draw_on_funds_in_order)
{
    no_credit();
    FUND("kind, amount_atoms", "'prepaid', 1000000");
    struct ledger_hold h = fixture_hold_of(&f, project, 500000);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    FUND("kind, amount_atoms", "'promo', 250000");
    ck_assert_int_eq(hold_more(&h, 1, 500000), STATUS_OK); /* all of promo, half of the rest */
    ck_assert_int_eq(hold_more(&h, 2, 250001), STATUS_NO_QUOTA);
    ck_assert_int_eq(hold_more(&h, 2, 250000), STATUS_OK);
    ck_assert_int_eq(hold_more(&h, 3, 1), STATUS_NO_QUOTA);
    struct ledger_settle t = fixture_settle_of(&h, 44, 0); /* 25000 atoms each */
    ck_assert_int_eq(fixture_settle(&f, &t), STATUS_OK);
    ck_assert_int_eq(drawn(2), 250000);
    ck_assert_int_eq(drawn(1), 850000);
    ck_assert_int_eq(try_request(1, 150000, 6), STATUS_OK); /* what was left is free */
    ck_assert_int_eq(try_request(1, 1, 0), STATUS_NO_QUOTA);
}
END_TEST

START_TEST(test_a_part_on_funds_behind_one_on_credit)
{
    struct ledger_hold h = fixture_hold_of(&f, project, 250000);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    FUND("kind, amount_atoms", "'promo', 250000");
    ck_assert_int_eq(hold_more(&h, 1, 500000), STATUS_OK);
    struct ledger_settle t = fixture_settle_of(&h, 20, 0);
    ck_assert_int_eq(fixture_settle(&f, &t), STATUS_OK);
    ck_assert_int_eq(drawn(1), 250000);
    ck_assert_int_eq(balance("unbilled"), 250000);
}
END_TEST

/* One request draws on DRAWS_MAX funds at most: what would need another is refused whole. */
START_TEST(test_a_part_on_too_many_funds)
{
    no_credit();
    for (int i = 0; i < DRAWS_MAX; i++)
        FUND("kind, amount_atoms", "'promo', 25000");
    struct ledger_hold h = fixture_hold_of(&f, project, 25000 * DRAWS_MAX);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    FUND("kind, amount_atoms", "'prepaid', 25000");
    ck_assert_int_eq(hold_more(&h, 1, 25000), STATUS_NO_QUOTA);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM hold_more"), 0);
    struct ledger_settle t = fixture_settle_of(&h, DRAWS_MAX, 0);
    ck_assert_int_eq(fixture_settle(&f, &t), STATUS_OK);
    ck_assert_int_eq(try_request(1, 25000, 1), STATUS_OK);
}
END_TEST

/* What a batch that fails had added is as if it never was. */
START_TEST(test_more_that_is_taken_back)
{
    struct fund funds[] = { { .id = 7, .to_us = INT64_MAX, .left = 100 },
                            { .id = 8, .to_us = INT64_MAX, .left = 100 } };
    struct purses purses = { .marks = { .slots = NULL } };
    struct purse purse = { .organization = 1, .funds = funds, .fund_count = 2, .credit_limit = 50 };
    struct draws first, second, before;
    ck_assert_int_eq(purse_plan(&purse, 1, 60, 0, &first), STATUS_OK);
    ck_assert_int_eq(purse_hold(&purses, &purse, 1000, &first), STATUS_OK);
    ck_assert_int_eq(purse_plan(&purse, 1, 160, 0, &second), STATUS_OK);
    ck_assert_int_eq(purse_hold_more(&purses, &purse, 1000, 60, &second, &before), STATUS_OK);
    ck_assert_int_eq(funds[0].left + funds[1].left, 0);
    ck_assert_int_eq(purse.credit_held, 20);
    purse_unhold_more(&purses, &purse, 1000, &second, &before);
    ck_assert_int_eq(funds[0].left, 40);
    ck_assert_int_eq(funds[1].left, 100);
    ck_assert_int_eq(purse.credit_held, 0);
    purse_unhold(&purses, &purse, 1000, 60);
    ck_assert_int_eq(funds[0].left, 100);
    marks_free(&purses.marks);
}
END_TEST

Suite *funds_suite(void)
{
    Suite *s = suite_create("funds");
    TCase *t = tcase_create("store");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_prepaid_pays_what_it_has);
    tcase_add_test(t, test_the_order_of_drawing);
    tcase_add_test(t, test_one_request_over_several_funds);
    tcase_add_test(t, test_a_fund_for_one_model_and_one_time);
    tcase_add_test(t, test_holds_earmark);
    tcase_add_test(t, test_credit_has_a_limit);
    tcase_add_test(t, test_a_contract_begins_at_its_time);
    tcase_add_test(t, test_a_start_remembers_what_was_drawn);
    tcase_add_test(t, test_a_subscription_includes_usage_each_month);
    tcase_add_test(t, test_what_is_carried_on_outlives_the_month_of_another);
    tcase_add_test(t, test_months_are_the_contracts);
    tcase_add_test(t, test_the_parts_of_a_hold_draw_on_funds_in_order);
    tcase_add_test(t, test_a_part_on_funds_behind_one_on_credit);
    tcase_add_test(t, test_a_part_on_too_many_funds);
    tcase_add_loop_test(t, test_bad_plans_are_told, 0, sizeof bad_plans / sizeof *bad_plans);
    suite_add_tcase(s, t);
    t = tcase_create("marks");
    tcase_add_test(t, test_marks_come_and_go);
    tcase_add_test(t, test_more_that_is_taken_back);
    suite_add_tcase(s, t);
    return s;
}
