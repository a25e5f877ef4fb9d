/* billing/margin.c -- see margin.h. */
#include "billing/margin.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/money.h"
#include "billing/period.h"
#include "billing/report.h"
#include <string.h>

enum { ROWS_MAX = 10000 };
enum column { MODEL, ORGANIZATION, REQUESTS, REVENUE, CALLS, COST, WASTED };

#define MARGIN_SQL(both)                                                                           \
    "WITH both AS (" both ")"                                                                      \
    " SELECT CASE WHEN ?3 & 1 THEN n.name END, CASE WHEN ?3 & 2 THEN o.slug END, sum(b.requests)," \
    " sum(b.revenue), sum(b.calls), sum(b.cost), sum(b.wasted) FROM both b"                        \
    " JOIN name n ON n.id = b.m JOIN organization o ON o.id = b.o GROUP BY 1, 2 ORDER BY 1, 2"
static const char sql_margin[] = MARGIN_SQL(
    " SELECT p.organization AS o, u.model AS m, sum(u.requests) AS requests, sum(u.atoms) AS revenue,"
    "  0 AS calls, 0 AS cost, 0 AS wasted FROM usage_rollup u JOIN project p ON p.id = u.project"
    "  WHERE u.hour_us >= ?1 AND u.hour_us < ?2 AND p.wholesale IS NULL GROUP BY 1, 2 UNION ALL"
    " SELECT p.organization, c.model, 0, 0, sum(c.attempts), sum(c.cost_atoms), sum(c.wasted_atoms)"
    "  FROM cost_rollup c JOIN project p ON p.id = c.project"
    "  WHERE c.hour_us >= ?1 AND c.hour_us < ?2 GROUP BY 1, 2");
static const char sql_resold[] = MARGIN_SQL(
    " SELECT p.organization AS o, u.model AS m, sum(u.requests) AS requests, sum(u.atoms) AS revenue,"
    "  0 AS calls, 0 AS cost, 0 AS wasted FROM usage_rollup u JOIN project p ON p.id = u.project"
    "  JOIN organization c ON c.id = p.organization AND c.reseller = ?4"
    "  WHERE u.hour_us >= ?1 AND u.hour_us < ?2 GROUP BY 1, 2 UNION ALL"
    " SELECT p.organization, u.model, 0, 0, sum(u.requests), sum(u.atoms), 0 FROM usage_rollup u"
    "  JOIN project p ON p.wholesale = u.project JOIN organization c ON c.id = p.organization"
    "  AND c.reseller = ?4 WHERE u.hour_us >= ?1 AND u.hour_us < ?2 GROUP BY 1, 2");
static const char sql_whose[] =
    "SELECT CASE WHEN o.slug = ?2 THEN 0 WHEN EXISTS (SELECT 1 FROM organization c"
    " WHERE c.reseller = o.id) THEN o.id ELSE -1 END FROM project p JOIN organization o"
    " ON o.id = p.organization WHERE p.id = ?1";

bool margin_group(const char *text, unsigned *ret)
{
    static const struct {
        const char *text;
        unsigned bits;
    } groups[] = {
        { "model", MARGIN_BY_MODEL },
        { "organization", MARGIN_BY_ORGANIZATION },
        { "model,organization", MARGIN_BY_MODEL | MARGIN_BY_ORGANIZATION },
    };
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(text ? text : groups[2].text, groups[i].text) == 0) {
            *ret = groups[i].bits;
            return true;
        }
    return false;
}

static json_t *amount(int64_t atoms)
{
    char text[MONEY_TEXT_BYTES];
    return json_string(money_text((money_t){ atoms }, 2, text));
}

/* Half away from zero; null when nothing came in. */
static json_t *basis_points(int64_t margin, int64_t revenue)
{
    __extension__ typedef __int128 wide;
    if (revenue <= 0)
        return json_null();
    wide twice = (wide)margin * 20000, half = margin < 0 ? -(wide)revenue : (wide)revenue;
    return json_integer((json_int_t)((twice + half) / (2 * (wide)revenue)));
}

struct sums {
    int64_t requests, revenue, calls, cost, wasted;
};

static bool add(struct sums *s, const struct sums *more)
{
    return !__builtin_add_overflow(s->requests, more->requests, &s->requests) &&
           !__builtin_add_overflow(s->revenue, more->revenue, &s->revenue) &&
           !__builtin_add_overflow(s->calls, more->calls, &s->calls) &&
           !__builtin_add_overflow(s->cost, more->cost, &s->cost) &&
           !__builtin_add_overflow(s->wasted, more->wasted, &s->wasted);
}

/* Takes nothing; the names are left out when NULL. */
static json_t *row_of(const struct sums *s, const char *model, const char *organization)
{
    int64_t margin = s->revenue - s->cost;
    return json_pack("{s:s*, s:s*, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "model", model,
                     "organization", organization, "requests", (json_int_t)s->requests, "calls",
                     (json_int_t)s->calls, "revenue", amount(s->revenue), "cost", amount(s->cost),
                     "wasted", amount(s->wasted), "margin", amount(margin), "margin_basis_points",
                     basis_points(margin, s->revenue));
}

static enum status add_row(json_t *data, struct db_stmt *s, struct sums *total)
{
    const struct sums own = { db_col_int(s, REQUESTS), db_col_int(s, REVENUE), db_col_int(s, CALLS),
                              db_col_int(s, COST), db_col_int(s, WASTED) };
    if (!add(total, &own))
        return STATUS_BILLING_OVERFLOW;
    if (json_array_size(data) == ROWS_MAX)
        return STATUS_TOO_LARGE_FOR_LIMIT;
    json_t *row = row_of(&own, db_col_text(s, MODEL, NULL), db_col_text(s, ORGANIZATION, NULL));
    return json_array_append_new(data, row) == 0 ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status read_rows(struct db *db, const struct margin_query *q, json_t *data,
                             struct sums *total)
{
    struct db_stmt *s = db_prepare(db, q->reseller ? sql_resold : sql_margin);
    if (!s)
        return db_status(db);
    if (q->reseller)
        db_int(s, 4, q->reseller);
    db_int(s, 1, q->from_us);
    db_int(s, 2, q->to_us);
    db_int(s, 3, q->group);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = add_row(data, s, total);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

enum status margin_report(struct db *db, const struct margin_query *q, json_t **ret)
{
    char from[PERIOD_TEXT_BYTES], to[PERIOD_TEXT_BYTES];
    struct sums total = { 0 };
    AUTO(json_decref_ptr) json_t *data = json_array();
    AUTO(json_decref_ptr) json_t *currency = NULL;
    enum status s = report_currency(db, &currency);
    if (!s)
        s = read_rows(db, q, data, &total);
    if (s)
        return s;
    *ret =
        json_pack("{s:s, s:O, s:s, s:s, s:O, s:o}", "object", "list", "currency", currency, "from",
                  period_instant_text(q->from_us, from), "to", period_instant_text(q->to_us, to),
                  "data", data, "total", row_of(&total, NULL, NULL));
    return *ret ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status margin_whose(struct db *db, int64_t project, const char *house, int64_t *ret_reseller)
{
    struct db_stmt *s = db_prepare(db, sql_whose);
    if (!s)
        return db_status(db);
    db_int(s, 1, project);
    db_text(s, 2, house, -1);
    enum status status = db_first_int(db, s, ret_reseller);
    return status ? status : *ret_reseller < 0 ? STATUS_FORBIDDEN : STATUS_OK;
}
