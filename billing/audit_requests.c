/* billing/audit_requests.c -- each request once: its hold, its settlement, each line
 * rated again.  What is summed up here is the truth that the sums in the store are
 * held against.
 */
#include "billing/audit_inside.h"
#include "base/usage.h"
#include "billing/names.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A hold that is older is not a request in flight any more. */
#define HOLD_AGE_MAX_US (INT64_C(24) * 3600 * 1000000)
#define HOUR_US         (INT64_C(3600) * 1000000)

static const char sql_boots[] =
    "SELECT b.boot, b.settled_us, r.id IS NOT NULL FROM boot b LEFT JOIN restoration r"
    " ON r.boot = b.boot ORDER BY b.boot";
static const char sql_below_floor[] =
    "SELECT rid FROM request_open o WHERE rid <"
    " (SELECT open_floor FROM boot ORDER BY boot DESC LIMIT 1) AND NOT EXISTS"
    " (SELECT 1 FROM settlement s WHERE s.rid = o.rid) ORDER BY rid";
static const char sql_requests[] =
    "SELECT o.rid, o.project, o.key, o.endpoint, o.price_version, o.hold_atoms +"
    " (SELECT coalesce(sum(atoms), 0) FROM hold_more m WHERE m.rid = o.rid), o.accepted_us,"
    " o.boot, s.rid, s.project, s.key, s.endpoint, s.price_version, s.model, s.amount_atoms,"
    " s.settled_us, s.lines, s.outcome, s.draws, p.organization, b.id, b.archive,"
    " (SELECT organization FROM project WHERE id = o.project) FROM request_open o LEFT JOIN settlement s ON s.rid = o.rid"
    " LEFT JOIN project p ON p.id = s.project LEFT JOIN billing_period b ON b.id ="
    "  (SELECT id FROM billing_period WHERE organization = p.organization"
    "   AND starts_us <= s.settled_us ORDER BY starts_us DESC LIMIT 1)"
    " AND b.ends_us > s.settled_us ORDER BY o.rid";
/* While an archive is dropped, some of its requests are still here, and no matter. */
static const char sql_left_over[] =
    "SELECT month, 1 FROM archive a WHERE state = 'done' AND (EXISTS (SELECT 1 FROM settlement s"
    "  JOIN project p ON p.id = s.project JOIN billing_period b ON b.archive = a.id"
    "  AND b.organization = p.organization AND b.starts_us <= s.settled_us AND b.ends_us > s.settled_us"
    "  WHERE s.rid BETWEEN a.from_rid AND a.to_rid)"
    " OR EXISTS (SELECT 1 FROM ledger_tx t JOIN billing_period b ON b.archive = a.id"
    "  AND b.organization = t.organization AND b.starts_us <= t.at_us AND b.ends_us > t.at_us"
    "  WHERE t.kind IN ('usage', 'upstream') AND t.tx BETWEEN a.from_tx AND a.to_tx))";
static const char sql_unopened[] =
    "SELECT rid FROM settlement s WHERE NOT EXISTS"
    " (SELECT 1 FROM request_open o WHERE o.rid = s.rid) ORDER BY rid";
static const char sql_lost_minutes[] =
    "SELECT s.rid FROM settlement s LEFT JOIN settled_minute m"
    " ON m.minute_us = s.settled_us - s.settled_us % 60000000"
    " WHERE (s.rid >= m.from_rid AND s.rid < m.to_rid) IS NOT TRUE ORDER BY s.rid";
static const char sql_late_checkpoints[] =
    "SELECT rid FROM checkpoint c WHERE EXISTS (SELECT 1 FROM settlement s WHERE s.rid = c.rid)";
static const char sql_strange_legs[] =
    "SELECT rid FROM hold_more m WHERE NOT EXISTS"
    " (SELECT 1 FROM request_open o WHERE o.rid = m.rid) GROUP BY rid";
static const char sql_strange_keys[] =
    "SELECT i.rid FROM idempotency i LEFT JOIN request_open o ON o.rid = i.rid"
    " WHERE o.project IS NOT i.project AND NOT (o.rid IS NULL AND EXISTS (SELECT 1 FROM archive a"
    "  WHERE i.rid BETWEEN a.from_rid AND a.to_rid)) ORDER BY i.rid";

__extension__ typedef __int128 wide;

/* ---- boots --------------------------------------------------------------------------------- */

