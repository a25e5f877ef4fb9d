/* billing/audit_shares.c -- what partners earned: split right, never more than the line
 * still says, posted as it is written.
 */
#include "billing/audit_inside.h"
#include "base/money.h"
#include <inttypes.h>

__extension__ typedef __int128 wide;

/* Of an invoice: the part is the exact one, rounded down or up by at most one. */
static const char sql_given[] =
    "SELECT s.document, s.line, s.net_minor, s.basis_points, s.amount_minor"
    " FROM share s JOIN document d ON d.number = s.document WHERE d.refers_to IS NULL";
/* Of each line with what credit notes took back, all partners together. */
static const char sql_left[] =
    "SELECT i, line, sum(amount), min(part), net - coalesce((SELECT sum(c.net_minor)"
    "  FROM credit_line c WHERE c.invoice = i AND c.line = l.line), 0) FROM"
    " (SELECT coalesce(d.refers_to, d.number) i, s.line, s.partner, sum(s.amount_minor) amount,"
    "   sum(s.amount_minor) part, max(s.net_minor) FILTER (WHERE d.refers_to IS NULL) net"
    "   FROM share s JOIN document d ON d.number = s.document GROUP BY 1, 2, 3) l GROUP BY 1, 2";
static const char sql_posted[] =
    "SELECT document, partner, amount, digits, (SELECT coalesce(sum(e.atoms), 0) FROM ledger_tx t"
    "  JOIN ledger_entry e ON e.tx = t.tx WHERE t.kind = 'share' AND t.ref = document"
    "  AND e.account = 32 * partner + 11) FROM (SELECT s.document, s.partner,"
    "  sum(s.amount_minor) amount, max(json_extract(d.body, '$.minor_digits')) digits"
    "  FROM share s JOIN document d ON d.number = s.document GROUP BY 1, 2)";
static const char sql_unwritten[] =
    "SELECT DISTINCT t.ref FROM ledger_tx t WHERE t.kind = 'share'"
    " AND NOT EXISTS (SELECT 1 FROM share s WHERE s.document = t.ref)";

static enum status given_row(struct audit *a, struct db_stmt *s)
{
    wide off = (wide)db_col_int(s, 2) * db_col_int(s, 3) - (wide)db_col_int(s, 4) * 10000;
    if (off >= 10000 || off <= -10000)
        audit_problem(a, "document %s, line %" PRId64 ": a share is not its part of the line",
                      db_col_text(s, 0, NULL), db_col_int(s, 1));
    return STATUS_OK;
}

static enum status left_row(struct audit *a, struct db_stmt *s)
{
    if (db_col_int(s, 2) > db_col_int(s, 4) || db_col_int(s, 3) < 0)
        audit_problem(a, "document %s, line %" PRId64 ": its shares are not of what is left of it",
                      db_col_text(s, 0, NULL), db_col_int(s, 1));
    return STATUS_OK;
}

static enum status posted_row(struct audit *a, struct db_stmt *s)
{
    wide atoms = db_col_int(s, 2);
    for (int64_t i = db_col_int(s, 3); i < MONEY_ATOM_EXP; i++)
        atoms *= 10;
    if (-atoms != db_col_int(s, 4))
        audit_problem(a,
                      "document %s: shares of organization %" PRId64 " are not posted as written",
                      db_col_text(s, 0, NULL), db_col_int(s, 1));
    return STATUS_OK;
}

static enum status unwritten_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "document %s: shares are posted that nobody has", db_col_text(s, 0, NULL));
    return STATUS_OK;
}

enum status audit_shares(struct audit *a)
{
    enum status s = audit_query(a, sql_given, given_row);
    if (!s)
        s = audit_query(a, sql_left, left_row);
    if (!s)
        s = audit_query(a, sql_posted, posted_row);
    return s ? s : audit_query(a, sql_unwritten, unwritten_row);
}
