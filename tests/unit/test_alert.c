/* tests/unit/test_alert.c -- money that runs low: each crossing is recorded once, whatever comes twice,
 * and waits for its webhooks until that is noted. */
#include "billing/alert.h"
#include "billing/alert_due.h"
#include "billing/fund.h"
#include "billing/posting.h"
#include "conf/catalog_alerts.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include "gen/unit_suites.h"

#define UNIT  INT64_C(10000000000)
#define INPUT INT64_C(25000) /* of one token */
#define MONTH (INT64_C(31) * 86400 * 1000000)
#define EVERY ((1u << ALERT_TYPE_COUNT) - 1)
#define RETRY INT64_C(5000000)
#define NONE  INT64_MIN

static struct fixture f;
static int64_t project;
static struct db *reader;
static const char *const only_acme[] = { "acme", NULL };
static struct catalog_webhook hooks[] = {
    { .name = "all", .url = "", .types = EVERY },
    { .name = "stops", .url = "", .types = 1u << ALERT_BUDGET_STOP, .organizations = only_acme },
};
static const struct catalog_alerts alerts = { .thresholds = { 50, 80, 100 },
                                              .threshold_count = 3,
                                              .retry_ms = RETRY / 1000,
                                              .attempts = 3,
                                              .webhooks = hooks,
                                              .webhook_count = 2 };
static _Atomic int recorded;

static void on_recorded(void *arg)
{
    (void)arg;
    recorded++;
}

static enum status run_want(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    ledger_want_alerts(f.ledger, call->arg, on_recorded, NULL);
    return STATUS_OK;
}

static void call_ledger(enum status (*run)(struct ledger_call *, struct db *, int64_t),
                        const void *arg)
{
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = run, .arg = (void *)(uintptr_t)arg };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
}

static void want(const struct catalog_alerts *a)
{
    call_ledger(run_want, a);
}

static enum status run_sql(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)now_us;
    struct db_stmt *s = db_prepare(db, call->arg);
    enum status status = s ? db_run(s) : db_status(db);
    return status ? status : ledger_reload_projects(f.ledger);
}

static enum status run_nothing(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call, (void)db, (void)now_us;
    return STATUS_OK;
}

/* What a change makes an alert is recorded by the next batch, which comes by itself. */
static void administer(const char *sql)
{
    call_ledger(run_sql, sql);
    call_ledger(run_nothing, NULL);
}

static void setup(void)
{
    fixture_init(&f);
    fixture_catalog(&f);
    project = fixture_project(&f, "acme", 100 * INPUT, "total");
    recorded = 0;
    reader = fixture_reader(&f);
    want(&alerts);
}

static void teardown(void)
{
    db_close(reader);
    fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_free(&f);
}

static void teardown_lie(void)
{
    db_close(reader);
    fixture_free(&f);
}

static enum status spend(int64_t tokens)
{
    struct ledger_hold h = fixture_hold_of(&f, project, tokens * INPUT);
    enum status s = fixture_hold(&f, &h);
    if (s)
        return s;
    struct ledger_settle t = fixture_settle_of(&h, (uint64_t)tokens, 0);
    return fixture_settle(&f, &t);
}

static int64_t count(const char *where)
{
    char sql[200];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM alert WHERE %s", where);
    return fixture_int(&f, sql);
}

/* ---- what is recorded ---------------------------------------------------------------------- */

START_TEST(test_nobody_wants_to_know)
{
    want(NULL);
    ck_assert_int_eq(spend(100), STATUS_OK);
    ck_assert_int_eq(spend(1), STATUS_NO_QUOTA);
    ck_assert_int_eq(count("1"), 0);
    want(&alerts); /* who asks later is told what is so now */
    ck_assert_int_eq(count("threshold > 0"), 3);
}
END_TEST

START_TEST(test_each_threshold_once)
{
    ck_assert_int_eq(spend(49), STATUS_OK);
    ck_assert_int_eq(count("1"), 0);
    ck_assert_int_eq(spend(1), STATUS_OK);
    ck_assert_int_eq(count("threshold = 50 AND spent_atoms = 50 * 25000"), 1);
    ck_assert_int_eq(spend(1), STATUS_OK);
    ck_assert_int_eq(count("1"), 1);
    ck_assert_int_eq(recorded, 1);
    ck_assert_int_eq(spend(49), STATUS_OK); /* two at once */
    ck_assert_int_eq(count("threshold IN (80, 100) AND spent_atoms = 100 * 25000"), 2);
    ck_assert_int_eq(recorded, 2);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM alert_delivery WHERE webhook = 'all'"),
                     3);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM alert_delivery"), 3);
}
END_TEST

