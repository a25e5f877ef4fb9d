/* tests/unit/test_running.c -- what the ledger is told of a request while it runs. */
#include "billing/running.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include "gen/unit_suites.h"

#define UNIT MONEY_ATOMS_PER_UNIT

static struct fixture f;
static int64_t rich;

static void setup(void)
{
    fixture_init(&f);
    fixture_catalog(&f);
    rich = fixture_project(&f, "rich", 1000 * UNIT, "month");
}

static void teardown(void)
{
    if (f.ledger)
        fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_free(&f);
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

Suite *running_suite(void)
{
    Suite *s = suite_create("running");
    TCase *t = tcase_create("more");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_settlement_may_take_all_legs);
    tcase_add_test(t, test_a_budget_is_hard);
    tcase_add_test(t, test_a_leg_is_held_once);
    suite_add_tcase(s, t);
    return s;
}
