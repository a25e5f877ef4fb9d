/* billing/audit_alerts.c -- alerts: each says what the sums were when it was recorded.
 *
 * What a budget's project had spent by the hours of the roll-ups, between the end of the
 * hour before and the end of its own; what an organisation owed, and had topped up and not
 * used, by the entries of its accounts up to the transaction that the alert names.
 */
#include "billing/audit_inside.h"
#include <inttypes.h>
#include <string.h>

__extension__ typedef __int128 wide;

enum { PREPAID = 8 }; /* an account code; 1 and 3 are what is owed */

static const char sql_all[] = "SELECT id, threshold, limit_atoms, spent_atoms FROM alert";
static const char sql_budgets[] =
    "WITH hours AS MATERIALIZED (SELECT project, period, hour_us, sum(atoms) AS atoms"
    "  FROM usage_rollup WHERE project IN (SELECT owner FROM alert WHERE type LIKE 'budget.%')"
    "  GROUP BY 1, 2, 3)"
    " SELECT a.id, a.spent_atoms,"
    " coalesce(sum(h.atoms) FILTER (WHERE h.hour_us + 3600000000 <= a.at_us), 0),"
    " coalesce(sum(h.atoms) FILTER (WHERE h.hour_us <= a.at_us), 0), p.organization, a.organization"
    " FROM alert a LEFT JOIN project p ON p.id = a.owner"
    " LEFT JOIN billing_period b ON b.organization = a.organization AND b.starts_us = a.round"
    " LEFT JOIN hours h ON h.project = a.owner AND (a.round = 0 OR h.period = b.id)"
    " WHERE a.type LIKE 'budget.%' GROUP BY a.id";
/* By organisation and transaction, each alert behind the entries that it knew of.  An archive stands
 * for entries up to its last one. */
static const char sql_accounts[] =
    "WITH watched AS MATERIALIZED (SELECT DISTINCT organization FROM alert"
    "  WHERE type NOT LIKE 'budget.%')"
    " SELECT account / 32, tx, 0, account % 32, atoms, 0, 0, 0, 0 FROM ledger_entry"
    "  WHERE account % 32 IN (1, 3, 8) AND account / 32 IN watched"
    " UNION ALL SELECT b.account / 32, a.to_tx, 1, b.account % 32, b.atoms, 0, 0, 0, 0"
    "  FROM archived_balance b JOIN archive a ON a.id = b.archive"
    "  WHERE b.account % 32 IN (1, 3, 8) AND b.account / 32 IN watched"
    " UNION ALL SELECT a.organization, a.last_tx, 2, a.type LIKE 'prepaid.%', a.spent_atoms, a.id,"
    "  a.limit_atoms, coalesce(f.amount_atoms, 0), EXISTS (SELECT 1 FROM fund x WHERE"
    "   x.organization = a.organization AND x.kind = 'prepaid' AND x.created_us <= a.at_us"
    "   AND (x.from_us > a.at_us OR x.to_us <= a.at_us))"
    "  FROM alert a LEFT JOIN fund f ON f.id = a.round AND f.organization = a.organization"
    "   AND f.kind = 'prepaid' WHERE a.type NOT LIKE 'budget.%'"
    " ORDER BY 1, 2, 3";
static const char sql_last_archived[] = "SELECT coalesce(max(to_tx), 0) FROM archive";
static const char sql_deliveries[] =
    "SELECT alert, webhook FROM alert_delivery WHERE (state = 'waiting') <> (ended_us = 0)"
    " OR (state = 'delivered' AND attempts = 0)";

enum { ORGANIZATION, TX, WHAT, CODE, ATOMS, ALERT, LIMIT, FUND, ELSEWHERE };
enum { IS_ENTRY, IS_ARCHIVE, IS_ALERT };

static enum status alert_row(struct audit *a, struct db_stmt *s)
{
    int64_t percent = db_col_int(s, 1), limit = db_col_int(s, 2), spent = db_col_int(s, 3);
    if (percent && (limit == 0 || (wide)spent * 100 < (wide)limit * percent))
        audit_problem(a, "alert %" PRId64 ": %" PRId64 " percent were not reached",
                      db_col_int(s, 0), percent);
    return STATUS_OK;
}

static enum status budget_row(struct audit *a, struct db_stmt *s)
{
    int64_t spent = db_col_int(s, 1);
    if (db_col_null(s, 4) || db_col_int(s, 4) != db_col_int(s, 5))
        audit_problem(a, "alert %" PRId64 ": its project is none of its organization",
                      db_col_int(s, 0));
    else if (spent < db_col_int(s, 2) || spent > db_col_int(s, 3))
        audit_problem(a, "alert %" PRId64 ": that was not what its project had spent",
                      db_col_int(s, 0));
    return STATUS_OK;
}

/* Funds whose time had not come, or was over, are in the account and not in the alert. */
static void check_prepaid(struct audit *a, struct db_stmt *s, int64_t left)
{
    int64_t spent = db_col_int(s, ATOMS), limit = db_col_int(s, LIMIT);
    int64_t used = left < limit ? limit - left : 0;
    bool exact = db_col_int(s, ELSEWHERE) == 0;
    if (limit != db_col_int(s, FUND))
        audit_problem(a, "alert %" PRId64 ": its limit is not the top-up", db_col_int(s, ALERT));
    if (exact ? spent != used : spent < used)
        audit_problem(a, "alert %" PRId64 ": that was not what was used of prepaid funds",
                      db_col_int(s, ALERT));
}

static void check_credit(struct audit *a, struct db_stmt *s, int64_t owed)
{
    if (db_col_int(s, ATOMS) != (owed > 0 ? owed : 0))
        audit_problem(a, "alert %" PRId64 ": that was not what its organization owed",
                      db_col_int(s, ALERT));
}

/* In the order of sql_accounts: a->alert_sums are those of the organisation so far. */
static enum status account_row(struct audit *a, struct db_stmt *s)
{
    struct audit_alert_sums *sums = &a->alert_sums;
    if (sums->organization != db_col_int(s, ORGANIZATION))
        *sums = (struct audit_alert_sums){ .organization = db_col_int(s, ORGANIZATION),
                                           .last_archived = sums->last_archived };
    if (db_col_int(s, WHAT) != IS_ALERT)
        *(db_col_int(s, CODE) == PREPAID ? &sums->prepaid : &sums->owed) += db_col_int(s, ATOMS);
    else if (db_col_int(s, TX) < sums->last_archived)
        return STATUS_OK; /* its entries have left */
    else if (db_col_int(s, CODE))
        check_prepaid(a, s, -sums->prepaid);
    else
        check_credit(a, s, sums->owed);
    return STATUS_OK;
}

static enum status delivery_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "alert %" PRId64 ": its delivery to '%s' is neither waiting nor ended",
                  db_col_int(s, 0), db_col_text(s, 1, NULL));
    return STATUS_OK;
}

enum status audit_alerts(struct audit *a)
{
    struct db_stmt *last = db_prepare(a->db, sql_last_archived);
    if (!last)
        return db_status(a->db);
    enum status s = db_first_int(a->db, last, &a->alert_sums.last_archived);
    if (!s)
        s = audit_query(a, sql_all, alert_row);
    int64_t rows = a->rows;
    if (!s)
        s = audit_query(a, sql_budgets, budget_row);
    if (!s)
        s = audit_query(a, sql_accounts, account_row);
    if (!s)
        s = audit_query(a, sql_deliveries, delivery_row);
    a->rows = rows; /* the alerts */
    return s;
}
