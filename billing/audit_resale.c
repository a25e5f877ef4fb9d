/* billing/audit_resale.c -- the second legs of requests, of those who buy from a reseller: each rated
 * once more like any other, and held against the first.
 */
#include "billing/audit_inside.h"
#include "base/usage.h"
#include <inttypes.h>
#include <string.h>

/* The columns of a request: audit_inside.h. */
static const char sql_legs[] =
    "SELECT o.rid, h.project, o.key, o.endpoint, h.price_version, h.hold_atoms +"
    " (SELECT coalesce(sum(resale_atoms), 0) FROM hold_more m WHERE m.rid = h.rid), o.accepted_us,"
    " o.boot, x.rid, x.project, s.key, s.endpoint, x.price_version, x.model, x.amount_atoms,"
    " s.settled_us, x.lines, s.outcome, x.draws, p.organization, b.id, b.archive,"
    " (SELECT -c.reseller FROM project q JOIN organization c ON c.id = q.organization"
    "  WHERE q.id = h.project)"
    " FROM resale_hold h JOIN request_open o ON o.rid = h.rid LEFT JOIN resale x ON x.rid = h.rid"
    " LEFT JOIN settlement s ON s.rid = x.rid LEFT JOIN project p ON p.id = x.project"
    " LEFT JOIN billing_period b ON b.id ="
    "  (SELECT id FROM billing_period WHERE organization = p.organization"
    "   AND starts_us <= s.settled_us ORDER BY starts_us DESC LIMIT 1)"
    " AND b.ends_us > s.settled_us ORDER BY o.rid";
static const char sql_pairs[] =
    "SELECT x.rid, s.settled_us, s.amount_atoms, p.organization, s.lines, x.lines,"
    " p.wholesale IS s.project, (SELECT archive FROM billing_period b WHERE"
    "  b.organization = p.organization AND b.starts_us <= s.settled_us ORDER BY starts_us DESC LIMIT 1)"
    " FROM resale x LEFT JOIN settlement s ON s.rid = x.rid"
    " LEFT JOIN project p ON p.id = x.project ORDER BY x.rid";
static const char sql_alone[] =
    "SELECT rid, 'was settled for a twin and its customer owes nothing' FROM settlement s"
    " WHERE s.project IN (SELECT wholesale FROM project WHERE wholesale IS NOT NULL)"
    "  AND NOT EXISTS (SELECT 1 FROM resale x WHERE x.rid = s.rid) UNION ALL "
    "SELECT rid, 'is held for a twin and its customer holds nothing' FROM request_open o"
    " WHERE o.project IN (SELECT wholesale FROM project WHERE wholesale IS NOT NULL)"
    "  AND NOT EXISTS (SELECT 1 FROM resale_hold h WHERE h.rid = o.rid) UNION ALL "
    "SELECT rid, 'is owed for at retail and was never held so' FROM resale x"
    " WHERE NOT EXISTS (SELECT 1 FROM resale_hold h WHERE h.rid = x.rid) UNION ALL "
    "SELECT rid, 'is held at retail and never was' FROM resale_hold h"
    " WHERE NOT EXISTS (SELECT 1 FROM request_open o WHERE o.rid = h.rid) UNION ALL "
    "SELECT DISTINCT rid, 'has a hold that grew for one leg alone' FROM hold_more m"
    " WHERE (resale_atoms IS NULL) ="
    "  EXISTS (SELECT 1 FROM resale_hold h WHERE h.rid = m.rid) UNION ALL "
    "SELECT rid, 'is settled and has a checkpoint at retail' FROM resale_checkpoint k"
    " WHERE EXISTS (SELECT 1 FROM settlement s WHERE s.rid = k.rid) ORDER BY 1";
static const char sql_projects[] =
    "SELECT p.slug FROM project p JOIN organization o ON o.id = p.organization"
    " LEFT JOIN project w ON w.id = p.wholesale WHERE w.organization IS NOT o.reseller";
static const char sql_levels[] =
    "SELECT o.slug FROM organization o JOIN organization r ON r.id = o.reseller"
    " WHERE r.reseller IS NOT NULL";
