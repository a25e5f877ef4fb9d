/* tests/unit/test_costs.c -- what backends cost: written with the settlement, summed up, posted,
 * reported, and audited. */
#include "base/cleanup.h"
#include "base/digest.h"
#include "billing/contract.h"
#include "billing/margin.h"
#include "billing/period.h"
#include "conf/conf.h"
#include "conf/catalog.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <stdio.h>
#include <string.h>
#include "gen/unit_suites.h"

static struct fixture f;
static int64_t acme, beta, cost_model, cost_version;

static const char cost_text[] = "currency USD book costs\n"
                                "@box/m input_uncached_tokens 10000000000/1000000\n"
                                "@box/m requests 500/1\n";

static enum status publish(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call;
    uint8_t sha256[32];
    digest_sha256(cost_text, strlen(cost_text), sha256);
    enum status s = ledger_name_id(db, "@box/m", &cost_model);
    return s ? s : ledger_publish_costs(db, cost_text, sha256, now_us, &cost_version);
}

static struct ledger_attempt attempt_of(uint64_t in, int64_t wasted)
{
    struct ledger_attempt a = { .backend = 3,
                                .model = cost_model,
                                .version = cost_version,
                                .basis = EVIDENCE_UPSTREAM,
                                .wasted = { wasted },
                                .line_count = 2 };
    a.lines[0] = (struct bill_line){ .meter = METER_REQUESTS, .qty = 1, .amount = { 500 } };
    a.lines[1] = (struct bill_line){ .meter = METER_INPUT_UNCACHED,
                                     .qty = in,
                                     .amount = { (int64_t)in * 10000 } };
    a.cost.atoms = 500 + (int64_t)in * 10000;
    if (wasted < 0)
        a.wasted = a.cost;
    return a;
}

static void request(int64_t project, enum outcome outcome, uint64_t in,
                    const struct ledger_attempt *attempts, unsigned count)
{
    struct ledger_hold h = fixture_hold_of(&f, project, (int64_t)in * 25000);
    struct ledger_settle s = fixture_settle_of(&h, in, 0);
    s.outcome = outcome;
    s.attempts = attempts;
    s.attempt_count = count;
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
}

/* 100 tokens bought and sold after a call that was lost; a client that took 10 of 50; a failure. */
static void setup(void)
{
    fixture_init(&f);
    fixture_catalog(&f);
    acme = fixture_project(&f, "acme", 100000 * MONEY_ATOMS_PER_UNIT, "month");
    beta = fixture_project(&f, "beta", 100000 * MONEY_ATOMS_PER_UNIT, "month");
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = publish };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    const struct ledger_attempt two[] = { attempt_of(100, -1), attempt_of(100, 0) };
    request(acme, OUTCOME_OK, 100, two, 2);
    const struct ledger_attempt tail[] = { attempt_of(50, 400000) };
    request(beta, OUTCOME_CLIENT_GONE, 10, tail, 1);
    const struct ledger_attempt failed[] = { attempt_of(7, -1) };
    request(beta, OUTCOME_FAILED_PRE, 0, failed, 1);
    request(beta, OUTCOME_OK, 20, NULL, 0);
}

static void teardown(void)
{
    fixture_free(&f);
}

START_TEST(test_costs_are_posted_apart_from_revenue)
{
    static const char sql[] =
        "SELECT posted_atoms FROM account_balance WHERE account = 32 * %lld + %d";
    static const struct {
        int code;
        int64_t acme, beta;
    } expected[] = {
        { 12, 1000500, 500500 - 400000 },
        { 14, 1000500, 400000 + 70500 },
        { 13, -2001000, -500500 - 70500 },
        { 2, -2500000, -750000 },
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char text[200];
        snprintf(text, sizeof text, sql, 1LL, expected[i].code);
        ck_assert_int_eq(fixture_int(&f, text), expected[i].acme);
        snprintf(text, sizeof text, sql, 2LL, expected[i].code);
        ck_assert_int_eq(fixture_int(&f, text), expected[i].beta);
    }
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM attempt"), 4);
    fixture_audit_clean(&f);
}
END_TEST

static json_t *report(const char *group)
{
    struct margin_query q = { .from_us = FIXTURE_NOW_US / DAY_US * DAY_US };
    q.to_us = q.from_us + DAY_US;
    ck_assert(margin_group(group, &q.group));
    struct db *db = fixture_reader(&f);
    json_t *result = NULL;
    ck_assert_int_eq(margin_report(db, &q, &result), STATUS_OK);
    db_close(db);
    return result;
}

