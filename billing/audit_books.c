/* billing/audit_books.c -- the sums in the store against what audit_requests.c added
 * up, and the accounts against their entries.
 */
#include "billing/audit_inside.h"
#include "billing/period.h"
#include <inttypes.h>
#include <string.h>

__extension__ typedef __int128 wide;

static const char sql_rollups[] =
    "SELECT hour_us, project, key, model, meter, price_version, item, period, endpoint, tier,"
    " long_context, qty, requests, atoms, covered_atoms FROM usage_rollup r WHERE NOT EXISTS"
    " (SELECT 1 FROM billing_period b WHERE b.id = r.period AND b.archive IS NOT NULL)";
/* Sums in two parts, so that a total beyond 64 bits is a finding and not a failure. */
static const char sql_tx[] =
    "SELECT t.tx, t.kind, t.at_us, t.organization, sum(e.atoms / 1000000), sum(e.atoms % 1000000),"
    " count(e.tx), sum(e.account / 32 <> t.organization),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 1), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 6), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 7), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 8), 0),"
    " sum(e.atoms) FILTER (WHERE e.account % 32 = 2), (SELECT b.archive FROM billing_period b"
    "  WHERE b.organization = t.organization AND b.starts_us <= t.at_us ORDER BY b.starts_us DESC LIMIT 1)"
    " FROM ledger_tx t LEFT JOIN ledger_entry e ON e.tx = t.tx GROUP BY t.tx ORDER BY t.tx";
static const char sql_balances[] =
    "SELECT b.account, b.posted_atoms, coalesce(sum(e.atoms / 1000000), 0) +"
    " coalesce((SELECT sum(atoms / 1000000) FROM archived_balance c WHERE c.account = b.account), 0),"
    " coalesce(sum(e.atoms % 1000000), 0) +"
    " coalesce((SELECT sum(atoms % 1000000) FROM archived_balance c WHERE c.account = b.account), 0)"
    " FROM account_balance b LEFT JOIN ledger_entry e ON e.account = b.account GROUP BY b.account";
static const char sql_unbalanced[] =
    "SELECT DISTINCT account FROM ledger_entry e WHERE NOT EXISTS"
    " (SELECT 1 FROM account_balance b WHERE b.account = e.account)";

static wide joined(struct db_stmt *s, int at)
{
    return (wide)db_col_int(s, at) * 1000000 + db_col_int(s, at + 1);
}

/* ---- rollups ------------------------------------------------------------------------------- */

#define ROLLUP_IN                                                                   \
    "rollup of hour %" PRId64 " project %" PRId64 " key %" PRId64 " model %" PRId64 \
    " meter %" PRId64
#define ROLLUP_IDS(key) (key)[0], (key)[1], (key)[2], (key)[3], (key)[4]

static enum status rollup_row(struct audit *a, struct db_stmt *s)
{
    enum { HOW = TALLY_KEYS - 1, QTY = HOW + 3 };
    int64_t key[TALLY_KEYS];
    for (int i = 0; i < HOW; i++)
        key[i] = db_col_int(s, i);
    size_t len;
    const char *tier = db_col_text(s, HOW + 1, &len);
    key[HOW] = audit_how(db_col_text(s, HOW, NULL), (struct span){ tier, len },
                         db_col_int(s, HOW + 2) != 0);
    struct tally_row *row = tally_find(&a->usage, key);
    if (!row) {
        audit_problem(a, ROLLUP_IN " has no settlements", ROLLUP_IDS(key));
        return STATUS_OK;
    }
    row->seen = true;
    for (int i = 0; i < TALLY_SUMS; i++)
        if (row->sum[i] != db_col_int(s, QTY + i)) {
            audit_problem(a, ROLLUP_IN " is not the sum of its settlements", ROLLUP_IDS(key));
            break;
        }
    return STATUS_OK;
}

enum status audit_rollups(struct audit *a)
{
    enum status s = audit_query(a, sql_rollups, rollup_row);
    for (size_t i = 0; i < a->usage.room && !s; i++)
        if (a->usage.rows[i].used && !a->usage.rows[i].seen)
            audit_problem(a, ROLLUP_IN " is missing", ROLLUP_IDS(a->usage.rows[i].key));
    return s;
}

/* ---- double entry -------------------------------------------------------------------------- */

enum {
    T_TX,
    T_KIND,
    T_AT,
    T_ORGANIZATION,
    T_SUM,
    T_SUM_REST,
    T_COUNT,
    T_FOREIGN,
    T_OWED,
    T_REVENUE = T_OWED + 4,
    T_ARCHIVE
};

