/* tests/unit/test_ledger.c -- hold, settle, budgets, calls, months, batches. */
#include "billing/floor.h"
#include "billing/rollup.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define UNIT   MONEY_ATOMS_PER_UNIT
#define DAY_US (INT64_C(24) * 3600 * 1000000)

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

START_TEST(test_hold_and_settle)
{
    struct ledger_hold h = fixture_hold_of(&f, rich, 87550000);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    ck_assert_int_eq(fixture_int(&f, "SELECT hold_atoms FROM request_open"), 87550000);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement"), 0);
    struct ledger_settle s = fixture_settle_of(&h, 1234, 567);
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
    ck_assert_int_eq(fixture_int(&f, "SELECT amount_atoms FROM settlement"), 87550000);
    ck_assert_int_eq(fixture_int(&f, "SELECT lines = '[[1,1234,30850000],[4,567,56700000]]'"
                                     " FROM settlement"),
                     1);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(requests) FROM usage_rollup"), 1);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(atoms) FROM usage_rollup"), 87550000);
    ck_assert_int_eq(fixture_int(&f, "SELECT posted_atoms FROM account_balance JOIN account a"
                                     " ON a.id = account WHERE kind = 'revenue'"),
                     -87550000);
    ck_assert_uint_eq(ledger_stats(f.ledger)->settles, 1);
}
END_TEST

START_TEST(test_an_id_is_held_and_settled_once)
{
    struct ledger_hold h = fixture_hold_of(&f, rich, 250000), again = h;
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    ck_assert_int_eq(fixture_hold(&f, &again), STATUS_CONFLICT);
    struct ledger_settle s = fixture_settle_of(&h, 10, 0), twice = s;
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
    ck_assert_int_eq(fixture_settle(&f, &twice), STATUS_CONFLICT);
    struct ledger_hold never = fixture_hold_of(&f, rich, 250000);
    struct ledger_settle unheld = fixture_settle_of(&never, 10, 0);
    ck_assert_int_eq(fixture_settle(&f, &unheld), STATUS_BAD_FIELD);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(atoms) FROM usage_rollup"), 250000);
}
END_TEST

START_TEST(test_nothing_is_charged_for_a_failure)
{
    struct ledger_hold h = fixture_hold_of(&f, rich, 250000);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    struct ledger_settle s = fixture_settle_of(&h, 0, 0);
    s.outcome = OUTCOME_FAILED_PRE;
    s.evidence = EVIDENCE_NONE;
    s.first_byte_us = -1;
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
    ck_assert_int_eq(fixture_int(&f, "SELECT requests FROM usage_rollup"), 1);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM ledger_tx"), 0);
    ck_assert_int_eq(fixture_int(&f, "SELECT first_byte_us IS NULL FROM settlement"), 1);
}
END_TEST

/* ---- budgets ------------------------------------------------------------------------------- */

START_TEST(test_budget_is_hard)
{
    int64_t poor = fixture_project(&f, "poor", 1000000, "total");
    struct ledger_hold a = fixture_hold_of(&f, poor, 600000);
    struct ledger_hold b = fixture_hold_of(&f, poor, 400001);
    struct ledger_hold c = fixture_hold_of(&f, poor, 400000);
    ck_assert_int_eq(fixture_hold(&f, &a), STATUS_OK);
    ck_assert_int_eq(fixture_hold(&f, &b), STATUS_NO_QUOTA);
    ck_assert_int_eq(fixture_hold(&f, &c), STATUS_OK);
    struct ledger_settle s = fixture_settle_of(&a, 4, 0); /* 100000: half a million is free again */
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
    struct ledger_hold d = fixture_hold_of(&f, poor, 500001);
    struct ledger_hold e = fixture_hold_of(&f, poor, 500000);
    ck_assert_int_eq(fixture_hold(&f, &d), STATUS_NO_QUOTA);
    ck_assert_int_eq(fixture_hold(&f, &e), STATUS_OK);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM request_open"), 3);
    ck_assert_uint_eq(ledger_stats(f.ledger)->refused, 2);
}
END_TEST