START_TEST(test_a_restart_records_nothing_again)
{
    ck_assert_int_eq(spend(80), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        fixture_close(&f);
        fixture_open(&f);
        want(&alerts);
        ck_assert_int_eq(spend(1), STATUS_OK);
        ck_assert_int_eq(count("1"), 2);
    }
}
END_TEST

/* Killed before it was recorded: the start looks at what there is. */
START_TEST(test_a_start_finds_what_was_not_recorded)
{
    want(NULL);
    ck_assert_int_eq(spend(80), STATUS_OK);
    fixture_close(&f);
    fixture_open(&f);
    want(&alerts);
    ck_assert_int_eq(count("threshold IN (50, 80)"), 2);
}
END_TEST

START_TEST(test_another_limit)
{
    ck_assert_int_eq(spend(60), STATUS_OK);
    ck_assert_int_eq(count("1"), 1);
    administer("UPDATE project SET budget_atoms = 2000 * 25000");
    ck_assert_int_eq(count("1"), 1);
    administer("UPDATE project SET budget_atoms = 75 * 25000"); /* no request is needed */
    ck_assert_int_eq(count("limit_atoms = 75 * 25000"), 2);
    administer("UPDATE project SET budget_atoms = 100 * 25000"); /* it was that before */
    ck_assert_int_eq(count("1"), 3);
}
END_TEST

START_TEST(test_another_month)
{
    administer("UPDATE project SET budget_period = 'month'");
    ck_assert_int_eq(spend(90), STATUS_OK);
    ck_assert_int_eq(count("1"), 2);
    f.wall_us += MONTH;
    administer(
        "UPDATE project SET display_name = 'x'"); /* looks at everybody, in a month without usage */
    ck_assert_int_eq(count("1"), 2);
    ck_assert_int_eq(spend(90), STATUS_OK);
    ck_assert_int_eq(count("1"), 4);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(DISTINCT round) FROM alert"), 2);
}
END_TEST

START_TEST(test_a_refusal_once)
{
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(spend(101), STATUS_NO_QUOTA);
    ck_assert_int_eq(count("type = 'budget.hard_stop' AND threshold = 0 AND spent_atoms = 0"), 1);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM alert_delivery"), 2);
    ck_assert_int_eq(spend(1), STATUS_OK);
    administer("UPDATE project SET budget_atoms = 50 * 25000");
    ck_assert_int_eq(spend(50), STATUS_NO_QUOTA);
    ck_assert_int_eq(count("type = 'budget.hard_stop'"), 2);
}
END_TEST

START_TEST(test_only_their_organization)
{
    int64_t acme = project;
    project = fixture_project(&f, "other", 10 * INPUT, "total");
    ck_assert_int_eq(spend(11), STATUS_NO_QUOTA);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM alert_delivery WHERE webhook = 'all'"),
                     1);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM alert_delivery"), 1);
    project = acme;
}
END_TEST

START_TEST(test_credit)
{
    administer("INSERT INTO contract (organization, starts_us, credit_atoms, created_us)"
               " VALUES (1, 1, 40 * 25000, 1)");
    ck_assert_int_eq(spend(20), STATUS_OK);
    ck_assert_int_eq(count("type = 'credit.threshold_reached' AND threshold = 50"), 1);
    ck_assert_int_eq(spend(21), STATUS_NO_QUOTA);
    ck_assert_int_eq(count("type = 'credit.hard_stop' AND spent_atoms = 20 * 25000"), 1);
    ck_assert_int_eq(spend(20), STATUS_OK);
    ck_assert_int_eq(count("type = 'credit.threshold_reached'"), 3);
}
END_TEST

/* ---- a batch of several ---- */

static sem_t batch_may_end, in_the_batch, ended;