static enum status boot_row(struct audit *a, struct db_stmt *s)
{
    int64_t boot = db_col_int(s, 0), settled_us = db_col_int(s, 1);
    bool restored = db_col_int(s, 2) != 0 && boot > a->newest_boot;
    if (boot != a->newest_boot + 1 && !restored)
        audit_problem(a, "boot %" PRId64 " follows boot %" PRId64, boot, a->newest_boot);
    if (settled_us < a->last_settled_us)
        audit_problem(a, "boot %" PRId64 ": the ledger's clock went back", boot);
    a->last_settled_us = settled_us;
    a->newest_boot = boot;
    return STATUS_OK;
}

static enum status below_floor_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "request %" PRId64 " is open below the floor: recovery would not find it",
                  db_col_int(s, 0));
    return STATUS_OK;
}

enum status audit_boots(struct audit *a)
{
    enum status s = audit_query(a, sql_boots, boot_row);
    return s ? s : audit_query(a, sql_below_floor, below_floor_row);
}

/* ---- one request --------------------------------------------------------------------------- */

static const char *read_number(const char *at, int64_t *ret)
{
    *ret = 0;
    if (*at < '0' || *at > '9')
        return NULL;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(*ret, 10, ret) || __builtin_add_overflow(*ret, *at - '0', ret))
            return NULL;
    return at;
}

const char *audit_numbers(const char *at, int64_t *const fields[], unsigned most)
{
    for (unsigned i = 0; i < most; i++)
        if (*at != (i ? ',' : '[') || !(at = read_number(at + 1, fields[i])))
            return NULL;
    return *at == ']' ? at + 1 : NULL;
}

/* "[meter,qty,atoms]", then also the item, then also the units before; returns what follows. */
static const char *read_line(const char *at, struct audit_line *ret)
{
    int64_t *const fields[] = { &ret->meter, &ret->qty, &ret->atoms, &ret->item, &ret->before };
    const char *end = audit_numbers(at, fields, 3);
    for (unsigned count = 4; !end && count <= 5; count++)
        end = audit_numbers(at, fields, count);
    return end;
}

/* `,"size":"1024x1024"`; returns what follows, NULL: it is none. */
static const char *read_fact(const char *at, struct audit_facts *ret)
{
    for (unsigned d = 0; d < PRICE_DIMS; d++) {
        const char *name = price_dim_name((enum price_dim)d);
        size_t len = strlen(name);
        if (strncmp(at, ",\"", 2) || strncmp(at + 2, name, len) ||
            strncmp(at + 2 + len, "\":\"", 3))
            continue;
        const char *word = at + len + 5, *end = strchr(word, '"');
        if (!end || ret->dim[d].len)
            return NULL;
        ret->dim[d] = (struct span){ word, (size_t)(end - word) };
        return end + 1;
    }
    return NULL;
}

/* `{"context":123,...}`; returns what follows, NULL: it is none. */
static const char *read_facts(const char *at, struct audit_facts *ret)
{
    static const char head[] = "{\"context\":";
    if (strncmp(at, head, sizeof head - 1) != 0)
        return NULL;
    at = read_number(at + sizeof head - 1, &ret->context);
    while (at && *at == ',')
        at = read_fact(at, ret);
    ret->given = true;
    return at && *at == '}' ? at + 1 : NULL;
}

int audit_read_lines(const char *text, struct audit_line lines[static AUDIT_LINES_MAX],
                     struct audit_facts *facts)
{
    int count = 0;
    const char *at = text;
    if (*at++ != '[')
        return -1;
    while (*at == '[' && count < AUDIT_LINES_MAX) {
        if (!(at = read_line(at, &lines[count++])))
            return -1;
        if (*at == ',' && at[1] == '[')
            at++;
    }
    if (*at == ',' && !(at = read_facts(at + 1, facts)))
        return -1;
    return strcmp(at, "]") == 0 ? count : -1;
}

int64_t audit_how(const char *endpoint, struct span tier, bool long_context)
{
    int64_t how = span_is(tier, "flex") ? 1 : span_is(tier, "priority") ? 2 : 0;
    for (int64_t e = 0; e < ENDPOINT_COUNT && endpoint; e++)
        if (strcmp(endpoint_name((enum endpoint)e), endpoint) == 0)
            return e * 6 + how * 2 + long_context;
    return -1;
}