/* Each batch and kind has a weight of its own in the sum of its hour. */
static uint64_t weight(int64_t at_us, int64_t kind)
{
    uint64_t z = ((uint64_t)at_us * 4 + (uint64_t)kind) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A row for each batch would be memory that grows with everything ever stored.  A row for each hour
 * knows as much: what is posted in another batch than it was settled in leaves its weighed sum other
 * than 0, but for one time in 2^64. */
bool audit_post(struct audit *a, int64_t at_us, int64_t organization, int64_t kind, int64_t atoms)
{
    struct tally_row *row =
        tally_row(&a->posted, (int64_t[TALLY_KEYS]){ at_us - at_us % HOUR_US, organization });
    if (!row)
        return false;
    row->sum[kind] += atoms;
    row->mix += (uint64_t)atoms * weight(at_us, kind);
    return true;
}

/* A batch may have posted for an organisation more than once: what is left must be 0 at the end. */
static bool take_one(struct audit *a, struct db_stmt *s, int64_t kind, int64_t atoms)
{
    int64_t organization = db_col_int(s, T_ORGANIZATION);
    if (db_col_null(s, T_ARCHIVE))
        return audit_post(a, db_col_int(s, T_AT), organization, kind, -atoms);
    struct tally_row *row = audit_archived(a, db_col_int(s, T_ARCHIVE), organization);
    if (row)
        row->sum[kind] -= atoms;
    return row;
}

static enum status take_posted(struct audit *a, struct db_stmt *s)
{
    wide paid = 0;
    bool negative = false;
    for (int i = 0; i < TALLY_SUMS; i++) { /* what is owed, then each kind of fund */
        int64_t atoms = db_col_int(s, T_OWED + i);
        if (!take_one(a, s, i, atoms))
            return STATUS_NO_MEMORY;
        paid += atoms;
        negative |= atoms < 0;
    }
    if (negative || paid <= 0 || db_col_int(s, T_REVENUE) != -paid)
        audit_problem(a, "ledger tx %" PRId64 " is not what pays for usage against revenue",
                      db_col_int(s, T_TX));
    return STATUS_OK;
}

static enum status tx_row(struct audit *a, struct db_stmt *s)
{
    int64_t tx = db_col_int(s, T_TX);
    if (db_col_int(s, T_COUNT) < 2 || joined(s, T_SUM) != 0)
        audit_problem(a, "ledger tx %" PRId64 " does not sum to 0", tx);
    if (db_col_int(s, T_FOREIGN) > 0)
        audit_problem(a, "ledger tx %" PRId64 " has entries of another organization", tx);
    bool is_usage = strcmp(db_col_text(s, T_KIND, NULL), "usage") == 0;
    return is_usage ? take_posted(a, s) : STATUS_OK;
}

static void check_posted(struct audit *a, const struct tally_row *row)
{
    bool whole = true;
    for (int k = 0; k < TALLY_SUMS; k++)
        if (row->sum[k] != 0) {
            whole = false;
            audit_problem(a,
                          "%s %" PRId64 " of organization %" PRId64 ": settled - posted = %" PRId64
                          " atoms",
                          row->key[0] < 0 ? "archive" : "hour",
                          row->key[0] < 0 ? -row->key[0] : row->key[0], row->key[1], row->sum[k]);
        }
    if (whole && row->mix != 0)
        audit_problem(a,
                      "hour %" PRId64 " of organization %" PRId64
                      ": something is posted in another batch than it was settled in",
                      row->key[0], row->key[1]);
}

enum status audit_ledger(struct audit *a)
{
    enum status s = audit_query(a, sql_tx, tx_row);
    for (size_t i = 0; i < a->posted.room && !s; i++)
        if (a->posted.rows[i].used)
            check_posted(a, &a->posted.rows[i]);
    return s;
}

static enum status balance_row(struct audit *a, struct db_stmt *s)
{
    if (joined(s, 2) != db_col_int(s, 1))
        audit_problem(a, "account %" PRId64 ": its balance is not the sum of its entries",
                      db_col_int(s, 0));
    return STATUS_OK;
}

static enum status unbalanced_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "account %" PRId64 " has entries and no balance", db_col_int(s, 0));
    return STATUS_OK;
}

enum status audit_balances(struct audit *a)
{
    enum status s = audit_query(a, sql_balances, balance_row);
    return s ? s : audit_query(a, sql_unbalanced, unbalanced_row);
}
