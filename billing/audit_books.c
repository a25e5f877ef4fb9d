/* billing/audit_books.c -- the sums in the store against what audit_requests.c added
 * up, and the accounts against their entries.
 */
#include "billing/audit_inside.h"
#include <inttypes.h>

__extension__ typedef __int128 wide;

static const char sql_rollups[] =
    "SELECT hour_us, project, key, model, meter, price_version, qty, requests, atoms"
    " FROM usage_rollup";
/* Sums in two parts, so that a total beyond 64 bits is a finding and not a failure. */
static const char sql_tx[] =
    "SELECT t.tx, t.kind, t.at_us, t.project, sum(e.atoms / 1000000), sum(e.atoms % 1000000),"
    " count(e.tx), sum(e.atoms) FILTER (WHERE e.account = 8 * t.project + 1),"
    " sum(e.atoms) FILTER (WHERE e.account = 8 * t.project + 2), sum(e.account / 8 <> t.project)"
    " FROM ledger_tx t LEFT JOIN ledger_entry e ON e.tx = t.tx GROUP BY t.tx ORDER BY t.tx";
static const char sql_balances[] =
    "SELECT b.account, b.posted_atoms, coalesce(sum(e.atoms / 1000000), 0),"
    " coalesce(sum(e.atoms % 1000000), 0) FROM account_balance b"
    " LEFT JOIN ledger_entry e ON e.account = b.account GROUP BY b.account";
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
    int64_t key[TALLY_KEYS];
    for (int i = 0; i < TALLY_KEYS; i++)
        key[i] = db_col_int(s, i);
    struct tally_row *row = tally_find(&a->usage, key);
    if (!row) {
        audit_problem(a, ROLLUP_IN " has no settlements", ROLLUP_IDS(key));
        return STATUS_OK;
    }
    row->seen = true;
    for (int i = 0; i < TALLY_SUMS; i++)
        if (row->sum[i] != db_col_int(s, TALLY_KEYS + i)) {
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

/* A batch may have posted for a project more than once: what is left must be 0 at the end. */
static enum status take_posted(struct audit *a, struct db_stmt *s)
{
    int64_t tx = db_col_int(s, 0), debit = db_col_int(s, 7), credit = db_col_int(s, 8);
    struct tally_row *row =
        tally_row(&a->posted, (int64_t[TALLY_KEYS]){ db_col_int(s, 2), db_col_int(s, 3) });
    if (!row)
        return STATUS_NO_MEMORY;
    row->sum[0] -= debit;
    if (db_col_int(s, 6) != 2 || debit <= 0 || credit != -debit)
        audit_problem(a, "ledger tx %" PRId64 " is not one debit of unbilled to revenue", tx);
    return STATUS_OK;
}

static enum status tx_row(struct audit *a, struct db_stmt *s)
{
    int64_t tx = db_col_int(s, 0);
    if (db_col_int(s, 6) < 2 || joined(s, 4) != 0)
        audit_problem(a, "ledger tx %" PRId64 " does not sum to 0", tx);
    if (db_col_int(s, 9) > 0)
        audit_problem(a, "ledger tx %" PRId64 " has entries of another project", tx);
    bool is_usage = *db_col_text(s, 1, NULL) == 'u';
    return is_usage ? take_posted(a, s) : STATUS_OK;
}

enum status audit_ledger(struct audit *a)
{
    enum status s = audit_query(a, sql_tx, tx_row);
    for (size_t i = 0; i < a->posted.room && !s; i++) {
        const struct tally_row *row = &a->posted.rows[i];
        if (row->used && row->sum[0] != 0)
            audit_problem(
                a, "batch %" PRId64 " of project %" PRId64 ": settled - posted = %" PRId64 " atoms",
                row->key[0], row->key[1], row->sum[0]);
    }
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