static int64_t how_called(struct db_stmt *s, const struct audit_line *lines, int count)
{
    wide input = 0;
    for (int i = 0; i < count; i++)
        if (lines[i].meter < METER_COUNT && (METERS_TOKENS_IN >> lines[i].meter & 1))
            input += lines[i].qty;
    struct span tier =
        count && lines[0].facts ? lines[0].facts->dim[PRICE_DIM_TIER] : (struct span){ "", 0 };
    return audit_how(db_col_text(s, S_ENDPOINT, NULL), tier, input > 200000);
}

static enum status add_up(struct audit *a, struct db_stmt *s, const struct audit_line *l,
                          int64_t how, bool first, int64_t covered)
{
    int64_t settled_us = db_col_int(s, S_SETTLED);
    struct tally_row *row = tally_row(
        &a->usage,
        (int64_t[TALLY_KEYS]){ settled_us - settled_us % HOUR_US, db_col_int(s, S_PROJECT),
                               db_col_int(s, S_KEY), db_col_int(s, S_MODEL), l->meter,
                               db_col_int(s, S_PRICES), l->item, db_col_int(s, S_PERIOD), how });
    if (!row)
        return STATUS_NO_MEMORY;
    row->sum[0] += l->qty;
    row->sum[1] += first;
    row->sum[2] += l->atoms;
    row->sum[3] += covered;
    return STATUS_OK;
}

/* What funds paid covers the lines in their order. */
static enum status add_lines(struct audit *a, struct db_stmt *s, const struct audit_line *lines,
                             int count, int64_t covered)
{
    int64_t how = how_called(s, lines, count);
    enum status status = STATUS_OK; /* without a line it still counts as one request of meter 0 */
    for (int i = 0; (i == 0 || i < count) && !status; i++) {
        int64_t part = covered < lines[i].atoms ? covered : lines[i].atoms;
        status = add_up(a, s, &lines[i], how, i == 0, part);
        covered -= part;
    }
    return status;
}

/* The context that chose the prices counts every input token, also one that is not priced. */
static void check_context(struct audit *a, int64_t rid, const struct audit_line *lines, int count,
                          const struct audit_facts *facts)
{
    wide input = 0;
    for (int i = 0; i < count; i++)
        if (lines[i].meter < METER_COUNT && (METERS_TOKENS_IN >> lines[i].meter & 1))
            input += lines[i].qty;
    if (facts->given && input > facts->context)
        audit_problem(a, "request %" PRId64 ": its context is less than its input", rid);
}

static enum status check_lines(struct audit *a, struct db_stmt *s, int64_t covered)
{
    struct audit_line lines[AUDIT_LINES_MAX] = { { .item = 0 } };
    struct audit_facts facts = { .given = false };
    int64_t rid = db_col_int(s, O_RID), amount = db_col_int(s, S_AMOUNT);
    wide sum = 0;
    int count = audit_read_lines(db_col_text(s, S_LINES, NULL), lines, &facts);
    if (count < 0) {
        audit_problem(a, "request %" PRId64 ": its usage lines cannot be read", rid);
        return STATUS_OK;
    }
    for (int i = 0; i < count; i++) {
        struct audit_line *l = &lines[i];
        l->rid = rid;
        l->version = db_col_int(s, S_PRICES);
        l->model = db_col_int(s, S_MODEL);
        l->accepted_us = db_col_int(s, O_ACCEPTED);
        l->organization = db_col_int(s, S_ORGANIZATION);
        l->period = db_col_int(s, S_PERIOD);
        l->facts = &facts;
        sum += l->atoms;
        enum status status = audit_line(a, l);
        if (status)
            return status;
    }
    check_context(a, rid, lines, count, &facts);
    if (sum != amount)
        audit_problem(a, "request %" PRId64 ": its lines do not add up to its amount %" PRId64, rid,
                      amount);
    return add_lines(a, s, lines, count, covered);
}

static enum status add_owed(struct audit *a, struct db_stmt *s, int64_t covered)
{
    struct tally_row *spent =
        tally_row(&a->spent, (int64_t[TALLY_KEYS]){ db_col_int(s, S_PROJECT) });
    if (!spent || !audit_post(a, db_col_int(s, S_SETTLED), db_col_int(s, S_ORGANIZATION), 0,
                              db_col_int(s, S_AMOUNT) - covered))
        return STATUS_NO_MEMORY;
    spent->sum[0] += db_col_int(s, S_AMOUNT);
    return STATUS_OK;
}