START_TEST(test_unknown_project_and_overflow)
{
    struct ledger_hold h = fixture_hold_of(&f, 77, 0);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_NO_QUOTA);
    int64_t whale = fixture_project(&f, "whale", INT64_MAX, "total");
    struct ledger_hold a = fixture_hold_of(&f, whale, MONEY_ATOMS_MAX);
    struct ledger_hold b = fixture_hold_of(&f, whale, MONEY_ATOMS_MAX);
    ck_assert_int_eq(fixture_hold(&f, &a), STATUS_OK);
    ck_assert_int_eq(fixture_hold(&f, &b), STATUS_NO_QUOTA);
}
END_TEST

static void spend(int64_t project, int64_t atoms, enum status expected)
{
    struct ledger_hold h = fixture_hold_of(&f, project, atoms);
    ck_assert_int_eq(fixture_hold(&f, &h), expected);
    if (expected)
        return;
    struct ledger_settle s = fixture_settle_of(&h, (uint64_t)atoms / 25000, 0);
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
}

START_TEST(test_month_begins_anew_and_total_never)
{
    int64_t monthly = fixture_project(&f, "monthly", 100000, "month");
    int64_t total = fixture_project(&f, "total", 100000, "total");
    spend(monthly, 100000, STATUS_OK);
    spend(total, 100000, STATUS_OK);
    spend(monthly, 25000, STATUS_NO_QUOTA);
    f.wall_us +=
        15 * DAY_US + DAY_US / 2 - 1; /* the last microsecond of November, and one batch later */
    spend(monthly, 25000, STATUS_NO_QUOTA);
    f.wall_us += 1;
    spend(monthly, 25000, STATUS_OK);
    spend(total, 25000, STATUS_NO_QUOTA);
    f.wall_us -= 20 * DAY_US; /* the ledger's clock does not go back */
    spend(monthly, 75000, STATUS_OK);
    spend(monthly, 25000, STATUS_NO_QUOTA);
}
END_TEST

START_TEST(test_budgets_are_rebuilt_at_open)
{
    int64_t monthly = fixture_project(&f, "monthly", 100000, "month");
    int64_t total = fixture_project(&f, "total", 100000, "total");
    spend(monthly, 75000, STATUS_OK);
    spend(total, 75000, STATUS_OK);
    fixture_close(&f);
    fixture_open(&f);
    spend(monthly, 50000, STATUS_NO_QUOTA);
    spend(total, 50000, STATUS_NO_QUOTA);
    spend(monthly, 25000, STATUS_OK);
    spend(total, 25000, STATUS_OK);
    fixture_close(&f);
    f.wall_us += 30 * DAY_US;
    fixture_open(&f);
    spend(monthly, 100000, STATUS_OK);
    spend(total, 25000, STATUS_NO_QUOTA);
}
END_TEST

enum { THREADS = 64, HOLDS_EACH = 100, ADMITTED = 1000 };
static int64_t contested;
static struct ledger_hold storm[THREADS][HOLDS_EACH];
static _Atomic unsigned admitted, refused;

static void *storm_thread(void *arg)
{
    struct ledger_hold *mine = arg;
    for (unsigned i = 0; i < HOLDS_EACH; i++)
        if (fixture_hold(&f, &mine[i]) == STATUS_OK)
            admitted++;
        else
            refused += mine[i].op.status == STATUS_NO_QUOTA;
    return NULL;
}

