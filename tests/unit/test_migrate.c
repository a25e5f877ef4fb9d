/* tests/unit/test_migrate.c -- a store of each earlier schema, with money in it, becomes
 * one of today's: nothing is lost, the audit is clean, and the ledger goes on. */
#include "base/cleanup.h"
#include "billing/report.h"
#include "billing/store.h"
#include "gen/schema.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>
#include "gen/unit_suites.h"

static struct fixture f;

/* What the first release wrote: two projects, three settlements in two months, an invoice. */
static const char of_0001[] =
    "INSERT INTO meta VALUES (1, 'USD', 0);"
    "INSERT INTO boot VALUES (1, 0, 14, 1794700800000000, 0);"
    "INSERT INTO project (id, slug, display_name, budget_atoms, budget_period, buyer_name,"
    " po_number, created_us) VALUES (1, 'acme', 'Acme', 20000000000, 'total', 'Acme Ltd', 'PO-7', 5),"
    " (2, 'beta', 'Beta', 20000000000, 'month', '', '', 6);"
    "INSERT INTO api_key (name, project, label, digest, created_us)"
    " VALUES ('k', 1, 'ci', zeroblob(32), 7);"
    "INSERT INTO name VALUES (1, 'base/chat'), (2, 'box');"
    "INSERT INTO price_version VALUES (1, 'list', 'USD', 'currency USD book list\n"
    "base/chat input_uncached_tokens 25000000000/1000000\n',"
    " X'57e7aa8abf2b6fb96565ec2b35afa19e07798e813ae8c002439780f6f1c8547c', 0);"
    "INSERT INTO request_open VALUES (11,1,1,1,'chat.completions',1,9,9,1,10000000000,0,1),"
    " (12,1,1,1,'chat.completions',1,9,9,1,10000000000,0,1),"
    " (13,2,1,1,'chat.completions',1,9,9,1,10000000000,0,1);"
    "INSERT INTO settlement VALUES"
    " (11,1790000000000000,1,1,1,1,2,'chat.completions',1,'ok','upstream',10000000000,"
    "  '[[1,400000,10000000000]]',1,2,200),"
    " (12,1794700800000000,1,1,1,1,2,'chat.completions',1,'ok','upstream',25000,'[[1,1,25000]]',1,2,200),"
    " (13,1794700800000000,2,1,1,1,2,'chat.completions',1,'ok','upstream',50000,'[[1,2,50000]]',1,2,200);"
    "INSERT INTO usage_rollup VALUES (1789999200000000,1,1,1,1,1,400000,1,10000000000),"
    " (1794700800000000,1,1,1,1,1,1,1,25000), (1794700800000000,2,1,1,1,1,2,1,50000);"
    "INSERT INTO ledger_tx VALUES (1,'usage',1790000000000000,1,NULL),"
    " (2,'usage',1794700800000000,1,NULL), (3,'usage',1794700800000000,2,NULL),"
    " (4,'invoice',1791000000000000,1,'MG-2026-000001');"
    "INSERT INTO ledger_entry VALUES (1,9,10000000000), (1,10,-10000000000), (2,9,25000),"
    " (2,10,-25000), (3,17,50000), (3,18,-50000), (4,11,10000000000), (4,9,-10000000000);"
    "UPDATE account_balance SET posted_atoms = (SELECT sum(atoms) FROM ledger_entry e"
    "  WHERE e.account = account_balance.account)"
    "  WHERE account IN (SELECT account FROM ledger_entry);"
    "INSERT INTO doc_counter VALUES ('MG-2026', 2);"
    "INSERT INTO invoice VALUES ('MG-2026-000001','MG-2026',1,'2026-09',1791000000000000,100,0,100,"
    " 10000000000,'{\"lines\":[{\"exact\":\"1.0000000000\",\"line\":1,\"meter\":"
    "\"input_uncached_tokens\",\"model\":\"base/chat\",\"net\":\"1.00\",\"price_version\":1,"
    "\"quantity\":400000}],\"minor_digits\":2,\"number\":\"MG-2026-000001\",\"totals\":{\"exact\":"
    "\"1.0000000000\",\"gross\":\"1.00\",\"net\":\"1.00\",\"tax\":\"0.00\",\"tax_basis_points\":0}}');";

