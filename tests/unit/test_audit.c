/* tests/unit/test_audit.c -- the audit finds each kind of damage, and nothing else. */
#include "base/cleanup.h"
#include "billing/document.h"
#include "billing/payout.h"
#include "billing/recount.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>

#define UNIT   MONEY_ATOMS_PER_UNIT
#define DAY_US (INT64_C(24) * 3600 * 1000000)

static struct fixture f;

static enum status issue(struct ledger_call *call, struct db *db, int64_t now_us)
{
    static const struct seller seller = { "S", "A", "T", "MG", 600, 2 };
    AUTO(json_decref_ptr) json_t *document = NULL;
    return document_issue(db, call->arg, "2026-11", &seller, now_us, &document);
}

static enum status share_it(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call;
    return payout_rule(db, "base/", "beta", 2000, now_us);
}

/* Two projects, three batches, a failure, an open request and two issued invoices. */
static void setup(void)
{
    static char first[] = "acme", second[] = "beta";
    fixture_init(&f);
    fixture_catalog(&f);
    int64_t acme = fixture_project(&f, first, 1000 * UNIT, "month");
    int64_t beta = fixture_project(&f, second, 1000 * UNIT, "total");
    fixture_request(&f, acme, 1234, 567);
    fixture_request(&f, acme, 400000, 0);
    fixture_request(&f, beta, 10, 0);
    struct ledger_hold h = fixture_hold_of(&f, acme, 250000);
    struct ledger_settle s = fixture_settle_of(&h, 0, 0);
    s.outcome = OUTCOME_FAILED_PRE;
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
    f.wall_us += 20 * DAY_US;
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = share_it };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    call = (struct ledger_call){ .op.kind = LEDGER_CALL, .run = issue, .arg = first };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    call.arg = second;
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    h = fixture_hold_of(&f, beta, 250000);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
}

static void teardown(void)
{
    fixture_free(&f);
}

START_TEST(test_clean_while_the_daemon_works)
{
    fixture_audit_clean(&f);
    struct db *db = fixture_reader(&f);
    json_t *result = NULL;
    ck_assert_int_eq(audit_run(db, f.wall_us, &result), STATUS_OK);
    const json_t *checks = json_object_get(result, "checks");
    ck_assert_uint_eq(json_array_size(checks), 19);
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(checks, 5), "rows")), 5);
    fixture_request(&f, 1, 10, 0); /* no lock of the audit is left */
    json_decref(result);
    db_close(db);
}
END_TEST

START_TEST(test_an_old_hold_is_found)
{
    f.wall_us += DAY_US + 1;
    ck_assert_int_eq(fixture_audit_problems(&f), 1);
}
END_TEST

#define WITHOUT(trigger) "DROP TRIGGER " trigger ";"
#define SETTLED(rest)    WITHOUT("settlement_stays_u") "UPDATE settlement SET " rest
#define ENTRY(rest)      WITHOUT("ledger_entry_stays_u") "UPDATE ledger_entry SET " rest
#define INVOICE(rest)    WITHOUT("document_stays_u") "UPDATE document SET " rest

