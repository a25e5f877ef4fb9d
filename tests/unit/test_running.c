/* tests/unit/test_running.c -- what the ledger is told of a request while it runs. */
#include "base/digest.h"
#include "billing/checkpoint.h"
#include "billing/running.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <stdio.h>
#include <string.h>

#define UNIT MONEY_ATOMS_PER_UNIT

static struct fixture f;
static int64_t rich;

static void setup(void)
{
    rich = fixture_rich(&f);
}

static void teardown(void)
{
    fixture_end(&f);
}

static struct ledger_hold held(int64_t project, int64_t atoms)
{
    struct ledger_hold h = fixture_hold_of(&f, project, atoms);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    return h;
}

/* Adds to h->hold what was granted. */
static enum status more(struct ledger_hold *h, int64_t leg, int64_t atoms)
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

static void settle(const struct ledger_hold *h, uint64_t tokens_in)
{
    struct ledger_settle s = fixture_settle_of(h, tokens_in, 0);
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
}

START_TEST(test_a_settlement_may_take_all_legs)
{
    struct ledger_hold h = held(rich, 250000);
    ck_assert_int_eq(more(&h, 1, 250000), STATUS_OK);
    ck_assert_int_eq(more(&h, 2, 500000), STATUS_OK);
    settle(&h, 40); /* 25000 atoms each */
    ck_assert_int_eq(fixture_int(&f, "SELECT amount_atoms FROM settlement"), 1000000);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(atoms) FROM hold_more"), 750000);
}
END_TEST

START_TEST(test_a_budget_is_hard)
{
    int64_t poor = fixture_project(&f, "poor", 1000000, "month");
    struct ledger_hold h = held(poor, 500000), other = held(poor, 250000);
    ck_assert_int_eq(more(&h, 1, 250001), STATUS_NO_QUOTA);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM hold_more"), 0);
    ck_assert_int_eq(more(&h, 1, 250000), STATUS_OK);
    ck_assert_int_eq(more(&other, 1, 1), STATUS_NO_QUOTA);
    settle(&h, 0); /* what was held and not used is free again */
    ck_assert_int_eq(more(&other, 1, 750000), STATUS_OK);
    settle(&other, 40);
}
END_TEST

START_TEST(test_a_leg_is_held_once)
{
    struct ledger_hold h = held(rich, 250000);
    ck_assert_int_eq(more(&h, 1, 25000), STATUS_OK);
    ck_assert_int_eq(more(&h, 1, 25000), STATUS_CONFLICT);
    settle(&h, 11);
    /* Nothing is left held: the whole budget is. */
    struct ledger_hold all = held(rich, 1000 * UNIT - 275000);
    settle(&all, 0);
}
END_TEST

/* ---- checkpoints --------------------------------------------------------------------------- */

static void checkpoint(const struct ledger_hold *h, int64_t atoms, const char *lines)
{
    struct ledger_checkpoint c = { .op.kind = LEDGER_CHECKPOINT,
                                   .rid = h->rid,
                                   .model = 1,
                                   .model_served = 1,
                                   .backend = 3,
                                   .first_byte_us = 7,
                                   .amount = { atoms } };
    snprintf(c.lines, sizeof c.lines, "%s", lines);
    ck_assert_int_eq(fixture_submit(&f, &c.op), STATUS_OK);
}

/* A kill, as far as the rows go. */
static void start_again(void)
{
    fixture_close(&f);
    fixture_open(&f);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM checkpoint"), 0);
    fixture_audit_clean(&f);
}

#define ORPHAN "outcome = 'orphan' AND evidence = 'estimate'"

START_TEST(test_the_last_checkpoint_is_charged)
{
    struct ledger_hold h = held(rich, 5000000), silent = held(rich, 5000000);
    ck_assert_int_eq(more(&h, 1, 1000000), STATUS_OK);
    checkpoint(&h, 350000, "[[1,10,250000],[4,1,100000]]");
    checkpoint(&h, 5250000, "[[1,10,250000],[4,50,5000000]]"); /* more than the first part */
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM checkpoint"), 1);
    start_again();
    ck_assert_int_eq(fixture_int(&f, "SELECT amount_atoms FROM settlement WHERE " ORPHAN), 5250000);
    ck_assert_int_eq(fixture_int(&f, "SELECT backend = 3 AND first_byte_us = 7 AND lines ="
                                     " '[[1,10,250000],[4,50,5000000]]' FROM settlement"),
                     1);
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT outcome = 'orphan_0' FROM settlement WHERE rid = %d",
             (int)silent.rid);
    ck_assert_int_eq(fixture_int(&f, sql), 1);
    start_again();
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement"), 2);
}
END_TEST

START_TEST(test_a_settlement_forgets_its_checkpoint)
{
    struct ledger_hold h = held(rich, 5000000);
    checkpoint(&h, 250000, "[[1,10,250000]]");
    struct ledger_settle s = fixture_settle_of(&h, 20, 0);
    s.checkpointed = true;
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
    start_again();
    ck_assert_int_eq(fixture_int(&f, "SELECT amount_atoms FROM settlement"), 500000);
}
END_TEST

static const char by_the_period[] =
    "currency USD book tiers\n"
    "base/chat input_uncached_tokens graduated 100:25000/1,*:10000/1\n"
    "base/chat output_text_tokens included 5\n"
    "base/chat output_text_tokens volume 10:100000/1,*:50000/1 service_tier=flex\n"
    "base/chat output_text_tokens unit 7/1\n";