/* Of schema 7: a fund that paid a part, a tier, a long context, a request that failed. */
static const char of_0007[] =
    "INSERT INTO meta VALUES (1, 'USD', 0); INSERT INTO boot VALUES (1, 0, 14, 1794700900000000, 0);"
    "INSERT INTO organization (id, slug, display_name, created_us) VALUES (1, 'acme', 'Acme', 5);"
    "INSERT INTO contract (organization, starts_us, credit_atoms, created_us)"
    " VALUES (1, 0, 9000000000000000000, 5);"
    "INSERT INTO project (id, slug, display_name, budget_atoms, budget_period, created_us,"
    " organization) VALUES (1, 'acme', 'Acme', 20000000000, 'total', 5, 1);"
    "INSERT INTO billing_period (id, organization, starts_us, ends_us, time_zone)"
    " VALUES (1, 1, 1793491200000000, 1796083200000000, 'UTC');"
    "INSERT INTO name VALUES (1, 'base/chat'), (2, 'box');"
    "INSERT INTO fund (id, organization, kind, from_us, to_us, amount_atoms, created_us)"
    " VALUES (1, 1, 'promo', 0, 9000000000000000, 200011, 5);"
    "UPDATE fund_balance SET drawn_atoms = 200011;"
    "INSERT INTO price_version VALUES (1, 'list', 'USD', 'currency USD book list\n"
    "base/chat input_uncached_tokens 1000000/1000000\nbase/chat output_text_tokens 4000000/1000000\n"
    "base/chat output_text_tokens unit 2000000/1000000 service_tier=flex\n',"
    " X'94597ee90ed679d5df7255e9b1156c2fb554d8bc5a405eef0b10ddefeffc730f', 0);"
    "INSERT INTO request_open VALUES (11,1,1,1,'chat.completions',1,9,9,1,300000,1794700800000000,1),"
    " (12,1,1,1,'completions',1,9,9,1,300000,1794700800000000,1),"
    " (13,1,1,1,'embeddings',1,9,9,1,300000,1794700800000000,1);"
    "INSERT INTO settlement VALUES"
    " (11,1794700800000001,1,1,1,1,2,'chat.completions',1,'ok','upstream',200021,"
    "  '[[1,200001,200001],[4,10,20,1],{\"context\":200001,\"service_tier\":\"flex\"}]',"
    "  1,2,200,'[[1,200011]]'),"
    " (12,1794700800000002,1,1,1,1,2,'completions',1,'ok','upstream',9,"
    "  '[[1,5,5],[4,1,4],{\"context\":5,\"service_tier\":\"standard\"}]',1,2,200,NULL),"
    " (13,1794700800000002,1,1,1,1,2,'embeddings',1,'failed_pre','none',0,'[]',NULL,2,502,NULL);"
    "INSERT INTO ledger_tx VALUES (1,'usage',1794700800000001,1,NULL),"
    " (2,'usage',1794700800000002,1,NULL);"
    "INSERT INTO ledger_entry VALUES (1,33,10), (1,38,200011), (1,34,-200021), (2,33,9), (2,34,-9);"
    "UPDATE account_balance SET posted_atoms = (SELECT sum(atoms) FROM ledger_entry e"
    "  WHERE e.account = account_balance.account)"
    "  WHERE account IN (SELECT account FROM ledger_entry);"
    "INSERT INTO project_spent VALUES (1, 200030);";

static const char *const contents[] = { of_0001 };

static void store_of(unsigned version, const char *content)
{
    char path[128], err[256] = "";
    struct db *db = NULL;
    snprintf(f.dir, sizeof f.dir, "/tmp/maasgate-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f.dir));
    snprintf(path, sizeof path, "%s/ledger.db", f.dir);
    ck_assert_int_eq(db_open(path, DB_WRITER, &db, err), STATUS_OK);
    ck_assert_int_eq(db_migrate(db, schema_sql, version, err), STATUS_OK);
    db_close(db);
    fixture_tamper(&f, content);
}

START_TEST(test_forward)
{
    f = (struct fixture){ .wall_us = FIXTURE_NOW_US };
    store_of((unsigned)_i + 1, contents[_i]);
    fixture_open(&f);
    fixture_audit_clean(&f);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement"), 3);
    ck_assert_int_eq(fixture_int(&f, "SELECT posted_atoms FROM account_balance b JOIN account a"
                                     " ON a.id = b.account WHERE a.organization = 1 AND"
                                     " a.kind = 'receivable'"),
                     INT64_C(10000000000));
    ck_assert_int_eq(fixture_int(&f, "SELECT po_number = 'PO-7' FROM organization WHERE id = 1"),
                     1);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM billing_period"), 3);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM billing_period WHERE closed_us > 0"), 1);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM api_key WHERE role = 'inference'"), 1);
    /* What was spent before still counts: the budget of acme is 2.00, 1.0000025 are gone. */
    struct ledger_hold h = fixture_hold_of(&f, 1, INT64_C(9999975001));
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_NO_QUOTA);
    fixture_request(&f, 1, 390000, 0);
    fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_free(&f);
}
END_TEST

