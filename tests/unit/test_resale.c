/* tests/unit/test_resale.c -- requests of somebody who buys from a reseller, in the ledger. */
#include "auth/keys.h"
#include "base/digest.h"
#include "billing/checkpoint.h"
#include "billing/organization.h"
#include "billing/running.h"
#include "billing/seller.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <stdio.h>
#include <string.h>

#define UNIT MONEY_ATOMS_PER_UNIT

static struct fixture f;
static int64_t twin, customer; /* projects */

static const char retail_text[] = "currency USD book retail\n"
                                  "base/chat input_uncached_tokens 50000000000/1000000\n"
                                  "base/chat output_text_tokens 300000000000/1000000\n"
                                  "domain/vision images 2000000000/1\n";

static enum status on_ledger(enum status (*run)(struct ledger_call *, struct db *, int64_t))
{
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = run };
    return fixture_submit(&f, &call.op);
}

static enum status add_customer(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call;
    const struct organization_new o = { "acme", "acme", "Acme", "", "", "", "", 1 };
    struct project_new p = { .slug = "acme-web",
                             .display_name = "",
                             .budget_atoms = UNIT,
                             .budget_period = "total",
                             .cost_centre = "" };
    uint8_t sha256[32];
    int64_t version;
    ck_assert_int_eq(organization_create(db, &o, now_us, &p.organization), STATUS_OK);
    ck_assert_int_eq(project_create(db, &p, now_us, &customer), STATUS_OK);
    digest_sha256(retail_text, strlen(retail_text), sha256);
    enum status s =
        ledger_publish_prices(db, "retail", "USD", retail_text, sha256, now_us, &version);
    ck_assert_int_eq(version, 2);
    return s ? s : ledger_reload_projects(f.ledger);
}

static void setup(void)
{
    fixture_init(&f);
    fixture_catalog(&f);
    fixture_project(&f, "taiping", 1000 * UNIT, "month");
    ck_assert_int_eq(on_ledger(add_customer), STATUS_OK);
    twin = fixture_int(&f, "SELECT wholesale FROM project WHERE slug = 'acme-web'");
    ck_assert_int_eq(customer, fixture_int(&f, "SELECT id FROM project WHERE slug = 'acme-web'"));
}

static void teardown(void)
{
    if (f.ledger)
        fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_free(&f);
}

/* ---- a request ----------------------------------------------------------------------------- */

struct both { /* legs */
    struct resale_hold resale;
    struct ledger_hold hold;
};

static enum status try_hold(struct both *b, int64_t wholesale, int64_t retail)
{
    b->resale = (struct resale_hold){ customer, 2, { retail } };
    b->hold = fixture_hold_of(&f, twin, wholesale);
    b->hold.resale = &b->resale;
    return fixture_hold(&f, &b->hold);
}

static struct ledger_settle retail_of(const struct both *b, uint64_t in, uint64_t out)
{
    struct ledger_settle s = fixture_settle_of(&b->hold, in, out);
    s.project = customer;
    s.price_version = 2;
    s.hold = b->resale.hold;
    s.is_resale = true;
    s.amount.atoms = 0;
    for (unsigned i = 0; i < s.line_count; i++) {
        s.lines[i].amount.atoms *= s.lines[i].meter == METER_OUTPUT_TEXT ? 3 : 2;
        s.amount.atoms += s.lines[i].amount.atoms;
    }
    return s;
}

static enum status settle(const struct both *b, uint64_t in, uint64_t out)
{
    struct ledger_settle s = fixture_settle_of(&b->hold, in, out);
    struct ledger_settle retail = retail_of(b, in, out);
    s.resale = &retail;
    return fixture_settle(&f, &s);
}

static struct both held(int64_t wholesale, int64_t retail)
{
    struct both b;
    ck_assert_int_eq(try_hold(&b, wholesale, retail), STATUS_OK);
    return b;
}

static int64_t balance(const char *organization, int code)
{
    char sql[160];
    snprintf(sql, sizeof sql,
             "SELECT posted_atoms FROM account_balance WHERE account = 32 *"
             " (SELECT id FROM organization WHERE slug = '%s') + %d",
             organization, code);
    return fixture_int(&f, sql);
}

