/* billing/audit_archives.c -- months whose requests are in files of their own.
 *
 * Their roll-ups stay, and stand for the settlements from then on: they must be those that were audited
 * with the file (a digest says so), and what was carried of postings and draws must be what they come to.
 */
#include "base/cleanup.h"
#include "billing/archive.h"
#include "billing/audit_inside.h"
#include <inttypes.h>
#include <string.h>

static const char sql_self[] = "SELECT count(*) FROM archive WHERE state = 'file'";
static const char sql_archives[] =
    "SELECT a.id, a.month, a.rollups_sha256, (SELECT json_group_array(id) FROM billing_period b"
    "  WHERE b.archive = a.id) FROM archive a WHERE a.state <> 'file'";
static const char sql_rollups[] =
    "SELECT r.project, r.model, r.meter, r.price_version, r.item, r.period, sum(r.qty), sum(r.requests),"
    " sum(r.atoms), sum(r.covered_atoms), b.archive, b.organization FROM billing_period b"
    " CROSS JOIN usage_rollup r ON r.hour_us >= b.starts_us - 3600000000 AND r.hour_us < b.ends_us"
    " AND r.period = b.id WHERE b.archive IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6";
/* What a reseller paid for what it sold on is its cost. */
static const char sql_resold[] =
    "SELECT b.archive, p.organization, sum(r.atoms), 0, -sum(r.atoms) FROM billing_period b"
    " CROSS JOIN usage_rollup r ON r.hour_us >= b.starts_us - 3600000000 AND r.hour_us < b.ends_us"
    " AND r.period = b.id JOIN project p ON p.wholesale = r.project WHERE b.archive IS NOT NULL"
    " GROUP BY 1, 2";
static const char sql_costs[] =
    "SELECT b.archive, b.organization, sum(r.cost_atoms - r.wasted_atoms), sum(r.wasted_atoms),"
    " -sum(r.cost_atoms) FROM billing_period b CROSS JOIN cost_rollup r"
    " ON r.hour_us >= b.starts_us - 3600000000 AND r.hour_us < b.ends_us AND r.period = b.id"
    " WHERE b.archive IS NOT NULL GROUP BY 1, 2";
static const char sql_draws[] =
    "SELECT d.archive, d.fund, d.atoms, f.organization, CASE f.kind WHEN 'promo' THEN 1"
    " WHEN 'commit' THEN 2 ELSE 3 END FROM archived_draw d JOIN fund f ON f.id = d.fund";
static const char sql_balances[] =
    "SELECT archive, account / 32, sum(atoms), sum(atoms) FILTER (WHERE account % 32 = 1),"
    " sum(atoms) FILTER (WHERE account % 32 = 6), sum(atoms) FILTER (WHERE account % 32 = 7),"
    " sum(atoms) FILTER (WHERE account % 32 = 8), sum(atoms) FILTER (WHERE account % 32 = 12),"
    " sum(atoms) FILTER (WHERE account % 32 = 14), sum(atoms) FILTER (WHERE account % 32 = 13),"
    " count(*) FILTER (WHERE account % 32 NOT IN (1, 2, 6, 7, 8, 12, 13, 14))"
    " FROM archived_balance GROUP BY 1, 2";

enum { COST_ACCOUNTS = 3 }; /* upstream_cost, goodwill, upstream_payable */
enum { B_SUM = 2, B_OWED, B_COSTS = B_OWED + TALLY_SUMS, B_OTHERS = B_COSTS + COST_ACCOUNTS };

/* A batch is known by its time, an archive by its number: these are below zero. */
struct tally_row *audit_archived(struct audit *a, int64_t archive, int64_t organization)
{
    return tally_row(&a->posted, (int64_t[TALLY_KEYS]){ -archive, organization });
}