static enum status publish(struct ledger_call *call, struct db *db, int64_t now_us)
{
    uint8_t sha256[DIGEST_BYTES];
    digest_sha256(by_the_period, strlen(by_the_period), sha256);
    return ledger_publish_prices(db, "tiers", "USD", by_the_period, sha256, now_us, call->arg);
}

static struct ledger_hold held_by_the_period(void)
{
    int64_t version = 0;
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = publish, .arg = &version };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    struct ledger_hold h = fixture_hold_of(&f, rich, 5000000);
    h.price_version = version;
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    return h;
}

/* A loop notes each as the first of its period; the count goes on from one to the other. */
START_TEST(test_prices_by_the_period_go_on)
{
    static const char noted[] = "[[1,60,1500000],[4,5,0],[4,3,300000,1],"
                                "{\"context\":60,\"service_tier\":\"flex\"}]";
    for (int i = 0; i < 3; i++) {
        struct ledger_hold h = held_by_the_period();
        checkpoint(&h, 1800000, noted);
    }
    start_again();
    static const char lines[] =
        "SELECT group_concat(lines, ' ') = '"
        "[[1,60,1500000],[4,5,0],[4,3,300000,1],{\"context\":60,\"service_tier\":\"flex\"}] "
        "[[1,60,1200000,0,60],[4,8,800000,1,3],{\"context\":60,\"service_tier\":\"flex\"}] "
        "[[1,60,600000,0,120],[4,8,800000,1,11],{\"context\":60,\"service_tier\":\"flex\"}]'"
        " FROM (SELECT lines FROM settlement WHERE " ORPHAN " ORDER BY rid)";
    ck_assert_int_eq(fixture_int(&f, lines), 1);
}
END_TEST

static const struct {
    int64_t atoms;
    const char *lines;
} bad_of_the_period[] = {
    { 1500000, "[[1,60,1500000]]" }, /* nothing says what chose the price */
    { 1500000, "[[1,60,1500000],{\"context\":-1}]" },
    { 1500000, "[[1,60,1500000],{\"context\":\"60\"}]" },
    { 1500000, "[[1,600,1500000],{\"context\":600}]" },                 /* beyond its hold */
    { 1500000, "[[1,9223372036854775807,1500000],{\"context\":600}]" }, /* or any amount */
};

START_TEST(test_a_period_s_price_that_cannot_be_right)
{
    struct ledger_hold h = held_by_the_period();
    checkpoint(&h, bad_of_the_period[_i].atoms, bad_of_the_period[_i].lines);
    start_again();
    ck_assert_int_eq(fixture_int(&f, "SELECT amount_atoms FROM settlement"), 0);
    ck_assert_int_eq(fixture_int(&f, "SELECT outcome = 'orphan_0' AND lines = '[]' AND backend = 0"
                                     " FROM settlement"),
                     1);
}
END_TEST

/* What cannot be right charges nothing, and the daemon starts. */
static const struct {
    int64_t atoms;
    const char *lines;
} bad_checkpoints[] = {
    { 250001, "[[1,10,250000]]" },       { 250000, "[[1,10,250000]" },
    { 250000, "[[1,10,250000],[4]]" },   { 250000, "[[99,10,250000]]" },
    { 9000000, "[[1,360,9000000]]" },    { 250000, "nonsense" },
    { 250000, "[[1,10,250000]] " },      { 250000, "[[1,99999999999999999999,250000]]" },
    { 250000, "[[1,10,250000,70000]]" }, { 250000, "[[1,10,250000],{\"context\":1]" },
};

START_TEST(test_a_checkpoint_that_cannot_be_right)
{
    struct ledger_hold h = held(rich, 5000000);
    checkpoint(&h, bad_checkpoints[_i].atoms, bad_checkpoints[_i].lines);
    start_again();
    ck_assert_int_eq(fixture_int(&f, "SELECT amount_atoms FROM settlement"), 0);
    ck_assert_int_eq(fixture_int(&f, "SELECT outcome = 'orphan_0' FROM settlement"), 1);
}
END_TEST

/* More orphans than are read at once, and a budget that they have used up. */
START_TEST(test_many_orphans_count_against_their_budget)
{
    int64_t poor = fixture_project(&f, "poor", 40 * 250000, "total");
    for (int i = 0; i < 40; i++) {
        struct ledger_hold h = held(poor, 250000);
        checkpoint(&h, 250000, "[[1,10,250000]]");
    }
    start_again();
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement WHERE " ORPHAN), 40);
    struct ledger_hold h = fixture_hold_of(&f, poor, 1);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_NO_QUOTA);
}
END_TEST

Suite *running_suite(void)
{
    Suite *s = suite_create("running");
    TCase *t = tcase_create("more");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_settlement_may_take_all_legs);
    tcase_add_test(t, test_a_budget_is_hard);
    tcase_add_test(t, test_a_leg_is_held_once);
    suite_add_tcase(s, t);
    t = tcase_create("checkpoints");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_the_last_checkpoint_is_charged);
    tcase_add_test(t, test_a_settlement_forgets_its_checkpoint);
    tcase_add_loop_test(t, test_a_checkpoint_that_cannot_be_right, 0,
                        sizeof bad_checkpoints / sizeof bad_checkpoints[0]);
    tcase_add_test(t, test_prices_by_the_period_go_on);
    tcase_add_loop_test(t, test_a_period_s_price_that_cannot_be_right, 0,
                        sizeof bad_of_the_period / sizeof bad_of_the_period[0]);
    tcase_add_test(t, test_many_orphans_count_against_their_budget);
    suite_add_tcase(s, t);
    return s;
}
