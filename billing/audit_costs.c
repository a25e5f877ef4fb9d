/* billing/audit_costs.c -- what backends cost: each attempt rated once more by its book, the sums
 * and the double entry against what came out of that. */
#include "billing/audit_inside.h"
#include "base/usage.h"
#include <inttypes.h>
#include <string.h>

#define HOUR_US (INT64_C(3600) * 1000000)

__extension__ typedef __int128 wide;

static const char sql_attempts[] =
    "SELECT a.rid, a.number, a.model, a.cost_version, a.lines, a.cost_atoms, a.wasted_atoms,"
    " a.backend, s.rid, s.outcome, s.settled_us, s.project, s.model, p.organization, o.accepted_us,"
    " (SELECT max(x.number) FROM attempt x WHERE x.rid = a.rid),"
    " (SELECT count(*) FROM attempt x WHERE x.rid = a.rid AND x.number <= a.number), a.basis, b.id,"
    " b.archive FROM attempt a LEFT JOIN settlement s ON s.rid = a.rid LEFT JOIN request_open o"
    " ON o.rid = a.rid LEFT JOIN project p ON p.id = s.project LEFT JOIN billing_period b ON b.id ="
    "  (SELECT id FROM billing_period WHERE organization = p.organization"
    "   AND starts_us <= s.settled_us ORDER BY starts_us DESC LIMIT 1)"
    " ORDER BY a.rid, a.number";
static const char sql_sums[] =
    "SELECT hour_us, project, model, backend, period, attempts, cost_atoms, wasted_atoms"
    " FROM cost_rollup r WHERE NOT EXISTS"
    " (SELECT 1 FROM billing_period b WHERE b.id = r.period AND b.archive IS NOT NULL)";