static bool charges_nothing(const char *outcome)
{
    return strcmp(outcome, "orphan_0") == 0 || strcmp(outcome, "failed_pre") == 0 ||
           strcmp(outcome, "client_gone_0") == 0 || strcmp(outcome, "blocked_upstream") == 0;
}

static bool same_request(struct db_stmt *s)
{
    return db_col_int(s, O_PROJECT) == db_col_int(s, S_PROJECT) &&
           db_col_int(s, O_KEY) == db_col_int(s, S_KEY) &&
           db_col_int(s, O_PRICES) == db_col_int(s, S_PRICES) &&
           strcmp(db_col_text(s, O_ENDPOINT, NULL), db_col_text(s, S_ENDPOINT, NULL)) == 0;
}

static void check_open(struct audit *a, struct db_stmt *s)
{
    int64_t rid = db_col_int(s, O_RID), boot = db_col_int(s, O_BOOT);
    if (boot != a->newest_boot)
        audit_problem(a, "request %" PRId64 " of boot %" PRId64 " was never settled", rid, boot);
    else if (db_col_int(s, O_ACCEPTED) < a->now_us - HOLD_AGE_MAX_US)
        audit_problem(a, "request %" PRId64 " has been open for more than a day", rid);
}

enum status audit_request(struct audit *a, struct db_stmt *s)
{
    int64_t rid = db_col_int(s, O_RID), amount = db_col_int(s, S_AMOUNT);
    if (db_col_int(s, O_BOOT) > a->newest_boot || db_col_int(s, O_BOOT) < 1)
        audit_problem(a, "request %" PRId64 " is of a boot that never was", rid);
    audit_acceptance(a, rid, db_col_int(s, O_PRICES), db_col_int(s, O_ACCEPTED),
                     db_col_int(s, O_PAYER));
    if (db_col_null(s, S_RID)) {
        check_open(a, s);
        return STATUS_OK;
    }
    if (!db_col_null(s, S_ARCHIVE))
        return STATUS_OK; /* its roll-ups stand for it */
    if (!same_request(s))
        audit_problem(a, "request %" PRId64 " was settled for another caller or price", rid);
    if (amount > db_col_int(s, O_HOLD))
        audit_problem(a, "request %" PRId64 ": %" PRId64 " atoms were charged, more than held", rid,
                      amount);
    if (amount != 0 && charges_nothing(db_col_text(s, S_OUTCOME, NULL)))
        audit_problem(a, "request %" PRId64 " failed and was charged", rid);
    if (db_col_null(s, S_PERIOD))
        audit_problem(a, "request %" PRId64 " was settled in no billing period", rid);
    int64_t covered = 0;
    enum status status = audit_draws(a, s, &covered);
    if (!status)
        status = check_lines(a, s, covered);
    return status ? status : add_owed(a, s, covered);
}

static enum status late_checkpoint_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "request %" PRId64 " is settled and has a checkpoint", db_col_int(s, 0));
    return STATUS_OK;
}

static enum status strange_leg_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "request %" PRId64 " has a part of a hold and no hold", db_col_int(s, 0));
    return STATUS_OK;
}

static enum status strange_key_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a,
                  "an idempotency key stands for request %" PRId64 ", which is not its project's",
                  db_col_int(s, 0));
    return STATUS_OK;
}

enum status audit_keys(struct audit *a)
{
    return audit_query(a, sql_strange_keys, strange_key_row);
}

static enum status unopened_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "request %" PRId64 " was settled and never held", db_col_int(s, 0));
    return STATUS_OK;
}

static enum status left_over_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "archive %s: some of what is in it is here as well", db_col_text(s, 0, NULL));
    return STATUS_OK;
}

static enum status lost_minute_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "request %" PRId64 " would not be found in the minute of its settlement",
                  db_col_int(s, 0));
    return STATUS_OK;
}

enum status audit_requests(struct audit *a)
{
    enum status s = audit_query(a, sql_requests, audit_request);
    if (!s)
        s = audit_query(a, sql_left_over, left_over_row);
    if (!s)
        s = audit_query(a, sql_strange_legs, strange_leg_row);
    if (!s)
        s = audit_query(a, sql_late_checkpoints, late_checkpoint_row);
    if (!s)
        s = audit_query(a, sql_lost_minutes, lost_minute_row);
    return s ? s : audit_query(a, sql_unopened, unopened_row);
}