static enum status run_waits(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call, (void)db, (void)now_us;
    sem_post(&in_the_batch);
    while (sem_wait(&batch_may_end))
        ;
    return STATUS_OK;
}

static enum status run_pays(struct ledger_call *call, struct db *db, int64_t now_us)
{
    const struct transfer t = { .kind = "payment",
                                .organization = 1,
                                .debit = ACCOUNT_CASH,
                                .credit = ACCOUNT_UNBILLED,
                                .atoms = 30 * INPUT };
    (void)call;
    enum status s = posting_transfer(db, &t, now_us);
    return s ? s : ledger_reload_projects(f.ledger);
}

static void on_ended(struct ledger_op *op)
{
    (void)op;
    sem_post(&ended);
}

/* What is owed is told by the rows: memory learns of the payment only after the commit. */
START_TEST(test_a_payment_in_the_same_batch)
{
    administer("INSERT INTO contract (organization, starts_us, credit_atoms, created_us)"
               " VALUES (1, 1, 80 * 25000, 1)");
    ck_assert_int_eq(spend(35), STATUS_OK);
    struct ledger_hold h = fixture_hold_of(&f, project, 10 * INPUT);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    struct ledger_call first = { { .kind = LEDGER_CALL, .done = on_ended }, .run = run_waits };
    struct ledger_call pays = { { .kind = LEDGER_CALL, .done = on_ended }, .run = run_pays };
    struct ledger_settle settles = fixture_settle_of(&h, 10, 0);
    settles.op.done = on_ended;
    sem_init(&batch_may_end, 0, 0);
    sem_init(&in_the_batch, 0, 0);
    sem_init(&ended, 0, 0);
    ledger_submit(f.ledger, &first.op);
    while (sem_wait(&in_the_batch))
        ;
    ledger_submit(f.ledger, &pays.op); /* the next batch has both */
    ledger_submit(f.ledger, &settles.op);
    sem_post(&batch_may_end);
    for (int i = 0; i < 3; i++)
        while (sem_wait(&ended))
            ;
    ck_assert_int_eq(settles.op.status, STATUS_OK);
    ck_assert_int_eq(count("type LIKE 'credit%'"), 0); /* 35 + 10 - 30 of 80 */
    ck_assert_int_eq(spend(25), STATUS_OK);
    ck_assert_int_eq(count("type LIKE 'credit%' AND threshold = 50 AND spent_atoms = 40 * 25000"),
                     1);
}
END_TEST

static enum status run_fund(struct ledger_call *call, struct db *db, int64_t now_us)
{
    const struct fund_new fund = { .organization = 1,
                                   .kind = "prepaid",
                                   .model = "",
                                   .note = "",
                                   .to_us = INT64_MAX,
                                   .amount = { *(const int64_t *)call->arg } };
    int64_t id;
    enum status s = fund_add(db, &fund, now_us, &id);
    return s ? s : ledger_reload_projects(f.ledger);
}

static void top_up(int64_t tokens)
{
    int64_t atoms = tokens * INPUT;
    call_ledger(run_fund, &atoms);
    call_ledger(run_nothing, NULL);
}

START_TEST(test_prepaid)
{
    administer("UPDATE project SET budget_atoms = 1000000 * 25000");
    administer("INSERT INTO contract (organization, starts_us, credit_atoms, created_us)"
               " VALUES (1, 1, 0, 1)");
    top_up(40);
    ck_assert_int_eq(spend(19), STATUS_OK);
    ck_assert_int_eq(count("1"), 0);
    ck_assert_int_eq(spend(1), STATUS_OK);
    ck_assert_int_eq(count("threshold = 50 AND round = 1 AND spent_atoms = 20 * 25000"), 1);
    ck_assert_int_eq(spend(21), STATUS_NO_QUOTA);
    ck_assert_int_eq(count("type = 'prepaid.hard_stop' AND round = 1"), 1);
    top_up(30); /* 50 are left: more than it, so nothing of it is used */
    ck_assert_int_eq(spend(34), STATUS_OK);
    ck_assert_int_eq(count("1"), 2);
    ck_assert_int_eq(spend(1), STATUS_OK);
    ck_assert_int_eq(count("threshold = 50 AND round = 2 AND spent_atoms = 15 * 25000"), 1);
    ck_assert_int_eq(spend(15), STATUS_OK);
    ck_assert_int_eq(count("round = 2"), 3);
    top_up(100);
    ck_assert_int_eq(count("round = 3"), 0);
}
END_TEST