START_TEST(test_each_leg_is_its_payers)
{
    const struct both b = held(1000000, 3000000);
    ck_assert_int_eq(settle(&b, 10, 2), STATUS_OK);
    ck_assert_int_eq(fixture_int(&f, "SELECT amount_atoms FROM settlement"), 450000);
    ck_assert_int_eq(fixture_int(&f, "SELECT amount_atoms FROM resale"), 1100000);
    ck_assert_int_eq(balance("taiping", 1), 450000); /* owed to the operator */
    ck_assert_int_eq(balance("taiping", 2), -450000);
    ck_assert_int_eq(balance("acme", 1), 1100000); /* owed to the reseller */
    ck_assert_int_eq(balance("acme", 2), -1100000);
    ck_assert_int_eq(balance("acme", 12), 450000); /* whose cost it was */
    ck_assert_int_eq(balance("acme", 13), -450000);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(DISTINCT period) FROM usage_rollup"), 2);
}
END_TEST

START_TEST(test_whoever_refuses_nothing_is_held)
{
    struct both b;
    ck_assert_int_eq(try_hold(&b, UNIT, UNIT + 1), STATUS_NO_QUOTA);
    ck_assert_int_eq(try_hold(&b, MONEY_ATOMS_MAX, UNIT), STATUS_OK); /* a twin has no budget */
    ck_assert_int_eq(settle(&b, 0, 0), STATUS_OK);
    for (int i = 0; i < 3; i++) /* each finds all of it free again */
        ck_assert_int_eq(try_hold(&b, UNIT, UNIT), i == 0 ? STATUS_OK : STATUS_NO_QUOTA);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM request_open"), 2);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM resale_hold"), 2);
}
END_TEST

static enum status make_prepaid(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call, (void)now_us;
    static const char sql[] =
        "INSERT INTO contract (organization, starts_us, credit_atoms, created_us)"
        " VALUES (1, 1, 1000000, 1)";
    struct db_stmt *s = db_prepare(db, sql);
    ck_assert_int_eq(db_run(s), STATUS_OK);
    return ledger_reload_projects(f.ledger);
}

START_TEST(test_the_resellers_credit_counts_what_it_holds)
{
    struct both b, c;
    ck_assert_int_eq(on_ledger(make_prepaid), STATUS_OK);
    ck_assert_int_eq(try_hold(&b, 1000001, 1), STATUS_NO_QUOTA);
    ck_assert_int_eq(try_hold(&b, 600000, 1), STATUS_OK);
    ck_assert_int_eq(try_hold(&c, 400001, 1), STATUS_NO_QUOTA);
    ck_assert_int_eq(try_hold(&c, 400000, 1), STATUS_OK);
    ck_assert_int_eq(settle(&b, 0, 0), STATUS_OK);
    ck_assert_int_eq(settle(&c, 0, 0), STATUS_OK);
}
END_TEST

/* Adds to both holds what was granted. */
static enum status more(struct both *b, int64_t leg, int64_t wholesale, int64_t retail)
{
    struct ledger_more second = {
        .project = customer, .model = b->hold.model, .held = b->resale.hold, .more = { retail }
    };
    struct ledger_more m = { .op.kind = LEDGER_MORE,
                             .rid = b->hold.rid,
                             .project = twin,
                             .model = b->hold.model,
                             .leg = leg,
                             .held = b->hold.hold,
                             .more = { wholesale },
                             .resale = &second };
    enum status s = fixture_submit(&f, &m.op);
    b->hold.hold.atoms += s ? 0 : wholesale;
    b->resale.hold.atoms += s ? 0 : retail;
    return s;
}

static void limit(const char *project, int64_t atoms)
{
    char sql[160];
    fixture_close(&f);
    snprintf(sql, sizeof sql, "UPDATE project SET budget_atoms = %lld WHERE slug = '%s'",
             (long long)atoms, project);
    fixture_tamper(&f, sql);
    fixture_open(&f);
}