static const char sql_posted[] =
    "SELECT t.tx, t.at_us, t.organization,"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 12), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 14), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 13), 0), (SELECT b.archive"
    "  FROM billing_period b WHERE b.organization = t.organization AND b.starts_us <= t.at_us"
    "  ORDER BY b.starts_us DESC LIMIT 1) FROM ledger_tx t LEFT JOIN ledger_entry e ON e.tx = t.tx WHERE t.kind = 'upstream'"
    " GROUP BY t.tx";
/* clang-format off */
enum { RID, NUMBER, MODEL, VERSION, LINES, COST, WASTED, BACKEND, SETTLED_RID, OUTCOME, SETTLED,
       PROJECT, BILLED_MODEL, ORGANIZATION, ACCEPTED, LAST, PLACE, BASIS, PERIOD, ARCHIVE };
enum { SUM_KEYS = 5, P_AT = 1, P_ORGANIZATION, P_SUMS, P_ARCHIVE = P_SUMS + 3 };
/* clang-format on */

/* ---- one attempt --------------------------------------------------------------------------- */

static enum status check_lines(struct audit *a, struct db_stmt *s)
{
    struct audit_line lines[AUDIT_LINES_MAX] = { { .item = 0 } };
    struct audit_facts facts = { .given = false };
    int64_t rid = db_col_int(s, RID);
    wide sum = 0;
    int count = audit_read_lines(db_col_text(s, LINES, NULL), lines, &facts);
    if (count < 0) {
        audit_problem(a, "request %" PRId64 ": the lines of an attempt cannot be read", rid);
        return STATUS_OK;
    }
    for (int i = 0; i < count; i++) {
        struct audit_line *l = &lines[i];
        l->rid = rid;
        l->version = -db_col_int(s, VERSION); /* books of costs beside those of prices */
        l->model = db_col_int(s, MODEL);
        l->accepted_us = db_col_int(s, ACCEPTED);
        l->facts = &facts;
        sum += l->atoms;
        enum status status = audit_line(a, l);
        if (status)
            return status;
    }
    if (sum != db_col_int(s, COST))
        audit_problem(a, "request %" PRId64 ": the lines of attempt %" PRId64 " are not its cost",
                      rid, db_col_int(s, NUMBER));
    return STATUS_OK;
}

/* A call that another one followed, and one for which nobody paid, is all waste; one that was taken
 * whole is none. */
static void check_waste(struct audit *a, struct db_stmt *s)
{
    const char *outcome = db_col_text(s, OUTCOME, NULL);
    int64_t cost = db_col_int(s, COST), wasted = db_col_int(s, WASTED);
    bool last = db_col_int(s, NUMBER) == db_col_int(s, LAST);
    bool whole = strncmp(outcome, "ok", 2) == 0;
    bool nobody = strcmp(outcome, "failed_pre") == 0 || strcmp(outcome, "client_gone_0") == 0;
    if (wasted < 0 || wasted > cost || (nobody && wasted != cost) || (last && whole && wasted != 0))
        audit_problem(a,
                      "request %" PRId64 ": attempt %" PRId64 " wasted %" PRId64
                      " atoms, which its outcome does not say",
                      db_col_int(s, RID), db_col_int(s, NUMBER), wasted);
    if (strcmp(db_col_text(s, BASIS, NULL), "none") == 0 && cost != 0 && !whole)
        audit_problem(a, "request %" PRId64 ": attempt %" PRId64 " has a cost that nobody counted",
                      db_col_int(s, RID), db_col_int(s, NUMBER));
}

static enum status add_up(struct audit *a, struct db_stmt *s)
{
    int64_t at_us = db_col_int(s, SETTLED), cost = db_col_int(s, COST);
    struct tally_row *sum = tally_row(
        &a->costs, (int64_t[TALLY_KEYS]){ at_us - at_us % HOUR_US, db_col_int(s, PROJECT),
                                          db_col_int(s, BILLED_MODEL), db_col_int(s, BACKEND),
                                          db_col_int(s, PERIOD) });
    struct tally_row *posted =
        tally_row(&a->cost_posted, (int64_t[TALLY_KEYS]){ at_us, db_col_int(s, ORGANIZATION) });
    if (!sum || !posted)
        return STATUS_NO_MEMORY;
    sum->sum[0]++;
    sum->sum[1] += cost;
    sum->sum[2] += db_col_int(s, WASTED);
    posted->sum[0] += cost - db_col_int(s, WASTED);
    posted->sum[1] += db_col_int(s, WASTED);
    posted->sum[2] -= cost;
    return STATUS_OK;
}

static enum status attempt_row(struct audit *a, struct db_stmt *s)
{
    if (db_col_null(s, SETTLED_RID)) {
        audit_problem(a, "request %" PRId64 " has attempts and no settlement", db_col_int(s, RID));
        return STATUS_OK;
    }
    if (!db_col_null(s, ARCHIVE))
        return STATUS_OK; /* its sums stand for it */
    if (db_col_int(s, NUMBER) != db_col_int(s, PLACE))
        audit_problem(a, "request %" PRId64 ": an attempt before number %" PRId64 " is missing",
                      db_col_int(s, RID), db_col_int(s, NUMBER));
    check_waste(a, s);
    enum status status = check_lines(a, s);
    return status ? status : add_up(a, s);
}

/* ---- the sums ------------------------------------------------------------------------------ */

static enum status sum_row(struct audit *a, struct db_stmt *s)
{
    int64_t key[TALLY_KEYS] = { 0 };
    for (int i = 0; i < SUM_KEYS; i++)
        key[i] = db_col_int(s, i);
    struct tally_row *row = tally_find(&a->costs, key);
    if (row)
        row->seen = true;
    for (int i = 0; i < 3; i++)
        if (!row || row->sum[i] != db_col_int(s, SUM_KEYS + i)) {
            audit_problem(a,
                          "cost of hour %" PRId64 " project %" PRId64 " model %" PRId64
                          " is not the sum of its attempts",
                          key[0], key[1], key[2]);
            break;
        }
    return STATUS_OK;
}

static enum status posted_row(struct audit *a, struct db_stmt *s)
{
    /* NULL is 0: no archive has that number. */
    int64_t at_us = db_col_int(s, P_AT), archive = db_col_int(s, P_ARCHIVE);
    struct tally_row *row =
        tally_row(&a->cost_posted, (int64_t[TALLY_KEYS]){ archive ? -archive : at_us,
                                                          db_col_int(s, P_ORGANIZATION) });
    if (!row)
        return STATUS_NO_MEMORY;
    for (int i = 0; i < 3; i++)
        row->sum[i] -= db_col_int(s, P_SUMS + i);
    return STATUS_OK;
}

static void missing(struct audit *a)
{
    for (size_t i = 0; i < a->costs.room; i++) {
        const struct tally_row *row = &a->costs.rows[i];
        if (row->used && !row->seen)
            audit_problem(a, "cost of hour %" PRId64 " project %" PRId64 " is missing", row->key[0],
                          row->key[1]);
    }
    for (size_t i = 0; i < a->cost_posted.room; i++) {
        const struct tally_row *row = &a->cost_posted.rows[i];
        if (row->used && (row->sum[0] || row->sum[1] || row->sum[2]))
            audit_problem(a,
                          "%s %" PRId64 " of organization %" PRId64
                          ": what backends cost is not posted as it is",
                          row->key[0] < 0 ? "archive" : "batch",
                          row->key[0] < 0 ? -row->key[0] : row->key[0], row->key[1]);
    }
}

enum status audit_costs(struct audit *a)
{
    enum status s = audit_query(a, sql_attempts, attempt_row);
    if (!s)
        s = audit_query(a, sql_sums, sum_row);
    if (!s)
        s = audit_query(a, sql_posted, posted_row);
    if (!s)
        missing(a);
    return s;
}
