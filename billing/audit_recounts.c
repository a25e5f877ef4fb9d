/* billing/audit_recounts.c -- the gateway's own counts: a request that is told to differ does, and
 * nothing is billed beyond the count and its tolerance. */
#include "billing/audit_inside.h"
#include <inttypes.h>
#include <string.h>

#define LINES "json_each(CASE WHEN json_valid(s.lines) THEN s.lines ELSE '[]' END)"

/* The ids of base/usage.h, written down a second time: text that went in and came out. */
static const char sql_recounts[] =
    "SELECT c.rid, s.rid, s.outcome, c.input_reported, c.input_counted, c.input_tolerance,"
    " (SELECT coalesce(sum(l.value ->> 1), 0) FROM " LINES " l"
    "  WHERE l.type = 'array' AND l.value ->> 0 IN (1, 2, 3, 16)),"
    " c.output_reported, c.output_counted, c.output_tolerance,"
    " (SELECT coalesce(sum(l.value ->> 1), 0) FROM " LINES " l"
    "  WHERE l.type = 'array' AND l.value ->> 0 IN (4, 5)) - c.hidden"
    " FROM recount c LEFT JOIN settlement s ON s.rid = c.rid ORDER BY c.rid";
static const char sql_untold[] =
    "SELECT s.rid FROM settlement s WHERE s.outcome = 'ok_mismatch' AND NOT EXISTS"
    " (SELECT 1 FROM recount c WHERE c.rid = s.rid) ORDER BY s.rid";

/* Columns from `at`: reported, counted, tolerance, billed.  True: the two are too far apart. */
static bool check_side(struct audit *a, struct db_stmt *s, int at, const char *what)
{
    int64_t reported = db_col_int(s, at), counted = db_col_int(s, at + 1);
    int64_t tolerance = db_col_int(s, at + 2), billed = db_col_int(s, at + 3);
    if (db_col_null(s, at) || db_col_null(s, at + 1))
        return false;
    if (billed > reported || billed - tolerance > counted)
        audit_problem(a,
                      "request %" PRId64 ": %" PRId64 " tokens of %s are billed, %" PRId64
                      " were reported and %" PRId64 " counted",
                      db_col_int(s, 0), billed, what, reported, counted);
    return reported - counted > tolerance || counted - reported > tolerance;
}

static enum status recount_row_check(struct audit *a, struct db_stmt *s)
{
    if (db_col_null(s, 1)) {
        audit_problem(a, "request %" PRId64 " was counted and never settled", db_col_int(s, 0));
        return STATUS_OK;
    }
    bool in = check_side(a, s, 3, "input"), out = check_side(a, s, 7, "output");
    const char *outcome = db_col_text(s, 2, NULL);
    if (!strcmp(outcome, "ok_mismatch") && !in && !out)
        audit_problem(a, "request %" PRId64 " is told to differ and does not", db_col_int(s, 0));
    if (!strcmp(outcome, "ok") && (in || out))
        audit_problem(a, "request %" PRId64 " differs and is not told to", db_col_int(s, 0));
    return STATUS_OK;
}

static enum status untold_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "request %" PRId64 " is told to differ without a count", db_col_int(s, 0));
    return STATUS_OK;
}

enum status audit_recounts(struct audit *a)
{
    enum status s = audit_query(a, sql_recounts, recount_row_check);
    return s ? s : audit_query(a, sql_untold, untold_row);
}