static const char sql_sellers[] =
    "SELECT d.number FROM document d JOIN organization o ON o.id = d.organization WHERE"
    " CASE WHEN o.reseller IS NULL THEN EXISTS (SELECT 1 FROM seller s"
    "   WHERE d.series LIKE s.series || '-____' OR d.series LIKE s.series || '-CN-____')"
    " ELSE NOT EXISTS (SELECT 1 FROM seller s WHERE s.organization = o.reseller"
    "   AND (d.series LIKE s.series || '-____' OR d.series LIKE s.series || '-CN-____')) END";

enum { P_RID, P_SETTLED, P_WHOLESALE, P_CUSTOMER, P_LINES, P_RETAIL_LINES, P_IS_TWIN, P_ARCHIVE };

/* Units by meter; false: lines that cannot be read, which has been said. */
static bool units_of(const char *text, int64_t units[static METER_COUNT])
{
    struct audit_line lines[AUDIT_LINES_MAX] = { { .item = 0 } };
    struct audit_facts facts = { .given = false };
    int count = text ? audit_read_lines(text, lines, &facts) : -1;
    memset(units, 0, METER_COUNT * sizeof *units);
    for (int i = 0; i < count; i++)
        if (lines[i].meter >= 0 && lines[i].meter < METER_COUNT)
            units[lines[i].meter] += lines[i].qty;
    return count >= 0;
}

/* Of a meter that both sell, the same is billed. */
static bool same_usage(struct db_stmt *s)
{
    int64_t own[METER_COUNT], retail[METER_COUNT];
    if (!units_of(db_col_text(s, P_LINES, NULL), own) ||
        !units_of(db_col_text(s, P_RETAIL_LINES, NULL), retail))
        return true;
    for (unsigned m = 0; m < METER_COUNT; m++)
        if (own[m] && retail[m] && own[m] != retail[m])
            return false;
    return true;
}

/* The reseller's cost of the customer is what it paid for the request. */
static enum status pair_row(struct audit *a, struct db_stmt *s)
{
    int64_t rid = db_col_int(s, P_RID), paid = db_col_int(s, P_WHOLESALE);
    if (!db_col_int(s, P_IS_TWIN))
        audit_problem(a, "request %" PRId64 " was resold by a project that is no twin of it", rid);
    if (!same_usage(s))
        audit_problem(a, "request %" PRId64 ": more or less is resold than was used", rid);
    if (paid == 0 || !db_col_null(s, P_ARCHIVE)) /* of an archive the roll-ups stand for it */
        return STATUS_OK;
    struct tally_row *posted =
        tally_row(&a->cost_posted,
                  (int64_t[TALLY_KEYS]){ db_col_int(s, P_SETTLED), db_col_int(s, P_CUSTOMER) });
    if (!posted)
        return STATUS_NO_MEMORY;
    posted->sum[0] += paid;
    posted->sum[2] -= paid;
    return STATUS_OK;
}

static enum status alone_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "request %" PRId64 " %s", db_col_int(s, 0), db_col_text(s, 1, NULL));
    return STATUS_OK;
}

static enum status project_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "project %s: its twin is not its reseller's", db_col_text(s, 0, NULL));
    return STATUS_OK;
}

static enum status level_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "organization %s buys from a reseller that buys from one",
                  db_col_text(s, 0, NULL));
    return STATUS_OK;
}

static enum status seller_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "document %s is in the series of another seller", db_col_text(s, 0, NULL));
    return STATUS_OK;
}

enum status audit_resale(struct audit *a)
{
    static const struct {
        const char *sql;
        enum status (*row)(struct audit *a, struct db_stmt *s);
    } questions[] = {
        { sql_legs, audit_request }, { sql_pairs, pair_row },       { sql_alone, alone_row },
        { sql_levels, level_row },   { sql_projects, project_row }, { sql_sellers, seller_row },
    };
    enum status s = STATUS_OK;
    for (size_t i = 0; i < sizeof questions / sizeof *questions && !s; i++)
        s = audit_query(a, questions[i].sql, questions[i].row);
    return s;
}
