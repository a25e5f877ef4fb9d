/* billing/recount.c -- see recount.h. */
#include "billing/recount.h"
#include "base/cleanup.h"
#include "base/db_list.h"
#include "billing/period.h"
#include "billing/recount_inside.h"
#include "billing/report.h"

static const char sql_insert[] = "INSERT INTO recount VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)";

/* By request ids, which are times, as in report.c. */
static const char sql_list[] =
    "SELECT c.rid, s.settled_us, p.slug, m.name, coalesce(b.name, ''), s.outcome, c.tokenizer,"
    " c.input_reported, c.input_counted, c.input_tolerance, c.output_reported, c.output_counted,"
    " c.output_tolerance, c.hidden FROM recount c JOIN settlement s ON s.rid = c.rid"
    " JOIN project p ON p.id = s.project JOIN name m ON m.id = s.model"
    " LEFT JOIN name b ON b.id = s.backend"
    " WHERE c.rid >= ((?1 / 1000 - 1704067200000 - 31 * 86400000) << 22)"
    " AND s.settled_us >= ?1 AND s.settled_us < ?2 AND (?3 = 0 OR s.project ="
    "  (SELECT coalesce(wholesale, id) FROM project WHERE id = ?3)) AND"
    " (?4 OR abs(c.input_reported - c.input_counted) > c.input_tolerance"
    " OR abs(c.output_reported - c.output_counted) > c.output_tolerance)"
    " ORDER BY c.rid LIMIT ?5";

static void bind_number(struct db_stmt *s, int at, int64_t value)
{
    if (value < 0)
        db_null(s, at);
    else
        db_int(s, at, value);
}

enum status recount_insert(struct db *db, rid_t rid, const struct recount_row *row)
{
    struct db_stmt *s = db_prepare(db, sql_insert);
    if (!s)
        return db_status(db);
    db_int(s, 1, rid);
    db_text(s, 2, row->tokenizer, -1);
    const struct recount_side *sides[] = { &row->input, &row->output };
    for (int i = 0; i < 2; i++) {
        bind_number(s, 3 + 3 * i, sides[i]->reported);
        bind_number(s, 4 + 3 * i, sides[i]->counted);
        db_int(s, 5 + 3 * i, sides[i]->tolerance);
    }
    db_int(s, 9, row->hidden);
    return db_run(s);
}

void recount_read_side(struct db_stmt *s, int column, struct recount_side *ret)
{
    ret->reported = db_col_null(s, column) ? -1 : db_col_int(s, column);
    ret->counted = db_col_null(s, column + 1) ? -1 : db_col_int(s, column + 1);
    ret->tolerance = db_col_int(s, column + 2);
}

static json_t *number_or_null(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *side_json(struct db_stmt *s, int column)
{
    struct recount_side side;
    recount_read_side(s, column, &side);
    return json_pack("{s:o, s:o, s:I}", "reported", number_or_null(side.reported), "counted",
                     number_or_null(side.counted), "tolerance", (json_int_t)side.tolerance);
}

static json_t *row_json(struct db_stmt *s, const void *arg)
{
    char id[RID_TEXT_BYTES], at[PERIOD_TEXT_BYTES];
    (void)arg;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:I}", "request",
                     rid_text(db_col_int(s, 0), id), "settled_at",
                     period_instant_text(db_col_int(s, 1), at), "project", db_col_text(s, 2, NULL),
                     "model", db_col_text(s, 3, NULL), "backend", db_col_text(s, 4, NULL),
                     "outcome", db_col_text(s, 5, NULL), "tokenizer", db_col_text(s, 6, NULL),
                     "input", side_json(s, 7), "output", side_json(s, 10), "hidden",
                     (json_int_t)db_col_int(s, 13));
}

enum status recount_list(struct db *db, const struct recount_query *q, json_t **ret)
{
    int64_t project = 0;
    enum status status = q->project ? report_project(db, q->project, &project) : STATUS_OK;
    if (status)
        return status;
    struct db_stmt *s = db_prepare(db, sql_list);
    if (s) {
        db_int(s, 1, q->from_us);
        db_int(s, 2, q->to_us);
        db_int(s, 3, project);
        db_int(s, 4, q->all);
        db_int(s, 5, q->limit + 1);
    }
    AUTO(json_decref_ptr) json_t *data = NULL;
    status = db_list(db, s, row_json, NULL, &data);
    if (status)
        return status;
    bool more = (int64_t)json_array_size(data) > q->limit;
    if (more)
        json_array_remove(data, (size_t)q->limit);
    *ret = json_pack("{s:s, s:O, s:b}", "object", "list", "data", data, "has_more", (int)more);
    return *ret ? STATUS_OK : STATUS_NO_MEMORY;
}
