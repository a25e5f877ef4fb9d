/* tests/unit/test_history.c -- what a request, a question of finance and a start cost does not
 * grow with what is stored: steps of SQLite's machine and pages read, counted at two months of
 * history and at twenty. */
#include "base/cleanup.h"
#include "billing/document.h"
#include "billing/minutes.h"
#include "billing/usage_page.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include "gen/unit_suites.h"

#define DAY_US   (INT64_C(86400) * 1000000)
#define RID_BITS 22

enum { PER_DAY = 20, DAYS = 60, ORGANIZATIONS = 3 };

static struct fixture f;
static int64_t project[ORGANIZATIONS];

/* ---- counting ------------------------------------------------------------------------------ */

struct work {
    int64_t steps, scanned, pages;
};

static struct work done; /* by every connection since it was last cleared */

static int on_statement(unsigned kind, void *arg, void *statement, void *ns)
{
    (void)kind, (void)ns;
    sqlite3 *db = arg;
    int pages = 0, highest = 0;
    const char *sql = sqlite3_sql(statement);
    int steps = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
    int scanned = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_FULLSCAN_STEP, 1);
    sqlite3_db_status(db, SQLITE_DBSTATUS_CACHE_MISS, &pages, &highest, 1);
    if (sql && strstr(sql, "quick_check")) /* of a file below 64 MiB only: bounded by that */
        return 0;
    __atomic_add_fetch(&done.steps, steps, __ATOMIC_RELAXED);
    __atomic_add_fetch(&done.scanned, scanned, __ATOMIC_RELAXED);
    __atomic_add_fetch(&done.pages, pages, __ATOMIC_RELAXED);
    return 0;
}

static int watch(sqlite3 *db, const char **err, const struct sqlite3_api_routines *api)
{
    (void)err, (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_PROFILE, on_statement, db);
}

static void count_from_here(void)
{
    done = (struct work){ 0 };
}

/* ---- a history ----------------------------------------------------------------------------- */

static unsigned waited_for;
static bool door_reached, door_open;
static struct ledger_call door;
static struct ledger_hold holds[PER_DAY];
static struct ledger_settle settles[PER_DAY];

static void counted(struct ledger_op *op)
{
    if (op->status == STATUS_OK)
        __atomic_sub_fetch(&waited_for, 1, __ATOMIC_RELEASE);
}

static enum status wait_for_the_door(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call, (void)db, (void)now_us;
    __atomic_store_n(&door_reached, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&door_open, __ATOMIC_ACQUIRE))
        sched_yield();
    return STATUS_OK;
}

/* What is submitted until open_door is one batch, whatever the scheduler does. */
static void close_door(void)
{
    door_reached = door_open = false;
    waited_for = PER_DAY + 1;
    door = (struct ledger_call){ .op = { .kind = LEDGER_CALL, .done = counted },
                                 .run = wait_for_the_door };
    ledger_submit(f.ledger, &door.op);
    while (!__atomic_load_n(&door_reached, __ATOMIC_ACQUIRE)) /* what follows is behind its batch */
        sched_yield();
}

static void open_door(void)
{
    __atomic_store_n(&door_open, true, __ATOMIC_RELEASE);
    while (__atomic_load_n(&waited_for, __ATOMIC_ACQUIRE) > 0)
        sched_yield();
}

/* A day's requests in two batches. */
static void one_day(void)
{
    f.next_rid = (f.wall_us / 1000 - INT64_C(1704067200000)) << RID_BITS;
    close_door();
    for (int i = 0; i < PER_DAY; i++) {
        holds[i] = fixture_hold_of(&f, project[i % ORGANIZATIONS], 1000000);
        holds[i].op.done = counted;
        ledger_submit(f.ledger, &holds[i].op);
    }
    open_door();
    close_door();
    for (int i = 0; i < PER_DAY; i++) {
        settles[i] = fixture_settle_of(&holds[i], 10, 5);
        settles[i].op.done = counted;
        ledger_submit(f.ledger, &settles[i].op);
    }
    open_door();
}