static const struct {
    const char *label, *sql;
} damage[] = {
    { "amount", SETTLED("amount_atoms = amount_atoms - 1 WHERE rid = 1000") },
    { "line qty", SETTLED("lines = '[[1,1235,30850000],[4,567,56700000]]' WHERE rid = 1000") },
    { "line atoms", SETTLED("lines = '[[1,1234,30850001],[4,567,56699999]]' WHERE rid = 1000") },
    { "line meter", SETTLED("lines = '[[2,1234,30850000],[4,567,56700000]]' WHERE rid = 1000") },
    { "no lines", SETTLED("lines = '[]' WHERE rid = 1000") },
    { "bad lines", SETTLED("lines = '[[1,1234,30850000],[4,567,56700000]]]' WHERE rid = 1000") },
    { "text lines", SETTLED("lines = 'none' WHERE rid = 1000") },
    { "project", SETTLED("project = 2 WHERE rid = 1000") },
    { "key", SETTLED("key = 7 WHERE rid = 1000") },
    { "price", SETTLED("price_version = 9 WHERE rid = 1000") },
    { "model", SETTLED("model = 2 WHERE rid = 1000") },
    { "hour", SETTLED("settled_us = settled_us + 3600000000 WHERE rid = 1000") },
    { "another batch", SETTLED("settled_us = settled_us + 1 WHERE rid = 1000") },
    { "posted in another batch",
      WITHOUT("ledger_tx_stays_u") "UPDATE ledger_tx SET at_us = at_us + 1 WHERE tx = 1" },
    { "charged failure", SETTLED("outcome = 'failed_pre' WHERE rid = 1000") },
    { "lost settlement", WITHOUT("settlement_stays_d") "DELETE FROM settlement WHERE rid = 1000" },
    { "lost failure", WITHOUT("settlement_stays_d") "DELETE FROM settlement WHERE rid = 1003" },
    { "lost hold", "PRAGMA foreign_keys = OFF;" WITHOUT(
                       "request_open_stays_d") "DELETE FROM request_open WHERE rid = 1000" },
    { "small hold",
      WITHOUT(
          "request_open_stays_u") "UPDATE request_open SET hold_atoms = 87549999 WHERE rid = 1000" },
    { "leg of nothing",
      "PRAGMA foreign_keys = OFF;INSERT INTO hold_more VALUES (77, 1, 5, 0, NULL)" },
    { "late checkpoint",
      "INSERT INTO checkpoint SELECT rid, 0, 1, 1, 3, 0, '[]', 0 FROM settlement" },
    { "unknown boot", WITHOUT("request_open_stays_u") "UPDATE request_open SET boot = 5" },
    { "floor", "UPDATE boot SET open_floor = 100000" },
    { "key of nothing", "INSERT INTO idempotency VALUES (77, 1, zeroblob(32), zeroblob(32), 0)" },
    { "key of another project",
      "INSERT INTO idempotency VALUES (1000, 2, zeroblob(32), zeroblob(32), 0)" },
    { "boots", "INSERT INTO boot VALUES (3, 0, 0, 0, 0)" },
    { "rollup qty", "UPDATE usage_rollup SET qty = qty + 1 WHERE meter = 4" },
    { "rollup requests", "UPDATE usage_rollup SET requests = 0 WHERE meter = 0" },
    { "lost rollup", "DELETE FROM usage_rollup WHERE meter = 4" },
    { "extra rollup",
      "UPDATE billing_period SET closed_us = 0;INSERT INTO usage_rollup VALUES (0,1,1,1,1,1,0,1,'infer','standard',0,1,1,1,1)" },
    { "rollup of another endpoint", "UPDATE usage_rollup SET endpoint = 'rerank' WHERE meter = 4" },
    { "rollup of another tier", "UPDATE usage_rollup SET tier = 'flex' WHERE meter = 4" },
    { "rollup of another context", "UPDATE usage_rollup SET long_context = 1 WHERE meter = 4" },
    { "one entry", ENTRY("atoms = atoms + 1 WHERE tx = 1 AND atoms > 0") },
    { "both entries", ENTRY("atoms = atoms * 2 WHERE tx = 1") },
    { "account", ENTRY("account = account + 32 WHERE tx = 1") },
    { "lost tx",
      WITHOUT("ledger_tx_stays_d") WITHOUT(
          "ledger_entry_stays_d") "DELETE FROM ledger_entry WHERE tx = 1; DELETE FROM ledger_tx WHERE tx = 1" },
    { "balance", "UPDATE account_balance SET posted_atoms = 1 WHERE account = 34" },
    { "lost balance", "DELETE FROM account_balance WHERE account = 34" },
    { "invoice net", INVOICE("net_minor = net_minor + 1 WHERE organization = 1") },
    { "invoice tax", INVOICE("tax_minor = tax_minor + 1 WHERE organization = 1") },
    { "invoice document", INVOICE("body = replace(body, '1.0030850000', '1.0030860000')") },
    { "invoice quantity", INVOICE("body = replace(body, '401234', '401235')") },
    { "invoice number", INVOICE("number = 'MG-2026-000007' WHERE number = 'MG-2026-000002'") },
    { "lost invoice", WITHOUT("document_stays_d") "DELETE FROM document WHERE organization = 2" },
    { "counter", "UPDATE doc_counter SET next = next + 1" },
    { "share", WITHOUT("share_stays_u") "UPDATE share SET amount_minor = amount_minor + 1" },
    { "share of whom", WITHOUT("share_stays_u") "UPDATE share SET partner = 1" },
    { "lost share", WITHOUT("share_stays_d") "DELETE FROM share" },
    { "price book",
      WITHOUT(
          "price_version_stays_u") "UPDATE price_version SET text = replace(text, '25000000000', '1')" },
    { "price book hash",
      WITHOUT("price_version_stays_u") "UPDATE price_version SET sha256 = zeroblob(32)" },
    { "price book text",
      WITHOUT("price_version_stays_u") "UPDATE price_version SET text = text || 'nonsense'" },
};