/* ---- what the audit sees of it ------------------------------------------------------------- */

static const char *const lies[] = {
    "UPDATE alert SET spent_atoms = spent_atoms + 1 WHERE type LIKE 'budget%' AND threshold = 50",
    "UPDATE alert SET spent_atoms = spent_atoms + 1 WHERE type LIKE 'credit%' AND threshold = 50",
    "UPDATE alert SET spent_atoms = spent_atoms + 1 WHERE type LIKE 'prepaid%' AND threshold = 50",
    "UPDATE alert SET threshold = 90 WHERE threshold = 50 AND type LIKE 'budget%'",
    "UPDATE alert SET limit_atoms = limit_atoms - 1 WHERE type LIKE 'prepaid%' AND threshold = 50",
    "UPDATE alert SET owner = 99 WHERE type LIKE 'budget%' AND threshold = 50",
    "UPDATE alert_delivery SET state = 'delivered' WHERE alert = 1",
};

START_TEST(test_a_lie_is_seen)
{
    administer("INSERT INTO contract (organization, starts_us, credit_atoms, created_us)"
               " VALUES (1, 1, 40 * 25000, 1)");
    top_up(40);
    ck_assert_int_eq(spend(60), STATUS_OK);
    ck_assert_int_eq(count("threshold = 50"), 3);
    fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_tamper(&f, "DROP TRIGGER alert_stays_u");
    fixture_tamper(&f, lies[_i]);
    ck_assert_int_gt(fixture_audit_problems(&f), 0);
}
END_TEST

/* ---- what is delivered --------------------------------------------------------------------- */

struct noting {
    struct alert_due due;
    enum alert_outcome outcome;
    bool given_up;
};

static enum status run_note(struct ledger_call *call, struct db *db, int64_t now_us)
{
    struct noting *n = call->arg;
    return alert_note(db, &n->due, &alerts, n->outcome, "it was closed", now_us, &n->given_up);
}

/* Notes it of what is next for the webhook; whether it was the last attempt. */
static bool note(const char *webhook, enum alert_outcome outcome)
{
    struct noting n = { .outcome = outcome };
    ck_assert_int_eq(alert_next(reader, webhook, &n.due), STATUS_OK);
    call_ledger(run_note, &n);
    return n.given_up;
}

static int64_t due_in_us(const char *webhook)
{
    struct alert_due due;
    enum status s = alert_next(reader, webhook, &due);
    return s ? NONE : due.due_us - f.wall_us;
}

/* The clock stands still here, and stamps are a little ahead of it. */
static bool is_due(const char *webhook)
{
    int64_t in_us = due_in_us(webhook);
    return in_us != NONE && in_us < 1000;
}

START_TEST(test_it_waits_until_it_is_noted)
{
    int64_t waiting;
    ck_assert_int_eq(due_in_us("all"), NONE);
    ck_assert_int_eq(spend(50), STATUS_OK);
    ck_assert(is_due("all"));
    ck_assert_int_eq(due_in_us("stops"), NONE);
    ck_assert_int_eq(alert_waiting(reader, "all", &waiting), STATUS_OK);
    ck_assert_int_eq(waiting, 1);
    ck_assert(!note("all", ALERT_FAILED));
    ck_assert(due_in_us("all") > RETRY - 1000 && due_in_us("all") < RETRY + 1000);
    ck_assert(!note("all", ALERT_DELIVERED));
    ck_assert_int_eq(due_in_us("all"), NONE);
    ck_assert_int_eq(fixture_int(&f, "SELECT attempts FROM alert_delivery"), 2);
}
END_TEST

START_TEST(test_attempts_end)
{
    ck_assert_int_eq(spend(50), STATUS_OK);
    ck_assert(!note("all", ALERT_FAILED));
    ck_assert(!note("all", ALERT_FAILED));
    ck_assert(due_in_us("all") > 4 * RETRY - 1000);
    ck_assert(note("all", ALERT_FAILED));
    ck_assert_int_eq(due_in_us("all"), NONE);
    ck_assert_int_eq(fixture_int(&f, "SELECT state = 'given_up' FROM alert_delivery"), 1);
}
END_TEST

