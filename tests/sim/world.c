/* tests/sim/world.c -- see world.h. */
#include "tests/sim/world.h"
#include "base/db_inside.h"
#include "base/digest.h"
#include "billing/books.h"
#include "billing/contract.h"
#include "billing/document.h"
#include "billing/fund.h"
#include "billing/organization.h"
#include "conf/catalog_alerts.h"
#include "gen/schema.h"
#include "tests/sim/disk.h"
#include <assert.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OPEN_MAX = 64, BATCH_MAX = 12, REPORT_BYTES = 4000, REQUESTS_MAX = 1 << 16 };
#define PATH   "/tmp/maasgate-simulated.db"
#define START  INT64_C(1806537600000000) /* 2027-04-01 */
#define DAY    (INT64_C(24) * 3600 * 1000000)
#define CREDIT INT64_C(3000000)
#define CENT   INT64_C(100000000)

struct world_stats world_stats;

enum promise { NOTHING, HELD, SETTLED, ORPHANED };
struct request {                 /* what the ledger has promised of it */
    enum promise promise, maybe; /* maybe: of the batch that is being committed */
    int64_t project, hold, amount;
};

static struct db *db;
static struct books books;
static int64_t now_us;
static rid_t next_rid;
static struct request *requests; /* by rid - 1 */
static rid_t open_rids[OPEN_MAX];
static unsigned open_count;
static uint64_t funds_promised, funds_maybe, invoices_promised, invoices_maybe;
static char report[REPORT_BYTES];
static size_t report_len;
static unsigned violations;

static const struct seller seller = { .name = "S",
                                      .address = "",
                                      .tax_id = "",
                                      .series = "SIM",
                                      .tax_basis_points = 600,
                                      .minor_digits = 2 };

__attribute__((format(printf, 1, 2))) static void violation(const char *fmt, ...)
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

const char *world_report(void)
{
    return report;
}

/* ---- opening ------------------------------------------------------------------------------- */

static char err[256]; /* why the store did not open */