/* So many days of requests up to now. */
static void store_of(int days)
{
    f = (struct fixture){ .wall_us = FIXTURE_NOW_US - days * DAY_US };
    snprintf(f.dir, sizeof f.dir, "/tmp/maasgate-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f.dir));
    fixture_open(&f);
    fixture_catalog(&f);
    for (int i = 0; i < ORGANIZATIONS; i++) {
        char slug[16];
        snprintf(slug, sizeof slug, "p%d", i);
        project[i] = fixture_project(&f, slug, MONEY_ATOMS_MAX, "month");
    }
    for (int day = 0; day < days; day++, f.wall_us += DAY_US)
        one_day();
}

/* ---- what is asked ------------------------------------------------------------------------- */

static struct work insert_cost(void)
{
    count_from_here();
    one_day();
    return done;
}

static struct work start_cost(void)
{
    fixture_close(&f);
    count_from_here();
    fixture_open(&f);
    struct work cost = done;
    return cost;
}

/* What a killed daemon leaves: the last floor that it wrote, and no word that all is settled. */
static struct work recovery_cost(void)
{
    fixture_close(&f);
    fixture_tamper(&f, "UPDATE boot SET clean = 0, open_floor = (SELECT max(rid) FROM request_open)"
                       " WHERE boot = (SELECT max(boot) FROM boot)");
    count_from_here();
    fixture_open(&f);
    struct work cost = done;
    return cost;
}

static struct work page_cost(const struct usage_page_query *q)
{
    AUTO(buf_free) struct buf page;
    buf_init(&page, USAGE_PAGE_BYTES);
    struct db *db = fixture_reader(&f);
    count_from_here();
    ck_assert_int_eq(usage_page(db, q, &page), STATUS_OK);
    struct work cost = done;
    db_close(db);
    return cost;
}

static struct work costs_cost(void)
{
    const struct usage_page_query q = { .project = project[0],
                                        .kind = USAGE_COSTS,
                                        .group = GROUP_MODEL | GROUP_METER,
                                        .first_us = FIXTURE_NOW_US - 45 * DAY_US,
                                        .to_us = FIXTURE_NOW_US - 15 * DAY_US,
                                        .width_us = DAY_US,
                                        .buckets = 31 };
    return page_cost(&q);
}

static struct work minutes_cost(void)
{
    const struct usage_page_query q = { .project = project[0],
                                        .first_us = FIXTURE_NOW_US - 15 * DAY_US,
                                        .to_us = FIXTURE_NOW_US - 14 * DAY_US,
                                        .width_us = MINUTE_US,
                                        .buckets = 1440 };
    return page_cost(&q);
}

/* The first month there is: it must not cost what came after it. */
static struct work served_cost(int days)
{
    AUTO(json_decref_ptr) json_t *rows = NULL;
    struct db *db = fixture_reader(&f);
    int64_t began_us = FIXTURE_NOW_US - days * DAY_US;
    const struct usage_query q = { .from_us = began_us,
                                   .to_us = began_us + 28 * DAY_US,
                                   .group_by = "served" };
    count_from_here();
    ck_assert_int_eq(report_usage(db, &q, &rows), STATUS_OK);
    ck_assert_int_ge(json_integer_value(json_object_get(rows, "requests")), 27 * PER_DAY);
    struct work cost = done;
    db_close(db);
    return cost;
}

static struct work invoice_cost(void)
{
    static const struct seller seller = { "S", "A", "T", "B", 600, 2 };
    AUTO(json_decref_ptr) json_t *invoice = NULL;
    struct db *db = fixture_reader(&f);
    count_from_here();
    ck_assert_int_eq(document_of_month(db, "p0", "2026-10", &seller, f.wall_us, &invoice),
                     STATUS_OK);
    struct work cost = done;
    db_close(db);
    return cost;
}

enum { INSERT, START, RECOVERY, COSTS, MINUTES, SERVED, INVOICE, COST_COUNT };

static void measure(int days, struct work cost[static COST_COUNT])
{
    store_of(days);
    cost[START] = start_cost();
    one_day(); /* the first one after a start looks its periods up */
    f.wall_us += 1000000;
    cost[INSERT] = insert_cost();
    cost[RECOVERY] = recovery_cost();
    cost[COSTS] = costs_cost();
    cost[MINUTES] = minutes_cost();
    cost[SERVED] = served_cost(days);
    cost[INVOICE] = invoice_cost();
    fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_free(&f);
}

/* A tree of ten times the rows may be a level deeper. */
static void check_flat(const char *what, const struct work *small, const struct work *large)
{
    if (getenv("MAASGATE_SHOW"))
        fprintf(stderr, "%-9s steps %jd -> %jd, scanned %jd -> %jd, pages %jd -> %jd\n", what,
                (intmax_t)small->steps, (intmax_t)large->steps, (intmax_t)small->scanned,
                (intmax_t)large->scanned, (intmax_t)small->pages, (intmax_t)large->pages);
    ck_assert_msg(small->steps > 0, "%s: nothing was counted", what);
    ck_assert_msg(large->steps <= small->steps + small->steps / 20 + 50, "%s: %jd steps became %jd",
                  what, (intmax_t)small->steps, (intmax_t)large->steps);
    ck_assert_msg(large->pages <= small->pages + small->pages / 10 + 10, "%s: %jd pages became %jd",
                  what, (intmax_t)small->pages, (intmax_t)large->pages);
}

START_TEST(test_flat)
{
    static const char *const names[COST_COUNT] = { "insert",  "start",  "recovery", "costs",
                                                   "minutes", "served", "invoice" };
    struct work small[COST_COUNT], large[COST_COUNT];
    sqlite3_auto_extension((void (*)(void))watch);
    measure(DAYS, small);
    measure(10 * DAYS, large);
    sqlite3_cancel_auto_extension((void (*)(void))watch);
    for (int i = 0; i < COST_COUNT; i++)
        check_flat(names[i], &small[i], &large[i]);
}
END_TEST

Suite *history_suite(void)
{
    Suite *s = suite_create("history");
    TCase *t = tcase_create("flat");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_flat);
    suite_add_tcase(s, t);
    return s;
}