/* The audit adds the sums up from the settlements once more, by itself. */
START_TEST(test_sums_are_made_again)
{
    f = (struct fixture){ .wall_us = FIXTURE_NOW_US };
    store_of(7, of_0007);
    fixture_open(&f);
    fixture_audit_clean(&f);
    ck_assert_int_eq(
        fixture_int(&f, "SELECT covered_atoms FROM usage_rollup WHERE tier = 'flex' AND"
                        " long_context = 1 AND endpoint = 'chat.completions' AND item = 1"),
        10);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(requests) FROM usage_rollup"), 3);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM usage_rollup"), 5);
    fixture_request(&f, 1, 0, 0);
    fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_free(&f);
}
END_TEST

/* ---- from every version, with what that version was the first to hold ------------------------ */

enum { VERSIONS = sizeof schema_sql / sizeof *schema_sql };

#define POST(tx, kind, org, debit, credit, atoms)                                                \
    "INSERT INTO ledger_tx VALUES (" tx ",'" kind "',1794700900000000," org ",NULL);"            \
    "INSERT INTO ledger_entry VALUES (" tx "," debit "," atoms "), (" tx "," credit ",-" atoms   \
    ");"                                                                                         \
    "UPDATE account_balance SET posted_atoms = posted_atoms + " atoms " WHERE account = " debit  \
    ";"                                                                                          \
    "UPDATE account_balance SET posted_atoms = posted_atoms - " atoms " WHERE account = " credit \
    ";"
#define FUND(id, kind, until)                                                             \
    "INSERT INTO fund (id, organization, kind, from_us, to_us, amount_atoms, created_us)" \
    " VALUES (" id ", 2, '" kind "', 0, " until ", 700, 5);"

/* NULL: nothing that a row could hold is new. */
static const char *const added[VERSIONS] = {
    of_0001,
    FUND("1", "promo", "9000000000000000000") FUND(
        "2", "promo",
        "1794800000000000") "UPDATE fund_balance SET expired_atoms = 700 WHERE fund = 2;"
                            "INSERT INTO contract (organization, starts_us, time_zone, credit_atoms, plan, created_us)"
                            " VALUES (2, 1794700000000000, 'Asia/Shanghai', 9000000000000000000, '{}', 5);",
    "INSERT INTO charge (organization, at_us, kind, text, amount_atoms, created_us)"
    " VALUES (2, 1794700900000000, 'other', 'a licence', 800000, 5);" POST("10", "charge", "2",
                                                                           "65", "66", "800000"),
    "INSERT INTO payment (document, amount_minor, paid_us) VALUES ('MG-2026-000001', 40, 6);" POST(
        "11", "payment", "1", "49", "35",
        "4000000000") "INSERT INTO approval (organization, starts_us, approved_by, approved_us, body_sha256)"
                      " VALUES (1, 1788220800000000, 'Kim', 7, zeroblob(32));",
    NULL,
    "INSERT INTO api_key (name, project, label, digest, created_us, role)"
    " VALUES ('money', 2, 'books', zeroblob(32), 8, 'finance');",
    "INSERT INTO share_rule (model, partner, basis_points, from_us) VALUES ('base/', 2, 100, 9);",
    "INSERT INTO idempotency VALUES (12, 1, zeroblob(32), zeroblob(32), 1794700800000000);"
    "INSERT INTO idempotency_answer VALUES (12, 1794700800000000, NULL, NULL, x'796573');",
    NULL,
    FUND("3", "promo", "9000000000000000000"),
    "INSERT INTO restoration (restored_us, backup_us, boot, floor_rid)"
    " VALUES (1794700950000000, 1794700900000000, 7, 14);"
    "INSERT INTO boot VALUES (7, 1794700950000000, 14, 1794700950000000, 1);"
    "INSERT INTO lost_number VALUES ('MG-2026', 2, 3, 1);"
    "UPDATE doc_counter SET next = 4;",
    "INSERT INTO name (id, name) VALUES (30, '@box/m');"
    "INSERT INTO cost_version VALUES (1, 'currency USD book costs\n@box/m requests 500/1\n',"
    " X'59a9d17957f4268f2360eae3933bb085ef0bc7ed43074e0c62718d0f92fb5848', 0);"
    "INSERT INTO attempt VALUES (13, 1, 2, 30, 1, 'upstream', '[[0,1,500]]', 500, 500),"
    " (13, 2, 2, 30, 1, 'upstream', '[[0,1,500]]', 500, 0);"
    "INSERT INTO cost_rollup VALUES (1794700800000000, 2, 1, 2, 2, 1000, 500);"
    "INSERT INTO ledger_tx VALUES (40, 'upstream', 1794700800000000, 2, NULL);"
    "INSERT INTO ledger_entry VALUES (40, 76, 500), (40, 78, 500), (40, 77, -1000);"
    "UPDATE account_balance SET posted_atoms = (SELECT sum(atoms) FROM ledger_entry e"
    "  WHERE e.account = account_balance.account) WHERE account BETWEEN 76 AND 78;",
};