static bool open_db(bool normal)
{
    err[0] = '\0';
    if (db_open(PATH, DB_WRITER, &db, err) != STATUS_OK)
        return false;
    if (normal) {
        sqlite3_exec(db->sqlite, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    }
    size_t count = sizeof schema_sql / sizeof *schema_sql;
    return db_migrate(db, schema_sql, count, err) == STATUS_OK;
}

static enum status make_catalog(void)
{
    static const char text[] = "currency USD book list\nbase/chat input_uncached_tokens 25000/1\n";
    uint8_t sha256[32];
    int64_t id;
    digest_sha256(text, strlen(text), sha256);
    enum status s = ledger_name_id(db, "base/chat", &id);
    return s ? s : ledger_publish_prices(db, "list", "USD", text, sha256, now_us, &id);
}

static enum status make_org(unsigned i)
{
    static const char sql[] =
        "INSERT INTO project (slug, display_name, budget_atoms, budget_period, created_us,"
        " organization) VALUES (?1, ?1, 9000000000000000000, 'total', 0, ?2)";
    static const char *const plans[WORLD_ORGS] = { "{}", "{}",
                                                   "{\"fee\":\"1.00\",\"included\":\"0.01\"}",
                                                   "{\"minimum\":\"2.00\"}" };
    char slug[16];
    int64_t id;
    snprintf(slug, sizeof slug, "org%u", i);
    const struct organization_new o = { slug, slug, "", "", "", "", "", 0 };
    enum status s = organization_create(db, &o, now_us, &id);
    struct db_stmt *project = db_prepare(db, sql);
    json_t *plan = json_loads(plans[i], 0, NULL);
    const struct contract_change c = { .starts_us = now_us,
                                       .credit_atoms = i == 1 ? CREDIT : -1,
                                       .plan = plan };
    if (!s)
        s = contract_change(db, id, &c, now_us, err);
    json_decref(plan);
    db_text(project, 1, slug, -1);
    db_int(project, 2, id);
    return s ? s : db_run(project);
}

static enum status make_all(struct db *d, void *arg)
{
    (void)d, (void)arg;
    static const char sql[] = "INSERT INTO meta VALUES (1, 'USD', 0)";
    enum status s = db_run(db_prepare(db, sql));
    if (!s)
        s = make_catalog();
    for (unsigned i = 0; i < WORLD_ORGS && !s; i++)
        s = make_org(i);
    return s;
}

/* Alerts are recorded with what they are about, or not at all: the audit sees it. */
static struct catalog_webhook everybody = { .name = "all", .types = (1u << ALERT_TYPE_COUNT) - 1 };
static const struct catalog_alerts alerts = { .thresholds = { 10, 50, 100 },
                                              .threshold_count = 3,
                                              .attempts = 1,
                                              .webhooks = &everybody,
                                              .webhook_count = 1 };

static bool open_books(void)
{
    uint64_t recovered = 0;
    memset(&books, 0, sizeof books);
    enum status s = books_open(&books, db, now_us, &recovered);
    world_stats.orphans += recovered;
    world_stats.starts++;
    alert_want(&books, &alerts, NULL, NULL);
    return s == STATUS_OK;
}

void world_create(bool normal)
{
    if (!requests)
        requests = calloc(REQUESTS_MAX, sizeof *requests);
    assert(requests);
    memset(requests, 0, REQUESTS_MAX * sizeof *requests);
    disk_format();
    now_us = START;
    next_rid = 1;
    open_count = 0;
    funds_promised = funds_maybe = invoices_promised = invoices_maybe = 0;
    report_len = 0;
    violations = 0;
    bool ok = open_db(normal) && db_tx(db, make_all, NULL) == STATUS_OK && open_books();
    assert(ok);
}

void world_close(void)
{
    books_close(&books);
    if (db)
        db_close(db);
    db = NULL;
}

/* ---- one batch ----------------------------------------------------------------------------- */

static unsigned dice(unsigned sides)
{
    return (unsigned)(disk_random() % sides);
}

static struct request *of(rid_t rid)
{
    return &requests[rid - 1];
}

static enum status hold_one(void)
{
    if (open_count == OPEN_MAX || next_rid == REQUESTS_MAX)
        return STATUS_OK;
    struct ledger_hold h = { .op.kind = LEDGER_HOLD,
                             .rid = next_rid,
                             .project = 1 + dice(WORLD_ORGS),
                             .key = 1,
                             .model = 1,
                             .price_version = 1,
                             .n = 1,
                             .accepted_us = now_us,
                             .hold = { (1 + (int64_t)dice(40)) * 25000 } };
    enum status s = books_hold(&books, &h);
    if (s == STATUS_NO_QUOTA) {
        world_stats.refused++;
        return STATUS_OK;
    }
    if (s)
        return s;
    *of(next_rid) = (struct request){ .maybe = HELD, .project = h.project, .hold = h.hold.atoms };
    open_rids[open_count++] = next_rid++;
    world_stats.holds++;
    return STATUS_OK;
}

static enum status settle_one(void)
{
    if (!open_count)
        return STATUS_OK;
    unsigned at = dice(open_count);
    rid_t rid = open_rids[at];
    struct request *r = of(rid);
    int64_t tokens = dice((unsigned)(r->hold / 25000) + 1);
    struct ledger_settle t = { .op.kind = LEDGER_SETTLE,
                               .rid = rid,
                               .project = r->project,
                               .key = 1,
                               .model = 1,
                               .model_served = 1,
                               .price_version = 1,
                               .hold = { r->hold },
                               .first_byte_us = -1,
                               .http_status = 200,
                               .amount = { tokens * 25000 },
                               .line_count = tokens > 0 };
    t.lines[0] = (struct bill_line){ .meter = METER_INPUT_UNCACHED,
                                     .qty = (uint64_t)tokens,
                                     .amount = { tokens * 25000 } };
    enum status s = books_settle(&books, &t);
    if (s)
        return s;
    r->maybe = SETTLED;
    r->amount = t.amount.atoms;
    open_rids[at] = open_rids[--open_count];
    world_stats.settles++;
    return STATUS_OK;
}

static enum status give_fund(void)
{
    static const char *const kinds[] = { "promo", "commit", "prepaid" };
    const struct fund_new f = { .organization = 1 + dice(WORLD_ORGS),
                                .kind = kinds[dice(3)],
                                .model = "",
                                .note = "",
                                .amount = { 1 + (int64_t)dice(4000000) },
                                .from_us = now_us,
                                .to_us = dice(2) ? INT64_MAX : now_us + 20 * DAY };
    int64_t id;
    enum status s = books_flush(&books);
    if (!s)
        s = fund_add(db, &f, now_us, &id);
    funds_maybe++;
    return s ? s : books_reload(&books);
}

/* Last month's invoice of one organisation, when that month has ended and it is not issued yet. */
static enum status issue_one(void)
{
    char month[8], slug[8];
    int64_t last = now_us - 32 * DAY;
    time_t seconds = (time_t)(last / 1000000);
    struct tm tm;
    if (last < START)
        return STATUS_OK;
    gmtime_r(&seconds, &tm);
    strftime(month, sizeof month, "%Y-%m", &tm);
    snprintf(slug, sizeof slug, "org%u", dice(WORLD_ORGS));
    json_t *document = NULL;
    enum status s = books_flush(&books);
    uint64_t before = (uint64_t)sqlite3_total_changes(db->sqlite);
    if (!s)
        s = document_issue(db, slug, month, &seller, now_us, &document);
    json_decref(document);
    if (!s && (uint64_t)sqlite3_total_changes(db->sqlite) != before) {
        invoices_maybe++;
        world_stats.invoices++;
    }
    return s ? s : books_reload(&books);
}

static enum status one_operation(void)
{
    unsigned d = dice(100);
    if (d < 48)
        return hold_one();
    if (d < 96)
        return settle_one();
    return d < 98 ? give_fund() : issue_one();
}

/* The batch is on disk: what may be is now promised. */
static void promise_all(void)
{
    for (rid_t rid = 1; rid < next_rid; rid++)
        if (of(rid)->maybe) {
            of(rid)->promise = of(rid)->maybe;
            of(rid)->maybe = NOTHING;
        }
    funds_promised += funds_maybe;
    invoices_promised += invoices_maybe;
    funds_maybe = invoices_maybe = 0;
}

bool world_batch(void)
{
    now_us += 1 + (int64_t)(disk_random() % (uint64_t)(dice(20) ? 60000000 : 9 * DAY));
    books_begin(&books, now_us);
    enum status s = db_begin(db);
    for (unsigned i = 1 + dice(BATCH_MAX); i > 0 && !s; i--)
        s = one_operation();
    if (!s)
        s = books_end(&books);
    if (!s)
        s = db_commit(db);
    if (s)
        return false;
    books_committed(&books);
    world_stats.batches++;
    promise_all();
    if (books_must_reload(&books, false) && books_reload(&books) != STATUS_OK)
        return false;
    uint64_t wal;
    if (dice(40) == 0 && db_checkpoint(db, dice(2) == 0, &wal) != STATUS_OK)
        return false;
    return true;
}

/* ---- after a cut --------------------------------------------------------------------------- */

static int64_t one_number(const char *sql)
{
    struct db_stmt *s = db_prepare(db, sql);
    int64_t n = s && db_step(s) == DB_ROW ? db_col_int(s, 0) : -1;
    if (s)
        db_reset(s);
    return n;
}

struct found {
    bool held, settled;
    int64_t amount;
    const char *outcome;
};

static struct found look_up(rid_t rid)
{
    static const char sql[] = "SELECT s.rid IS NOT NULL, s.amount_atoms, s.outcome FROM"
                              " request_open o LEFT JOIN settlement s ON s.rid = o.rid"
                              " WHERE o.rid = ?1";
    static char outcome[32];
    struct db_stmt *s = db_prepare(db, sql);
    struct found f = { .outcome = "" };
    db_int(s, 1, rid);
    if (db_step(s) == DB_ROW) {
        const char *text = db_col_text(s, 2, NULL);
        f.held = true;
        f.settled = db_col_int(s, 0) != 0;
        f.amount = db_col_int(s, 1);
        snprintf(outcome, sizeof outcome, "%s", text ? text : "");
        f.outcome = outcome;
    }
    db_reset(s);
    return f;
}

/* After recovery nothing is open: a hold was settled, by us or with nothing. */
static void check_request(rid_t rid, int *batch_there)
{
    struct request *r = of(rid);
    struct found f = look_up(rid);
    bool ours = f.settled && strcmp(f.outcome, "orphan_0") != 0;
    if (f.held != f.settled)
        violation("request %" PRId64 " is open after recovery", rid);
    if (r->promise == SETTLED && (!ours || f.amount != r->amount))
        violation("request %" PRId64 ": its settlement was acknowledged and is lost", rid);
    if (r->promise == ORPHANED && (ours || !f.settled))
        violation("request %" PRId64 ": what recovery settled has changed", rid);
    if (r->promise == HELD && !f.held)
        violation("request %" PRId64 ": its hold was acknowledged and is lost", rid);
    if (r->promise == NOTHING && r->maybe == NOTHING && f.held)
        violation("request %" PRId64 " was never asked for", rid);
    if (r->promise == HELD && ours && r->maybe != SETTLED)
        violation("request %" PRId64 " was settled by nobody", rid);
    if (r->maybe) { /* all of the batch or nothing of it */
        int there = r->maybe == SETTLED ? ours : f.held;
        if (*batch_there >= 0 && *batch_there != there)
            violation("request %" PRId64 ": a batch is there in part", rid);
        *batch_there = there;
    }
    r->promise = ours ? SETTLED : f.held ? ORPHANED : NOTHING;
    r->maybe = NOTHING;
    r->amount = f.amount;
}

static void check_audit(void)
{
    struct db *reader = NULL;
    json_t *result = NULL;
    if (db_open(PATH, DB_READER, &reader, err) != STATUS_OK ||
        audit_run(reader, now_us, &result) != STATUS_OK) {
        violation("the audit cannot run: %s", err);
    } else if (!json_is_true(json_object_get(result, "ok"))) {
        char *text = json_dumps(json_object_get(result, "problems"), JSON_COMPACT);
        violation("audit: %.900s", text ? text : "");
        free(text);
    }
    json_decref(result);
    if (reader)
        db_close(reader);
}

static void check_counts(void)
{
    uint64_t funds = (uint64_t)one_number("SELECT count(*) FROM fund WHERE period IS NULL");
    uint64_t invoices = (uint64_t)one_number("SELECT count(*) FROM document");
    if (funds != funds_promised && funds != funds_promised + funds_maybe)
        violation("%" PRIu64 " funds, %" PRIu64 " were acknowledged", funds, funds_promised);
    if (invoices != invoices_promised && invoices != invoices_promised + invoices_maybe)
        violation("%" PRIu64 " invoices, %" PRIu64 " were acknowledged", invoices,
                  invoices_promised);
    funds_promised = funds;
    invoices_promised = invoices;
    funds_maybe = invoices_maybe = 0;
}

unsigned world_open_and_check(bool normal)
{
    unsigned before = violations;
    int batch_there = -1;
    if (!open_db(normal) || !open_books()) {
        violation("the store cannot be opened after the cut: %s", *err ? err
                                                                  : db ? db_error(db)
                                                                       : "");
        return violations - before;
    }
    for (rid_t rid = 1; rid < next_rid; rid++)
        if (of(rid)->promise != SETTLED || of(rid)->maybe || rid + 200 > next_rid)
            check_request(rid, &batch_there);
    open_count = 0;
    next_rid = books.last_rid + 1 > next_rid ? books.last_rid + 1 : next_rid;
    check_counts();
    check_audit();
    return violations - before;
}

/* ---- damage -------------------------------------------------------------------------------- */

static const char sql_sums[] =
    "SELECT (SELECT count(*) || ',' || sum(amount_atoms) || ',' || sum(rid) || ',' || sum(project)"
    "  FROM settlement) || ';' || (SELECT sum(hold_atoms) || ',' || sum(rid) FROM request_open)"
    " || ';' || (SELECT group_concat(posted_atoms) FROM account_balance)"
    " || ';' || (SELECT sum(qty) || ',' || sum(atoms) || ',' || sum(covered_atoms) FROM usage_rollup)"
    " || ';' || (SELECT coalesce(group_concat(amount_atoms || kind || organization), '') FROM fund)"
    " || ';' || (SELECT group_concat(credit_atoms || plan || starts_us) FROM contract)"
    " || ';' || (SELECT coalesce(group_concat(body), '') FROM document)"
    " || ';' || (SELECT coalesce(sum(amount_atoms), 0) FROM charge)";

static char sums_before[1 << 20];

static bool read_sums(char *ret, size_t room)
{
    struct db_stmt *s = db_prepare(db, sql_sums);
    const char *text = s && db_step(s) == DB_ROW ? db_col_text(s, 0, NULL) : NULL;
    bool ok = text && strlen(text) < room;
    if (ok)
        memcpy(ret, text, strlen(text) + 1);
    if (s)
        db_reset(s);
    return ok;
}

void world_remember_sums(void)
{
    bool ok = read_sums(sums_before, sizeof sums_before);
    assert(ok);
}

static bool audit_complains(void)
{
    unsigned before = violations;
    check_audit();
    bool found = violations > before;
    violations = before;
    return found;
}

enum world_flip world_look_at_damage(void)
{
    static char now[1 << 20];
    enum world_flip what = FLIP_HARMLESS;
    report_len = 0;
    if (!open_db(false) || db_quick_check(db, err) != STATUS_OK || !open_books())
        what = FLIP_REFUSED;
    else if (audit_complains())
        what = FLIP_FOUND;
    else if (!read_sums(now, sizeof now) || strcmp(now, sums_before) != 0)
        what = FLIP_SILENT;
    world_close();
    return what;
}