START_TEST(test_concurrent_holds_admit_exactly_what_is_covered)
{
    pthread_t threads[THREADS];
    contested = fixture_project(&f, "contested", ADMITTED * 7, "month");
    for (unsigned t = 0; t < THREADS; t++)
        for (unsigned i = 0; i < HOLDS_EACH; i++)
            storm[t][i] = fixture_hold_of(&f, contested, 7);
    for (unsigned t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_create(&threads[t], NULL, storm_thread, storm[t]), 0);
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    ck_assert_uint_eq(admitted, ADMITTED);
    ck_assert_uint_eq(refused, THREADS * HOLDS_EACH - ADMITTED);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM request_open"), ADMITTED);
    ck_assert_uint_lt(ledger_stats(f.ledger)->commits, THREADS * HOLDS_EACH);
    fixture_close(&f);
    fixture_open(&f); /* what is held and never settled is given back */
    ck_assert_uint_eq(ledger_stats(f.ledger)->recovered, ADMITTED);
}
END_TEST

/* ---- calls --------------------------------------------------------------------------------- */

static enum status insert_name(struct ledger_call *call, struct db *db, int64_t now_us)
{
    int64_t id;
    enum status s = ledger_name_id(db, "left-behind", &id);
    ck_assert_int_ge(now_us, f.wall_us);
    return s ? s : *(enum status *)call->arg;
}

START_TEST(test_a_call_that_fails_leaves_nothing)
{
    enum status answer = STATUS_FORBIDDEN;
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = insert_name, .arg = &answer };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_FORBIDDEN);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM name WHERE name = 'left-behind'"), 0);
    answer = STATUS_OK;
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM name WHERE name = 'left-behind'"), 1);
}
END_TEST

static enum status read_rollups(struct ledger_call *call, struct db *db, int64_t now_us)
{
    static const char sql[] = "SELECT coalesce(sum(requests), 0) FROM usage_rollup";
    (void)now_us;
    struct db_stmt *s = db_prepare(db, sql);
    ck_assert_int_eq(db_step(s), DB_ROW);
    *(int64_t *)call->arg = db_col_int(s, 0);
    db_reset(s);
    return STATUS_OK;
}

static void ignore(struct ledger_op *op)
{
    (void)op;
}

/* In whatever batches they end up: a call sees what was submitted before it. */
START_TEST(test_a_call_sees_the_newest_rows)
{
    static struct ledger_hold holds[500];
    static struct ledger_settle settles[500];
    for (unsigned i = 0; i < 500; i++) {
        holds[i] = fixture_hold_of(&f, rich, 250000);
        holds[i].op.done = ignore;
        settles[i] = fixture_settle_of(&holds[i], 10, 0);
        settles[i].op.done = ignore;
        ledger_submit(f.ledger, &holds[i].op);
        ledger_submit(f.ledger, &settles[i].op);
    }
    int64_t seen = -1;
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = read_rollups, .arg = &seen };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    ck_assert_int_eq(seen, 500);
}
END_TEST

START_TEST(test_prices_are_published_once)
{
    fixture_catalog(&f);
    fixture_catalog(&f);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM price_version"), 1);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM name"), 3);
}
END_TEST

/* ---- the store ----------------------------------------------------------------------------- */

/* Stamps go on while the wall clock is wrong, also after a restart. */
START_TEST(test_a_clock_that_goes_back_is_known)
{
    int64_t project = fixture_project(&f, "acme", 1000000, "total");
    fixture_request(&f, project, 1, 0);
    ck_assert_int_lt(ledger_clock_behind_us(f.ledger), 100); /* the fixture's clock stands still */
    f.wall_us -= 90000000;
    int64_t before = fixture_int(&f, "SELECT max(settled_us) FROM settlement");
    fixture_request(&f, project, 1, 0);
    ck_assert_int_gt(fixture_int(&f, "SELECT max(settled_us) FROM settlement"), before);
    ck_assert_int_ge(ledger_clock_behind_us(f.ledger), 90000000);
    fixture_close(&f);
    fixture_open(&f);
    ck_assert_int_gt(ledger_clock_behind_us(f.ledger), LEDGER_CLOCK_CLOSE_US);
    f.wall_us += 91000000;
    ck_assert_int_eq(ledger_clock_behind_us(f.ledger), 0);
}
END_TEST