START_TEST(test_damage_is_found)
{
    fixture_close(&f);
    ck_assert_int_eq(fixture_audit_problems(&f), 0);
    fixture_tamper(&f, damage[_i].sql);
    ck_assert_msg(fixture_audit_problems(&f) > 0, "%s was not found", damage[_i].label);
}
END_TEST

/* ---- the gateway's own counts ---- */

static const struct {
    const char *label;
    enum outcome outcome;
    uint64_t in, out;
    struct recount_row row;
    int problems;
} counts[] = {
    { "agree", OUTCOME_OK, 100, 50, { "t", { 100, 98, 8 }, { 50, 50, 8 }, 0 }, 0 },
    { "at the edge", OUTCOME_OK, 100, 50, { "t", { 100, 92, 8 }, { 50, 58, 8 }, 0 }, 0 },
    { "cut", OUTCOME_OK_MISMATCH, 100, 50, { "t", { 200, 92, 8 }, { 50, 50, 8 }, 0 }, 0 },
    { "not counted", OUTCOME_OK, 100, 50, { "t", { 100, -1, 8 }, { 50, -1, 8 }, 0 }, 0 },
    { "not reported", OUTCOME_OK_NOUSAGE, 100, 50, { "t", { -1, 100, 8 }, { -1, 50, 8 }, 0 }, 0 },
    { "hidden", OUTCOME_OK, 100, 50, { "t", { 100, 100, 8 }, { 10, 10, 8 }, 40 }, 0 },
    { "left", OUTCOME_CLIENT_GONE, 100, 5, { "t", { 100, 100, 8 }, { -1, 5, 8 }, 0 }, 0 },
    { "more than counted",
      OUTCOME_OK_MISMATCH,
      101,
      50,
      { "t", { 200, 92, 8 }, { 50, 50, 8 }, 0 },
      1 },
    { "more than reported", OUTCOME_OK, 101, 50, { "t", { 100, 100, 8 }, { 50, 50, 8 }, 0 }, 1 },
    { "output too", OUTCOME_OK_MISMATCH, 100, 60, { "t", { 100, 100, 8 }, { 70, 50, 8 }, 0 }, 1 },
    { "not told", OUTCOME_OK, 100, 50, { "t", { 100, 100, 8 }, { 50, 59, 8 }, 0 }, 1 },
    { "told for nothing", OUTCOME_OK_MISMATCH, 9, 5, { "t", { 9, 9, 8 }, { 5, 5, 8 }, 0 }, 1 },
    { "told without a count", OUTCOME_OK_MISMATCH, 9, 5, { NULL, { 0, 0, 0 }, { 0, 0, 0 }, 0 }, 1 },
};

START_TEST(test_counts)
{
    struct ledger_hold h = fixture_hold_of(&f, 2, 100000000);
    struct ledger_settle s = fixture_settle_of(&h, counts[_i].in, counts[_i].out);
    s.outcome = counts[_i].outcome;
    s.recount = counts[_i].row.tokenizer ? &counts[_i].row : NULL;
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
    ck_assert_msg(fixture_audit_problems(&f) == counts[_i].problems, "%s", counts[_i].label);
}
END_TEST

Suite *audit_suite(void);
Suite *audit_suite(void)
{
    Suite *s = suite_create("audit");
    TCase *t = tcase_create("audit");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_clean_while_the_daemon_works);
    tcase_add_test(t, test_an_old_hold_is_found);
    tcase_add_loop_test(t, test_counts, 0, sizeof counts / sizeof counts[0]);
    tcase_add_loop_test(t, test_damage_is_found, 0, sizeof damage / sizeof damage[0]);
    suite_add_tcase(s, t);
    return s;
}