static enum status archive_row(struct audit *a, struct db_stmt *s)
{
    uint8_t now[DIGEST_BYTES];
    size_t len = 0;
    const void *then = db_col_blob(s, 2, &len);
    enum status status = archive_rollups_digest(a->db, db_col_text(s, 3, NULL), now);
    if (!status && (len != sizeof now || memcmp(then, now, sizeof now) != 0))
        audit_problem(a, "archive %s: its sums are not those that were archived",
                      db_col_text(s, 1, NULL));
    return status;
}

static enum status rollup_row(struct audit *a, struct db_stmt *s)
{
    int64_t atoms = db_col_int(s, 8), covered = db_col_int(s, 9);
    struct tally_row *usage =
        tally_row(&a->usage,
                  (int64_t[TALLY_KEYS]){ 0, db_col_int(s, 0), 0, db_col_int(s, 1), db_col_int(s, 2),
                                         db_col_int(s, 3), db_col_int(s, 4), db_col_int(s, 5) });
    struct tally_row *posted = audit_archived(a, db_col_int(s, 10), db_col_int(s, 11));
    struct tally_row *spent = tally_row(&a->spent, (int64_t[TALLY_KEYS]){ db_col_int(s, 0) });
    if (!usage || !posted || !spent)
        return STATUS_NO_MEMORY;
    for (int i = 0; i < TALLY_SUMS; i++)
        usage->sum[i] = db_col_int(s, 6 + i);
    usage->seen = true; /* for documents: it has no roll-up of its own */
    posted->sum[0] += atoms - covered;
    spent->sum[0] += atoms;
    return STATUS_OK;
}

static enum status draw_row(struct audit *a, struct db_stmt *s)
{
    struct tally_row *drawn = tally_row(&a->drawn, (int64_t[TALLY_KEYS]){ db_col_int(s, 1) });
    struct tally_row *posted = audit_archived(a, db_col_int(s, 0), db_col_int(s, 3));
    if (!drawn || !posted)
        return STATUS_NO_MEMORY;
    drawn->sum[0] += db_col_int(s, 2);
    posted->sum[db_col_int(s, 4)] += db_col_int(s, 2);
    return STATUS_OK;
}

/* The sums of costs, and what was carried of their postings: the same, so 0 is left. */
static enum status add_costs(struct audit *a, struct db_stmt *s, int at, int sign)
{
    struct tally_row *row =
        tally_row(&a->cost_posted, (int64_t[TALLY_KEYS]){ -db_col_int(s, 0), db_col_int(s, 1) });
    if (!row)
        return STATUS_NO_MEMORY;
    for (int i = 0; i < COST_ACCOUNTS; i++)
        row->sum[i] += sign * db_col_int(s, at + i);
    return STATUS_OK;
}

static enum status cost_row(struct audit *a, struct db_stmt *s)
{
    return add_costs(a, s, 2, 1);
}

static enum status balance_row(struct audit *a, struct db_stmt *s)
{
    struct tally_row *posted = audit_archived(a, db_col_int(s, 0), db_col_int(s, 1));
    if (!posted)
        return STATUS_NO_MEMORY;
    if (db_col_int(s, B_SUM) != 0 || db_col_int(s, B_OTHERS) != 0)
        audit_problem(a,
                      "archive %" PRId64 ": what was carried of organization %" PRId64
                      " does not sum to 0",
                      db_col_int(s, 0), db_col_int(s, 1));
    for (int i = 0; i < TALLY_SUMS; i++)
        posted->sum[i] -= db_col_int(s, B_OWED + i);
    return add_costs(a, s, B_COSTS, -1);
}

enum status audit_archives(struct audit *a)
{
    int64_t self = 0;
    enum status s = db_first_int(a->db, db_prepare(a->db, sql_self), &self);
    a->is_archive = self != 0;
    if (!s)
        s = audit_query(a, sql_archives, archive_row);
    if (!s)
        s = audit_query(a, sql_rollups, rollup_row);
    if (!s)
        s = audit_query(a, sql_draws, draw_row);
    if (!s)
        s = audit_query(a, sql_costs, cost_row);
    if (!s)
        s = audit_query(a, sql_resold, cost_row);
    return s ? s : audit_query(a, sql_balances, balance_row);
}