START_TEST(test_second_daemon_is_refused)
{
    struct ledger *second = NULL;
    char err[256] = "";
    const struct ledger_options o = { .dir = f.dir, .currency = "USD", .env = &f.env };
    ck_assert_int_eq(ledger_open(&o, &second, err), STATUS_CONFLICT);
    ck_assert_ptr_nonnull(strstr(err, "another daemon"));
    ck_assert_ptr_null(second);
}
END_TEST

START_TEST(test_another_currency_is_refused)
{
    fixture_close(&f);
    struct ledger *l = NULL;
    char err[256] = "";
    const struct ledger_options o = { .dir = f.dir, .currency = "CNY", .env = &f.env };
    ck_assert_int_eq(ledger_open(&o, &l, err), STATUS_CONFLICT);
    ck_assert_str_eq(err, "the ledger is kept in USD, not in CNY");
}
END_TEST

static const char *const forbidden[] = {
    "UPDATE settlement SET amount_atoms = 0",
    "DELETE FROM settlement",
    "INSERT OR REPLACE INTO settlement SELECT * FROM settlement",
    "UPDATE request_open SET hold_atoms = 0",
    "DELETE FROM request_open",
    "UPDATE ledger_entry SET atoms = 1",
    "DELETE FROM ledger_tx",
    "UPDATE price_version SET text = ''",
};

static enum status tamper(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)now_us;
    return db_run(db_prepare(db, call->arg));
}

START_TEST(test_history_is_append_only)
{
    fixture_request(&f, rich, 10, 10);
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = tamper };
    memcpy(&call.arg, &forbidden[_i], sizeof call.arg);
    ck_assert_int_ne(fixture_submit(&f, &call.op), STATUS_OK);
    ck_assert(ledger_healthy(f.ledger));
    fixture_request(&f, rich, 10, 10);
}
END_TEST

/* ---- parts --------------------------------------------------------------------------------- */

START_TEST(test_floor_is_never_above_an_open_request)
{
    static struct floor floor;
    enum { IDS = 3000 };
    static rid_t ids[IDS];
    uint64_t seed = 12345;
    floor_init(&floor, FLOOR_SPAN_IDS * 1000);
    unsigned first = 0, next = 0;
    for (unsigned step = 0; step < 2 * IDS; step++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        if (next < IDS && (first == next || seed >> 33 & 1)) {
            rid_t late = (rid_t)(seed >> 40) * 64; /* some ids arrive after younger ones */
            ids[next] = FLOOR_SPAN_IDS * 1000 + (rid_t)next * FLOOR_SPAN_IDS / 3 - late;
            floor_add(&floor, ids[next++], 1);
        } else if (first < next) {
            floor_add(&floor, ids[first++], -1);
        }
        for (unsigned i = first; i < next; i++)
            ck_assert_int_le(floor_get(&floor), ids[i]);
        if (step % 5 == 0)
            floor_trim(&floor);
    }
    ck_assert_uint_eq(first, IDS);
    ck_assert_int_gt(floor_get(&floor), ids[IDS - 1] - 2 * FLOOR_SPAN_IDS);
}
END_TEST

START_TEST(test_rollup_table_gathers_and_empties)
{
    static struct rollup r;
    for (int round = 0; round < 3; round++) {
        for (int64_t i = 0; i < 4 * ROLLUP_ROWS; i++) {
            struct rollup_key key = { i % ROLLUP_ROWS, 1, round, 2, 3, 0, 4, 0 };
            struct rollup_row *row = rollup_row(&r, &key);
            ck_assert_ptr_nonnull(row);
            row->qty++;
        }
        ck_assert_uint_eq(r.rows, ROLLUP_ROWS);
        ck_assert_ptr_null(rollup_row(&r, &(struct rollup_key){ 1, 1, 1, 1, 1, 0, 4, 99 }));
        for (unsigned i = 0; i < ROLLUP_ROWS; i++)
            ck_assert_int_eq(r.row[i].qty, 4);
        rollup_clear(&r);
        for (unsigned i = 0; i < ROLLUP_SLOTS; i++)
            ck_assert_uint_eq(r.slot[i], 0);
    }
}
END_TEST