START_TEST(test_both_legs_grow)
{
    struct both b = held(250000, 500000);
    ck_assert_int_eq(more(&b, 1, 200000, 600000), STATUS_OK);
    ck_assert_int_eq(more(&b, 2, 1, 0), STATUS_OK); /* free for the customer alone */
    ck_assert_int_eq(settle(&b, 10, 2), STATUS_OK); /* 450000, 1100000 */
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(atoms) FROM hold_more"), 200001);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(resale_atoms) FROM hold_more"), 600000);
    struct both all; /* nothing is left held of either */
    ck_assert_int_eq(try_hold(&all, UNIT, UNIT - 1100000), STATUS_OK);
    ck_assert_int_eq(settle(&all, 0, 0), STATUS_OK);
}
END_TEST

/* Each project may spend a million; whichever has no more, neither holds more. */
START_TEST(test_neither_leg_grows_alone)
{
    limit("acme-web", 1000000);
    limit("taiping:acme-web", 1000000);
    struct both b = held(500000, 500000);
    ck_assert_int_eq(more(&b, 1, 1, 500001), STATUS_NO_QUOTA);
    ck_assert_int_eq(more(&b, 1, 500001, 1), STATUS_NO_QUOTA);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM hold_more"), 0);
    ck_assert_int_eq(more(&b, 1, 500000, 500000), STATUS_OK);
    ck_assert_int_eq(more(&b, 1, 1, 0), STATUS_NO_QUOTA);
    ck_assert_int_eq(settle(&b, 0, 0), STATUS_OK);
    const struct both all = held(1000000, 1000000);
    ck_assert_int_eq(settle(&all, 0, 0), STATUS_OK);
}
END_TEST

START_TEST(test_a_part_that_the_store_refuses_is_held_by_neither)
{
    limit("acme-web", 1000000);
    limit("taiping:acme-web", 1000000);
    struct both b = held(500000, 500000);
    ck_assert_int_eq(more(&b, 1, 250000, 250000), STATUS_OK);
    ck_assert_int_eq(more(&b, 1, 250000, 250000), STATUS_CONFLICT);
    ck_assert_int_eq(more(&b, 2, 250000, 250000), STATUS_OK);
    ck_assert_int_eq(settle(&b, 0, 0), STATUS_OK);
}
END_TEST

START_TEST(test_settled_once)
{
    const struct both b = held(1000000, 3000000);
    ck_assert_int_eq(settle(&b, 10, 2), STATUS_OK);
    ck_assert_int_eq(settle(&b, 10, 2), STATUS_CONFLICT);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(amount_atoms) FROM resale"), 1100000);
}
END_TEST

/* ---- recovery ------------------------------------------------------------------------------ */

static void note(const struct both *b, uint64_t in, uint64_t out)
{
    const struct ledger_settle own = fixture_settle_of(&b->hold, in, out);
    const struct ledger_settle retail = retail_of(b, in, out);
    struct resale_checkpoint second = { .model = retail.model, .amount = retail.amount };
    struct ledger_checkpoint c = { .op.kind = LEDGER_CHECKPOINT,
                                   .rid = b->hold.rid,
                                   .model = own.model,
                                   .model_served = own.model,
                                   .backend = 3,
                                   .first_byte_us = 1,
                                   .amount = own.amount,
                                   .resale = &second };
    lines_text(own.lines, own.line_count, NULL, c.lines);
    lines_text(retail.lines, retail.line_count, NULL, second.lines);
    ck_assert_int_eq(fixture_submit(&f, &c.op), STATUS_OK);
}

START_TEST(test_an_orphan_is_settled_for_both)
{
    const struct both told = held(1000000, 3000000), silent = held(1000000, 3000000);
    note(&told, 4, 1);
    note(&told, 10, 2);
    (void)silent;
    fixture_close(&f);
    fixture_open(&f);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(amount_atoms) FROM settlement"), 450000);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(amount_atoms) FROM resale"), 1100000);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM resale"), 2);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM resale_checkpoint"), 0);
    struct both all; /* and both purses are free again */
    ck_assert_int_eq(try_hold(&all, UNIT, UNIT - 1100000), STATUS_OK);
    ck_assert_int_eq(settle(&all, 0, 0), STATUS_OK);
}
END_TEST

/* What was noted is more than the first part of either hold. */
START_TEST(test_an_orphan_has_all_parts_of_both_holds)
{
    struct both b = held(250000, 500000);
    ck_assert_int_eq(more(&b, 1, 200000, 600000), STATUS_OK);
    note(&b, 10, 2);
    fixture_close(&f);
    fixture_open(&f);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(amount_atoms) FROM settlement"), 450000);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(amount_atoms) FROM resale"), 1100000);
}
END_TEST

