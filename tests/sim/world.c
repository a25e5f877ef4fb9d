/* tests/sim/world.c -- see world.h. */
#include "tests/sim/world_inside.h"
#include "auth/keys.h"
#include "base/db_inside.h"
#include "billing/alert_due.h"
#include "billing/document.h"
#include "billing/fund.h"
#include "conf/catalog_alerts.h"
#include "gen/schema.h"
#include "tests/sim/disk.h"
#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPORT_BYTES = 4000 };

struct world_stats world_stats;
struct world world;
static char report[REPORT_BYTES];
static size_t report_len;
static unsigned violations;

void world_violation(const char *fmt, ...)
{
    va_list args;
    violations++;
    va_start(args, fmt);
    int n = vsnprintf(report + report_len, REPORT_BYTES - report_len, fmt, args);
    va_end(args);
    if (n > 0 && report_len + (size_t)n + 1 < REPORT_BYTES) {
        report_len += (size_t)n;
        report[report_len++] = '\n';
        report[report_len] = '\0';
    }
}

unsigned world_violations(void)
{
    return violations;
}

void world_forget_violations(unsigned but)
{
    violations = but;
    report_len = 0;
}

const char *world_report(void)
{
    return report;
}

/* ---- opening ------------------------------------------------------------------------------- */