/* One more request in the row of this key and period. */
struct one_more {
    int64_t key, period;
    enum status wrote;
};

static enum status write_one_more(struct ledger_call *call, struct db *db, int64_t now_us)
{
    struct one_more *m = call->arg;
    static struct rollup r;
    struct rollup_key key = { rich, m->key, 1, METER_INPUT_UNCACHED, 1, 0, m->period, 0 };
    rollup_row(&r, &key)->requests++;
    m->wrote = rollup_write(&r, db, now_us - now_us % (3600 * INT64_C(1000000)));
    return STATUS_OK;
}

static enum status one_more(int64_t key, int64_t period)
{
    struct one_more m = { .key = key, .period = period };
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = write_one_more, .arg = &m };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    return m.wrote;
}

START_TEST(test_a_closed_period_takes_no_more)
{
    static const char rows[] = "SELECT count(*) FROM usage_rollup";
    static const char sum[] = "SELECT sum(requests) FROM usage_rollup";
    fixture_request(&f, rich, 10, 1);
    int64_t key = fixture_int(&f, "SELECT key FROM usage_rollup WHERE requests = 1");
    int64_t period = fixture_int(&f, "SELECT period FROM usage_rollup");
    int64_t before = fixture_int(&f, rows);
    ck_assert_int_eq(one_more(key, period), STATUS_OK);
    ck_assert_int_eq(one_more(key + 1, period), STATUS_OK);
    ck_assert_int_eq(one_more(key, period + 1), STATUS_BAD_FIELD); /* there is none */
    ck_assert_int_eq(fixture_int(&f, rows), before + 1);
    ck_assert_int_eq(fixture_int(&f, sum), 3);
    fixture_close(&f);
    fixture_tamper(&f, "UPDATE billing_period SET closed_us = 1");
    fixture_open(&f);
    ck_assert_int_eq(one_more(key, period), STATUS_BAD_FIELD);
    ck_assert_int_eq(one_more(key + 2, period), STATUS_BAD_FIELD);
    ck_assert_int_eq(fixture_int(&f, sum), 3);
    fixture_close(&f);
    fixture_tamper(&f, "UPDATE billing_period SET closed_us = 0;"
                       "DELETE FROM usage_rollup WHERE atoms = 0 AND qty = 0;"
                       "UPDATE usage_rollup SET requests = 1 WHERE requests = 2");
}
END_TEST

Suite *ledger_suite(void);
Suite *ledger_suite(void)
{
    Suite *s = suite_create("ledger");
    TCase *t = tcase_create("store");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_hold_and_settle);
    tcase_add_test(t, test_an_id_is_held_and_settled_once);
    tcase_add_test(t, test_nothing_is_charged_for_a_failure);
    tcase_add_test(t, test_budget_is_hard);
    tcase_add_test(t, test_unknown_project_and_overflow);
    tcase_add_test(t, test_month_begins_anew_and_total_never);
    tcase_add_test(t, test_budgets_are_rebuilt_at_open);
    tcase_add_test(t, test_concurrent_holds_admit_exactly_what_is_covered);
    tcase_add_test(t, test_a_call_that_fails_leaves_nothing);
    tcase_add_test(t, test_a_call_sees_the_newest_rows);
    tcase_add_test(t, test_prices_are_published_once);
    tcase_add_test(t, test_a_closed_period_takes_no_more);
    tcase_add_test(t, test_a_clock_that_goes_back_is_known);
    tcase_add_test(t, test_second_daemon_is_refused);
    tcase_add_test(t, test_another_currency_is_refused);
    tcase_add_loop_test(t, test_history_is_append_only, 0, sizeof forbidden / sizeof forbidden[0]);
    suite_add_tcase(s, t);
    t = tcase_create("parts");
    tcase_add_test(t, test_floor_is_never_above_an_open_request);
    tcase_add_test(t, test_rollup_table_gathers_and_empties);
    suite_add_tcase(s, t);
    return s;
}