START_TEST(test_refused_for_good)
{
    ck_assert_int_eq(spend(50), STATUS_OK);
    ck_assert(note("all", ALERT_REFUSED));
    ck_assert_int_eq(due_in_us("all"), NONE);
}
END_TEST

START_TEST(test_waits_grow_and_are_bounded)
{
    int64_t before = 0;
    for (int64_t n = 1; n < 60; n++) {
        int64_t wait = alert_wait_us(&alerts, n);
        ck_assert(wait >= before && wait <= INT64_C(12) * 3600 * 1000000);
        before = wait;
    }
    ck_assert_int_eq(alert_wait_us(&alerts, 1), RETRY);
    ck_assert_int_eq(alert_wait_us(&alerts, 2), 4 * RETRY);
    ck_assert_int_eq(before, INT64_C(12) * 3600 * 1000000);
}
END_TEST

static enum status run_redeliver(struct ledger_call *call, struct db *db, int64_t now_us)
{
    int64_t deliveries;
    enum status s = alert_redeliver(db, 1, call->arg, now_us, &deliveries);
    ck_assert(s || deliveries == 1);
    return s;
}

START_TEST(test_once_more)
{
    ck_assert_int_eq(spend(50), STATUS_OK);
    ck_assert(!note("all", ALERT_DELIVERED));
    call_ledger(run_redeliver, NULL);
    ck_assert(is_due("all"));
    call_ledger(run_redeliver, "stops"); /* who was not told */
    ck_assert(is_due("stops"));
    struct ledger_call none = { .op.kind = LEDGER_CALL, .run = run_redeliver };
    administer("DELETE FROM alert_delivery");
    ck_assert_int_eq(fixture_submit(&f, &none.op), STATUS_NOT_FOUND);
}
END_TEST

START_TEST(test_the_event)
{
    char from[16] = "";
    struct alert_due due;
    struct buf body, again;
    buf_init(&body, 4096);
    buf_init(&again, 4096);
    ck_assert_int_eq(spend(80), STATUS_OK);
    ck_assert_int_eq(alert_next(reader, "all", &due), STATUS_OK);
    ck_assert_int_eq(alert_body(reader, due.alert, &body), STATUS_OK);
    ck_assert_int_eq(alert_body(reader, due.alert, &again), STATUS_OK);
    ck_assert_str_eq(body.at, again.at);
    snprintf(from, sizeof from, "%.7s", body.at);
    ck_assert_str_eq(from, "{\"id\":\"");
    ck_assert_ptr_nonnull(strstr(body.at, due.id));
    ck_assert_ptr_nonnull(strstr(body.at,
                                 "\"data\":{\"organization\":\"acme\",\"project\":\"acme\","
                                 "\"percent\":50,\"limit\":\"0.00025\",\"spent\":"
                                 "\"0.0002\",\"currency\":\"USD\",\"period_start\":null}}"));
    ck_assert_int_eq(alert_body(reader, 99, &again), STATUS_NOT_FOUND);
    buf_free(&body);
    buf_free(&again);
}
END_TEST

Suite *alert_suite(void)
{
    const TTest *const tests[] = {
        test_nobody_wants_to_know,
        test_each_threshold_once,
        test_a_restart_records_nothing_again,
        test_a_start_finds_what_was_not_recorded,
        test_another_limit,
        test_another_month,
        test_a_refusal_once,
        test_only_their_organization,
        test_credit,
        test_a_payment_in_the_same_batch,
        test_prepaid,
        test_it_waits_until_it_is_noted,
        test_attempts_end,
        test_refused_for_good,
        test_waits_grow_and_are_bounded,
        test_once_more,
        test_the_event,
    };
    Suite *s = suite_create("alert");
    TCase *t = tcase_create("alert");
    tcase_add_checked_fixture(t, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(t, tests[i]);
    suite_add_tcase(s, t);
    t = tcase_create("audit");
    tcase_add_checked_fixture(t, setup, teardown_lie);
    tcase_add_loop_test(t, test_a_lie_is_seen, 0, sizeof lies / sizeof *lies);
    suite_add_tcase(s, t);
    return s;
}