START_TEST(test_the_settlement_takes_both_checkpoints)
{
    const struct both b = held(1000000, 3000000);
    note(&b, 4, 1);
    struct ledger_settle s = fixture_settle_of(&b.hold, 10, 2), retail = retail_of(&b, 10, 2);
    s.resale = &retail;
    s.checkpointed = true;
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM checkpoint"), 0);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM resale_checkpoint"), 0);
}
END_TEST

/* ---- who may buy from whom ----------------------------------------------------------------- */

static enum status add_below(struct ledger_call *call, struct db *db, int64_t now_us)
{
    const struct organization_new o = { "below", "below", "", "", "", "", "", 2 };
    int64_t id;
    (void)call;
    return organization_create(db, &o, now_us, &id);
}

static enum status change_reseller(struct ledger_call *call, struct db *db, int64_t now_us)
{
    static const char sql[] = "UPDATE organization SET reseller = NULL WHERE slug = 'acme'";
    (void)call, (void)now_us;
    return db_run(db_prepare(db, sql));
}

START_TEST(test_one_level_and_for_good)
{
    ck_assert_int_eq(on_ledger(add_below), STATUS_FORBIDDEN);
    ck_assert_int_ne(on_ledger(change_reseller), STATUS_OK);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM organization WHERE reseller = 1"), 1);
}
END_TEST

/* ---- the audit sees each of them ----------------------------------------------------------- */

static const char *const wrong[] = {
    "DROP TRIGGER resale_stays_u; UPDATE resale SET amount_atoms = amount_atoms + 1",
    "DROP TRIGGER resale_stays_u; UPDATE resale SET lines = replace(lines, ',10,', ',11,')",
    "DROP TRIGGER resale_stays_u; UPDATE resale SET project = 1",
    "DROP TRIGGER resale_stays_d; DELETE FROM resale",
    "DROP TRIGGER resale_hold_stays_d; PRAGMA foreign_keys = OFF; DELETE FROM resale_hold",
    "DROP TRIGGER resale_hold_stays_u; UPDATE resale_hold SET hold_atoms = 1",
    "INSERT INTO hold_more SELECT rid, 1, 5, 0, NULL FROM resale_hold",
    "DROP TRIGGER project_keeps_twin; UPDATE project SET wholesale = 1 WHERE slug = 'acme-web'",
    "INSERT INTO resale_checkpoint SELECT rid, 1, 0, '[]' FROM settlement",
    "UPDATE account_balance SET posted_atoms = posted_atoms + 1 WHERE account = 32 * 2 + 12",
};

START_TEST(test_the_audit_sees_what_is_wrong)
{
    const struct both b = held(1000000, 3000000);
    ck_assert_int_eq(settle(&b, 10, 2), STATUS_OK);
    fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_tamper(&f, wrong[_i]);
    ck_assert_int_gt(fixture_audit_problems(&f), 0);
    fixture_free(&f);
    fixture_init(&f); /* for teardown */
}
END_TEST

Suite *resale_suite(void)
{
    Suite *s = suite_create("resale");
    TCase *t = tcase_create("legs");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_each_leg_is_its_payers);
    tcase_add_test(t, test_whoever_refuses_nothing_is_held);
    tcase_add_test(t, test_the_resellers_credit_counts_what_it_holds);
    tcase_add_test(t, test_both_legs_grow);
    tcase_add_test(t, test_neither_leg_grows_alone);
    tcase_add_test(t, test_a_part_that_the_store_refuses_is_held_by_neither);
    tcase_add_test(t, test_settled_once);
    tcase_add_test(t, test_an_orphan_is_settled_for_both);
    tcase_add_test(t, test_an_orphan_has_all_parts_of_both_holds);
    tcase_add_test(t, test_the_settlement_takes_both_checkpoints);
    tcase_add_test(t, test_one_level_and_for_good);
    tcase_add_loop_test(t, test_the_audit_sees_what_is_wrong, 0, sizeof wrong / sizeof wrong[0]);
    suite_add_tcase(s, t);
    return s;
}