START_TEST(test_margins)
{
    AUTO(json_decref_ptr) json_t *both = report(NULL);
    AUTO(json_decref_ptr) json_t *all = report("model");
    AUTO(json_decref_ptr)
    json_t *expected = json_pack(
        "[{s:s, s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:i}, {s:s, s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:i}]",
        "model", "base/chat", "organization", "acme", "requests", 1, "calls", 2, "revenue",
        "0.00025", "cost", "0.0002001", "wasted", "0.00010005", "margin", "0.0000499",
        "margin_basis_points", 1996, "model", "base/chat", "organization", "beta", "requests", 3,
        "calls", 2, "revenue", "0.000075", "cost", "0.0000571", "wasted", "0.00004705", "margin",
        "0.0000179", "margin_basis_points", 2387);
    ck_assert_msg(json_equal(json_object_get(both, "data"), expected), "%s",
                  json_dumps(json_object_get(both, "data"), 0));
    const json_t *row = json_array_get(json_object_get(all, "data"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(row, "requests")), 4);
    ck_assert_str_eq(json_string_value(json_object_get(row, "margin")), "0.0000678");
    ck_assert_ptr_null(json_object_get(row, "organization"));
    unsigned none;
    ck_assert(!margin_group("key", &none));
}
END_TEST

START_TEST(test_a_loss_and_nothing_earned)
{
    const struct ledger_attempt dear[] = { attempt_of(1000, 0) };
    request(acme, OUTCOME_OK, 1, dear, 1);
    AUTO(json_decref_ptr) json_t *r = report("organization");
    const json_t *row = json_array_get(json_object_get(r, "data"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(row, "margin_basis_points")), -37531);
    fixture_close(&f);
    fixture_tamper(&f, "DELETE FROM usage_rollup");
    AUTO(json_decref_ptr) json_t *nothing = report("organization");
    row = json_array_get(json_object_get(nothing, "data"), 0);
    ck_assert(json_is_null(json_object_get(row, "margin_basis_points")));
}
END_TEST

static enum status in_india(struct ledger_call *call, struct db *db, int64_t now_us)
{
    char err[256];
    (void)call;
    const struct contract_change c = { .starts_us = now_us,
                                       .credit_atoms = MONEY_ATOMS_MAX,
                                       .time_zone = "Asia/Kolkata" };
    enum status s = contract_change(db, 1, &c, now_us, err);
    return s ? s : ledger_reload_projects(f.ledger);
}

/* Months of India end at half past: an hour that lies in two periods has a sum of each. */
START_TEST(test_an_hour_in_two_periods)
{
    fixture_free(&f);
    fixture_init(&f);
    fixture_catalog(&f);
    acme = fixture_project(&f, "acme", 100000 * MONEY_ATOMS_PER_UNIT, "month");
    struct ledger_call costs = { .op.kind = LEDGER_CALL, .run = publish };
    struct ledger_call zone = { .op.kind = LEDGER_CALL, .run = in_india };
    ck_assert_int_eq(fixture_submit(&f, &costs.op), STATUS_OK);
    ck_assert_int_eq(fixture_submit(&f, &zone.op), STATUS_OK);
    const struct ledger_attempt one[] = { attempt_of(10, 0) };
    f.wall_us = INT64_C(1796062800000000); /* 2026-11-30T18:20:00Z */
    request(acme, OUTCOME_OK, 10, one, 1);
    f.wall_us += INT64_C(20) * 60 * 1000000;
    request(acme, OUTCOME_OK, 10, one, 1);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) = 2 AND count(DISTINCT hour_us) = 1 AND"
                                     " count(DISTINCT period) = 2 FROM cost_rollup"),
                     1);
    fixture_audit_clean(&f);
    fixture_close(&f);
    fixture_tamper(&f, "UPDATE cost_rollup SET attempts = 2 WHERE period = (SELECT min(period)"
                       " FROM cost_rollup); DELETE FROM cost_rollup WHERE attempts = 1");
    ck_assert_int_gt(fixture_audit_problems(&f), 0);
}
END_TEST

#define OPEN(rest) "DROP TRIGGER attempt_stays_u; UPDATE attempt SET " rest
#define GONE(rest) "DROP TRIGGER attempt_stays_d; DELETE FROM attempt WHERE " rest

static const char *const damage[] = {
    OPEN("cost_atoms = cost_atoms + 1 WHERE wasted_atoms = 0"),
    OPEN("lines = replace(lines, '[1,100,', '[1,101,')"),
    OPEN("lines = 'none'"),
    OPEN("wasted_atoms = 1 WHERE wasted_atoms = 0"),
    OPEN("wasted_atoms = 0 WHERE rid = (SELECT rid FROM settlement WHERE outcome = 'failed_pre')"),
    OPEN("number = 3 WHERE number = 2"),
    OPEN("backend = 1 WHERE number = 2"),
    OPEN("model = 1 WHERE number = 2"),
    OPEN("basis = 'none' WHERE wasted_atoms > 0"),
    GONE("number = 2"),
    "UPDATE cost_rollup SET cost_atoms = cost_atoms + 1 WHERE project = 1",
    "UPDATE cost_rollup SET attempts = 7 WHERE project = 1",
    "DELETE FROM cost_rollup",
    "DROP TRIGGER cost_version_stays_u; UPDATE cost_version SET text = replace(text, '500/1', '501/1')",
    "DROP TRIGGER ledger_entry_stays_u; UPDATE ledger_entry SET account = account + 3 WHERE account % 32 = 12",
};