static const struct kept {
    unsigned since;
    const char *sql; /* what was put in, as today's schema says it */
} kept[] = {
    { 1, "SELECT count(*) = 3 AND sum(amount_atoms) = 10000075000 FROM settlement" },
    { 1, "SELECT sum(requests) = 3 AND sum(atoms) = 10000075000 FROM usage_rollup" },
    { 2,
      "SELECT f.to_us = b.open_until FROM fund f JOIN fund_balance b ON b.fund = f.id AND f.id = 1" },
    { 2, "SELECT expired_atoms = 700 AND (open_until IS NULL OR open_until = 1794800000000000)"
         " FROM fund_balance WHERE fund = 2" },
    { 2, "SELECT count(*) = 1 FROM contract WHERE time_zone = 'Asia/Shanghai'" },
    { 3, "SELECT amount_atoms = 800000 AND deferred = 0 FROM charge WHERE text = 'a licence'" },
    { 4, "SELECT count(*) = 1 FROM payment WHERE amount_minor = 40" },
    { 4, "SELECT posted_atoms = 6000000000 FROM account_balance WHERE account = 35" },
    { 6, "SELECT role = 'finance' FROM api_key WHERE name = 'money'" },
    { 7, "SELECT basis_points = 100 FROM share_rule" },
    { 11, "SELECT count(*) = 1 FROM boot WHERE boot = 7" },
    { 11, "SELECT next = 4 FROM doc_counter" },
    { 12, "SELECT count(*) = 1 AND sum(cost_atoms) = 1000 AND sum(wasted_atoms) = 500 AND"
          " sum(attempts) = 2 FROM cost_rollup" },
};

static void grow_to(unsigned version)
{
    char path[128], err[256] = "";
    store_of(1, added[0]);
    snprintf(path, sizeof path, "%s/ledger.db", f.dir);
    for (unsigned v = 2; v <= version; v++) {
        struct db *db = NULL;
        ck_assert_int_eq(db_open(path, DB_WRITER, &db, err), STATUS_OK);
        ck_assert_msg(db_migrate(db, schema_sql, v, err) == STATUS_OK, "%s", err);
        db_close(db);
        if (added[v - 1])
            fixture_tamper(&f, added[v - 1]);
    }
}

/* An archive of that version is proven without being changed. */
static void audit_as_file(void)
{
    char path[128], copy[140], err[256] = "";
    bool copied;
    struct db *db = NULL;
    AUTO(json_decref_ptr) json_t *report = NULL;
    snprintf(path, sizeof path, "%s/ledger.db", f.dir);
    snprintf(copy, sizeof copy, "%s.audit", path);
    int64_t before = fixture_int(&f, "PRAGMA user_version");
    ck_assert_msg(store_open_reader(path, copy, &copied, &db, err) == STATUS_OK, "%s", err);
    ck_assert_int_eq(copied, before < VERSIONS);
    ck_assert_int_eq(audit_run(db, f.wall_us, &report), STATUS_OK);
    ck_assert(json_is_true(json_object_get(report, "ok")));
    db_close(db);
    ck_assert_int_eq(fixture_int(&f, "PRAGMA user_version"), before);
    if (copied) {
        ck_assert_int_eq(store_open_reader(path, copy, &copied, &db, err), STATUS_CONFLICT);
        ck_assert(!copied);
        ck_assert_int_eq(unlink(copy), 0);
    }
}

START_TEST(test_from_every_version)
{
    unsigned version = (unsigned)_i + 1;
    f = (struct fixture){ .wall_us = FIXTURE_NOW_US };
    grow_to(version);
    audit_as_file();
    for (int starts = 0; starts < 2; starts++) {
        fixture_open(&f);
        fixture_audit_clean(&f);
        for (size_t i = 0; i < sizeof kept / sizeof *kept && starts == 0; i++)
            ck_assert_msg(kept[i].since > version || fixture_int(&f, kept[i].sql) == 1,
                          "from %u: %s", version, kept[i].sql);
        fixture_request(&f, 2, 20, 0);
        fixture_close(&f);
    }
    fixture_audit_clean(&f);
    fixture_free(&f);
}
END_TEST

Suite *migrate_suite(void)
{
    Suite *s = suite_create("migrate");
    TCase *t = tcase_create("forward");
    tcase_add_loop_test(t, test_from_every_version, 0, VERSIONS);
    tcase_add_loop_test(t, test_forward, 0, sizeof contents / sizeof *contents);
    tcase_add_test(t, test_sums_are_made_again);
    suite_add_tcase(s, t);
    return s;
}