bool world_open_db(bool normal)
{
    world.err[0] = '\0';
    if (db_open(WORLD_PATH, DB_WRITER, &world.db, world.err) != STATUS_OK)
        return false;
    if (normal) {
        sqlite3_exec(world.db->sqlite, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    }
    size_t count = sizeof schema_sql / sizeof *schema_sql;
    return db_migrate(world.db, schema_sql, count, world.err) == STATUS_OK;
}

/* Alerts are recorded with what they are about, or not at all. */
static struct catalog_webhook everybody = { .name = "all", .types = (1u << ALERT_TYPE_COUNT) - 1 };
const struct catalog_alerts world_alerts = { .thresholds = { 10, 50, 90 },
                                             .threshold_count = 3,
                                             .attempts = 2,
                                             .webhooks = &everybody,
                                             .webhook_count = 1 };

static enum status load_prices(struct db *d, void *arg)
{
    (void)arg;
    return prices_load(d, world.now_us);
}

bool world_open_books(void)
{
    uint64_t recovered = 0;
    memset(&world.books, 0, sizeof world.books);
    enum status s = books_open(&world.books, world.db, world.now_us, &recovered);
    world_stats.orphans += recovered;
    world_stats.starts++;
    alert_want(&world.books, &world_alerts, NULL, NULL);
    return s == STATUS_OK && db_tx(world.db, load_prices, NULL) == STATUS_OK;
}

void world_try_start(bool normal)
{
    bool started = world_open_db(normal) && world_open_books();
    world_stats.cut_starts += !started;
}

static enum status found(struct db *d, void *arg)
{
    (void)arg;
    return world_found(d);
}

static const struct tally tallies[TALLIES] = {
    [FUNDS] = { "funds", "SELECT count(*) FROM fund WHERE period IS NULL", 0, 0 },
    [INVOICES] = { "invoices", "SELECT count(*) FROM document", 0, 0 },
    [BOOKS_PUBLISHED] = { "price books", "SELECT count(*) FROM price_publication", WORLD_BOOKS, 0 },
    [DELIVERIES] = { "attempts to deliver an alert",
                     "SELECT coalesce(sum(attempts), 0) FROM alert_delivery", 0, 0 },
};

void world_create(bool normal)
{
    struct request *requests = world.requests;
    if (!requests)
        requests = calloc(REQUESTS_MAX, sizeof *requests);
    assert(requests);
    memset(requests, 0, REQUESTS_MAX * sizeof *requests);
    disk_format();
    world = (struct world){ .requests = requests, .now_us = WORLD_START, .next_rid = 1 };
    memcpy(world.tallies, tallies, sizeof tallies);
    world_forget_violations(0);
    bool ok =
        world_open_db(normal) && db_tx(world.db, found, NULL) == STATUS_OK && world_open_books();
    assert(ok);
}

void world_close(void)
{
    books_close(&world.books);
    prices_forget();
    if (world.db)
        db_close(world.db);
    world.db = NULL;
}

/* ---- what is done beside requests ---------------------------------------------------------- */

unsigned world_dice(unsigned sides)
{
    return (unsigned)(disk_random() % sides);
}

static enum status give_fund(void)
{
    static const char *const kinds[] = { "promo", "commit", "prepaid" };
    enum world_buyer who = (enum world_buyer)world_dice(WORLD_BUYERS);
    const struct fund_new f = {
        .organization = world_organization(who),
        .kind = kinds[world_dice(3)],
        .model = "",
        .note = "",
        .amount = { 1 + (int64_t)world_dice(4000000) * world_buyers[who].funds },
        .from_us = world.now_us,
        .to_us = world_dice(2) ? INT64_MAX : world.now_us + 20 * WORLD_DAY
    };
    int64_t id;
    enum status s = books_flush(&world.books);
    if (!s)
        s = fund_add(world.db, &f, world.now_us, &id);
    world.tallies[FUNDS].maybe++;
    return s ? s : books_reload(&world.books);
}

/* A budget that ends somewhere: either leg's of what is resold is such a one. */
static struct project *any_budget(void)
{
    static const struct {
        enum world_buyer who;
        unsigned leg;
    } ends[] = { { PAYG, 0 }, { BRANCH, 1 }, { CORNER, 0 } };
    unsigned i = world_dice(sizeof ends / sizeof *ends);
    return &world.projects[world.seats[ends[i].who][ends[i].leg]];
}

static enum status raise_budget(void)
{
    struct project *p = any_budget();
    int64_t limit = p->limit_maybe + 1 + world_dice(6000000);
    enum status s = books_flush(&world.books);
    if (!s)
        s = project_set_budget(world.db, p->slug, limit, "total");
    p->limit_maybe = limit;
    p->stopped_maybe = false;
    world_stats.budgets++;
    return s ? s : books_reload(&world.books);
}

static enum status publish_book(void)
{
    const struct book_owner owner = world_books[world_dice(WORLD_BOOKS)];
    int64_t from_us = world.now_us + 3600 * INT64_C(1000000) + world_dice(1000000000);
    enum status s = books_flush(&world.books);
    if (!s)
        s = prices_publish(world.db, owner, 15000 + world_dice(15000), from_us, world.now_us);
    world.tallies[BOOKS_PUBLISHED].maybe++;
    world_stats.books++;
    return s;
}

/* What the courier does: an attempt at the oldest event that waits, and how it went. */
static enum status deliver_alert(void)
{
    struct alert_due due;
    bool given_up, good = world_dice(2);
    enum status s = books_flush(&world.books);
    if (!s)
        s = alert_next(world.db, everybody.name, &due);
    if (s)
        return s == STATUS_NOT_FOUND ? STATUS_OK : s;
    world.tallies[DELIVERIES].maybe++;
    world_stats.alerts++;
    return alert_note(world.db, &due, &world_alerts, good ? ALERT_DELIVERED : ALERT_FAILED,
                      good ? "" : "HTTP 500", world.now_us, &given_up);
}

/* Last month's invoice of one organization, when that month has ended and it is not issued yet. */
static enum status issue_one(void)
{
    char month[8];
    int64_t last = world.now_us - 32 * WORLD_DAY;
    time_t seconds = (time_t)(last / 1000000);
    struct tm tm;
    if (last < WORLD_START)
        return STATUS_OK;
    gmtime_r(&seconds, &tm);
    strftime(month, sizeof month, "%Y-%m", &tm);
    const char *slug = world_buyers[world_dice(WORLD_BUYERS)].slug;
    json_t *document = NULL;
    enum status s = books_flush(&world.books);
    uint64_t before = (uint64_t)sqlite3_total_changes(world.db->sqlite);
    if (!s)
        s = document_issue(world.db, slug, month, &world_house, world.now_us, &document);
    json_decref(document);
    if (!s && (uint64_t)sqlite3_total_changes(world.db->sqlite) != before) {
        world.tallies[INVOICES].maybe++;
        world_stats.invoices++;
    }
    return s ? s : books_reload(&world.books);
}

/* ---- one batch ----------------------------------------------------------------------------- */

static const struct operation {
    unsigned below; /* of a thousand */
    enum status (*run)(void);
} operations[] = {
    { 420, request_hold_one }, { 840, request_settle_one }, { 900, request_note_one },
    { 945, request_grow_one }, { 965, give_fund },          { 977, raise_budget },
    { 979, publish_book },     { 984, deliver_alert },      { 1000, issue_one },
};

static enum status one_operation(void)
{
    const struct operation *o = operations;
    unsigned d = world_dice(1000);
    while (o->below <= d)
        o++;
    return o->run();
}

/* The batch is on disk: what may be is now promised. */
static void promise_all(void)
{
    requests_promise();
    for (unsigned i = 0; i < TALLIES; i++) {
        world.tallies[i].promised += world.tallies[i].maybe;
        world.tallies[i].maybe = 0;
    }
    for (unsigned i = 0; i < PROJECTS_MAX; i++) {
        world.projects[i].limit = world.projects[i].limit_maybe;
        world.projects[i].stopped = world.projects[i].stopped_maybe;
    }
}

static enum status run_batch(void)
{
    books_begin(&world.books, world.now_us);
    enum status s = db_begin(world.db);
    for (unsigned i = 1 + world_dice(BATCH_MAX); i > 0 && !s; i--)
        s = one_operation();
    if (!s)
        s = books_end(&world.books);
    return s ? s : db_commit(world.db);
}

/* Of what went wrong without the disk's help: nothing here may be refused. */
static bool broken(enum status s)
{
    if (!disk_is_off() && !disk_fault_fired())
        world_violation("a batch failed on a good disk: %s (%s)", status_info(s)->code,
                        db_error(world.db));
    return false;
}

bool world_batch(void)
{
    world.now_us +=
        1 + (int64_t)(disk_random() % (uint64_t)(world_dice(20) ? 60000000 : 9 * WORLD_DAY));
    enum status s = run_batch();
    if (s)
        return broken(s);
    books_committed(&world.books);
    world_stats.batches++;
    promise_all();
    memory_check();
    check_new_alerts();
    if (books_must_reload(&world.books, false) && (s = books_reload(&world.books)) != STATUS_OK)
        return broken(s);
    uint64_t wal;
    if (world_dice(40) == 0 && (s = db_checkpoint(world.db, world_dice(2) == 0, &wal)) != STATUS_OK)
        return broken(s);
    return true;
}