START_TEST(test_damage_is_found)
{
    fixture_close(&f);
    ck_assert_int_eq(fixture_audit_problems(&f), 0);
    fixture_tamper(&f, damage[_i]);
    ck_assert_msg(fixture_audit_problems(&f) > 0, "not found: %s", damage[_i]);
}
END_TEST

START_TEST(test_attempts_are_never_changed)
{
    fixture_close(&f);
    struct db *db;
    char path[128], err[256];
    snprintf(path, sizeof path, "%s/ledger.db", f.dir);
    ck_assert_int_eq(db_open(path, DB_WRITER, &db, err), STATUS_OK);
    ck_assert_int_ne(db_run(db_prepare(db, "UPDATE attempt SET cost_atoms = 0")), STATUS_OK);
    ck_assert_int_ne(db_run(db_prepare(db, "DELETE FROM attempt")), STATUS_OK);
    ck_assert_int_ne(db_run(db_prepare(db, "DELETE FROM cost_version")), STATUS_OK);
    db_close(db);
}
END_TEST

#define BACKEND(costs) "backends:\n  w: {transport: shm, address: /run/w.sock, costs: " costs "}\n"
#define MODELS                                                                       \
    "models:\n  base/chat: {capabilities: [chat], routes: [{backend: w, model: m}]," \
    " price: {input_uncached_tokens: 0, output_text_tokens: 0}}\n"

static const struct {
    const char *text, *error;
} bad[] = {
    { BACKEND("[m]"), "t.yaml:2:45: backends.w.costs: expected a map of keys, not a list" },
    { BACKEND("{m: {image: 1}}"),
      "t.yaml:2:57: backends.w.costs.m: unknown meter 'image'; did you mean 'images'?" },
    { BACKEND("{m: {characters: {package: 2/1M}}}"),
      "t.yaml:2:53: backends.w.costs.m: what a call costs cannot depend on the calls before it; "
      "expected prices by the unit, or flat for each request" },
    { BACKEND("{'a b': {requests: 1}}"),
      "t.yaml:2:53: backends.w.costs: 'a b' is no name of a model: it may have no blanks" },
    { BACKEND("{other: {requests: 1}}") MODELS,
      "t.yaml:2:53: backends.w.costs: the cost of 'other' has no effect: no route leads to it" },
};

START_TEST(test_bad_costs)
{
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES] = "";
    const char *text = bad[_i].text;
    ck_assert_int_eq(conf_parse("t.yaml", text, strlen(text), &c, err), STATUS_BAD_FIELD);
    ck_assert_str_eq(err, bad[_i].error);
}
END_TEST

static struct conf *parsed(const char *text, size_t len)
{
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES] = "";
    ck_assert_msg(conf_parse("t.yaml", text, len, &c, err) == STATUS_OK, "%s", err);
    return c;
}

/* What is printed is read back as the same book, and is another book than that of prices. */
START_TEST(test_costs_are_a_book_of_their_own)
{
    static const char text[] = BACKEND("{m: {requests: 0.5, output_text_tokens: [{unit: 2/1M},"
                                       " {unit: 1/1M, service_tier: flex}]}}") MODELS;
    struct conf *c = parsed(text, sizeof text - 1);
    const struct catalog *k = c->catalog;
    ck_assert_ptr_nonnull(strstr(k->cost_text, "@w/m requests 5000000000/1\n"));
    ck_assert_ptr_nonnull(strstr(k->cost_text, "service_tier=flex"));
    ck_assert_ptr_null(strstr(k->price_text, "@w/m"));
    ck_assert_ptr_eq(k->models[0].routes[0].cost, &k->backends[0].costs[0]);
    ck_assert(k->models[0].cost_facts && k->models[0].cost_dims);
    char *printed = NULL;
    size_t len;
    FILE *out = open_memstream(&printed, &len);
    conf_print(c, out);
    fclose(out);
    struct conf *again = parsed(printed, len);
    ck_assert_mem_eq(again->catalog->cost_sha256, k->cost_sha256, 32);
    conf_free(again);
    conf_free(c);
    free(printed);
}
END_TEST

Suite *costs_suite(void)
{
    Suite *s = suite_create("costs");
    TCase *t = tcase_create("costs");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_costs_are_posted_apart_from_revenue);
    tcase_add_test(t, test_margins);
    tcase_add_test(t, test_a_loss_and_nothing_earned);
    tcase_add_test(t, test_an_hour_in_two_periods);
    tcase_add_loop_test(t, test_damage_is_found, 0, sizeof damage / sizeof *damage);
    tcase_add_test(t, test_attempts_are_never_changed);
    suite_add_tcase(s, t);
    t = tcase_create("configured");
    tcase_add_loop_test(t, test_bad_costs, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, test_costs_are_a_book_of_their_own);
    suite_add_tcase(s, t);
    return s;
}
