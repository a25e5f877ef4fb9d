/* tests/torture/test_billing.c -- opening the store, a batch, and finance's questions,
 * with each allocation failing in turn. */
#include "base/cleanup.h"
#include "billing/alert.h"
#include "billing/document.h"
#include "conf/catalog_alerts.h"
#include "gen/torture_suites.h"
#include "tests/helpers/books_fixture.h"
#include "tests/helpers/fault.h"
#include <check.h>

static struct fixture f;
static int64_t project;

#define MILLION INT64_C(1000000)

static void setup(void)
{
    fixture_init(&f);
    fixture_catalog(&f);
    project = fixture_project(&f, "acme", MONEY_ATOMS_MAX, "month");
    fixture_request(&f, project, 1234, 567);
}

static void teardown(void)
{
    fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_free(&f);
}

/* SQLite does without some of what it asks for, so a failed allocation may still end well. */
static bool ended_well(enum status s)
{
    bool expected = s == STATUS_OK || (fault_fired() && s == STATUS_NO_MEMORY);
    ck_assert_msg(expected, "status %s", status_info(s)->name);
    return s == STATUS_OK;
}

START_TEST(test_open_and_recover)
{
    struct ledger_hold h = fixture_hold_of(&f, project, 1000);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    fixture_close(&f);
    for (unsigned nth = 0; fault_next(&nth);) {
        char err[256] = "";
        enum status s = fixture_try_open(&f, err);
        fault_arm(0);
        ck_assert_msg(s == STATUS_OK || (fault_fired() && err[0]), "%s: %s", status_info(s)->name,
                      err);
        if (s == STATUS_OK)
            fixture_close(&f);
    }
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement"), 2);
}
END_TEST

/* ---- a batch, on the ledger's own thread --------------------------------------------------- */

static unsigned armed;
static bool fired;

/* Another limit each time, a hundredth of which is spent: an alert is recorded without memory, too. */
static enum status arm(struct ledger_call *call, struct db *db, int64_t now_us)
{
    static struct catalog_webhook everybody = { .name = "all",
                                                .types = (1u << ALERT_TYPE_COUNT) - 1 };
    static const struct catalog_alerts alerts = {
        .thresholds = { 1 }, .threshold_count = 1, .webhooks = &everybody, .webhook_count = 1
    };
    static const char sql[] = "UPDATE project SET budget_atoms = ?1";
    (void)call;
    (void)now_us;
    struct db_stmt *s = db_prepare(db, sql);
    db_int(s, 1, 1000 * MILLION + armed);
    enum status status = db_run(s);
    ledger_want_alerts(f.ledger, &alerts, NULL, NULL);
    if (!status)
        status = ledger_reload_projects(f.ledger);
    fault_arm(armed);
    return status;
}

static enum status disarm(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call;
    (void)db;
    (void)now_us;
    fired = fault_fired();
    fault_arm(0);
    return STATUS_OK;
}

static enum status call(enum status (*run)(struct ledger_call *, struct db *, int64_t))
{
    struct ledger_call c = { .op.kind = LEDGER_CALL, .run = run };
    return fixture_submit(&f, &c.op);
}

/* A ledger that was just opened still allocates: pages, statements of a first time. */
START_TEST(test_a_batch_without_memory_is_refused_or_kept)
{
    int64_t settled = 1, failures = 0;
    do {
        fixture_close(&f);
        fixture_open(&f);
        armed++;
        enum status s = call(arm); /* its own batch may be the one without memory */
        ck_assert(s == STATUS_OK || s == STATUS_STORE_FAILED);
        struct ledger_hold h = fixture_hold_of(&f, project, 350000);
        s = fixture_hold(&f, &h);
        ck_assert(s == STATUS_OK || s == STATUS_STORE_FAILED);
        if (s == STATUS_OK) {
            struct ledger_settle t = fixture_settle_of(&h, 10, 1);
            ck_assert_int_eq(fixture_settle(&f, &t), STATUS_OK); /* kept until it is written */
            settled++;
        }
        while (call(disarm) != STATUS_OK)
            ;
        failures += fired;
        ck_assert(ledger_healthy(f.ledger));
    } while (fired);
    ck_assert_int_gt(failures, 5);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement"), settled);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM alert"),
                     fixture_int(&f, "SELECT count(*) FROM alert_delivery"));
    ck_assert_int_eq(fixture_int(&f, "SELECT max(limit_atoms) FROM alert"), 1000 * MILLION + armed);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM request_open"), settled);
}
END_TEST

/* ---- finance ------------------------------------------------------------------------------- */

static const struct seller seller = { "S", "A", "T", "MG", 600, 2 };

static enum status ask_usage(struct db *db, json_t **ret)
{
    const struct usage_query q = { .from_us = 0, .to_us = f.wall_us, .project = "acme" };
    return report_usage(db, &q, ret);
}

static enum status ask_invoice(struct db *db, json_t **ret)
{
    return document_of_month(db, "acme", "2026-11", &seller, f.wall_us, ret);
}

static enum status ask_audit(struct db *db, json_t **ret)
{
    return audit_run(db, f.wall_us, ret);
}

static enum status (*const questions[])(struct db *db, json_t **ret) = { ask_usage, ask_invoice,
                                                                         ask_audit };

START_TEST(test_questions)
{
    for (unsigned nth = 0; fault_next(&nth);) {
        fault_arm(0);
        struct db *db = fixture_reader(&f);
        AUTO(json_decref_ptr) json_t *answer = NULL;
        fault_arm(nth);
        enum status s = questions[_i](db, &answer);
        fault_arm(0);
        ck_assert_int_eq(ended_well(s), answer != NULL);
        db_close(db);
    }
}
END_TEST

Suite *billing_suite(void)
{
    Suite *s = suite_create("billing");
    TCase *t = tcase_create("billing");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_open_and_recover);
    tcase_add_test(t, test_a_batch_without_memory_is_refused_or_kept);
    tcase_add_loop_test(t, test_questions, 0, sizeof questions / sizeof questions[0]);
    suite_add_tcase(s, t);
    return s;
}
