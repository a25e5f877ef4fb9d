/* billing/trace.c -- see trace.h. */
#include "billing/trace.h"
#include "base/cleanup.h"
#include "base/db_list.h"
#include "base/money.h"
#include "base/usage.h"
#include "billing/period.h"
#include <stdio.h>

static const char sql_open[] =
    "SELECT p.slug, o.slug, coalesce(k.name, ''), coalesce(k.label, ''), m.name, r.endpoint,"
    " r.price_version, r.accepted_us, r.hold_atoms"
    " + coalesce((SELECT sum(atoms) FROM hold_more WHERE rid = ?1), 0)"
    " FROM request_open r JOIN project p ON p.id = r.project"
    " JOIN organization o ON o.id = p.organization LEFT JOIN api_key k ON k.id = r.key"
    " JOIN name m ON m.id = r.model WHERE r.rid = ?1";
static const char sql_settled[] =
    "SELECT s.settled_us, s.outcome, s.evidence, s.amount_atoms, s.http_status, m.name, v.name,"
    " coalesce(b.name, ''), s.first_byte_us, s.duration_us, s.lines FROM settlement s"
    " JOIN name m ON m.id = s.model JOIN name v ON v.id = s.model_served"
    " LEFT JOIN name b ON b.id = s.backend WHERE s.rid = ?1";
static const char sql_calls[] =
    "SELECT a.number, coalesce(b.name, ''), substr(m.name, instr(m.name, '/') + 1), a.basis,"
    " a.cost_atoms, a.wasted_atoms FROM attempt a LEFT JOIN name b ON b.id = a.backend"
    " JOIN name m ON m.id = a.model WHERE a.rid = ?1 ORDER BY a.number"; /* "@BACKEND/MODEL" */
static const char sql_resold[] =
    "SELECT p.slug, r.amount_atoms, r.price_version FROM resale r JOIN project p ON p.id = r.project"
    " WHERE r.rid = ?1";
static const char sql_archived[] =
    "SELECT month FROM archive WHERE ?1 BETWEEN from_rid AND to_rid ORDER BY id LIMIT 1";

static struct db_stmt *about(struct db *db, const char *sql, rid_t rid)
{
    struct db_stmt *s = db_prepare(db, sql);
    if (s)
        db_int(s, 1, rid);
    return s;
}

static json_t *amount(int64_t atoms)
{
    char text[MONEY_TEXT_BYTES];
    return json_string(money_text((money_t){ atoms }, 2, text));
}

static json_t *number_or_null(struct db_stmt *s, int column)
{
    return db_col_null(s, column) ? json_null() : json_integer(db_col_int(s, column));
}

/* Our own text (billing/lines.h): [[meter,quantity,atoms,..],..], then perhaps what is no list. */
static json_t *usage_of(const char *lines)
{
    AUTO(json_decref_ptr) json_t *stored = json_loads(lines, 0, NULL);
    json_t *list = json_array(), *line;
    size_t i;
    json_array_foreach (stored, i, line) {
        json_int_t meter = json_integer_value(json_array_get(line, 0));
        if (!json_is_array(line) || meter < 0 || meter >= METER_COUNT)
            continue;
        json_array_append_new(list,
                              json_pack("{s:s, s:O, s:o}", "meter", meter_name((enum meter)meter),
                                        "quantity", json_array_get(line, 1), "amount",
                                        amount(json_integer_value(json_array_get(line, 2)))));
    }
    return list;
}

static json_t *open_json(struct db_stmt *s, const void *arg)
{
    char id[RID_TEXT_BYTES], at[PERIOD_TEXT_BYTES];
    return json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:o}", "request",
                     rid_text(*(const rid_t *)arg, id), "rid", (json_int_t) * (const rid_t *)arg,
                     "state", "running", "project", db_col_text(s, 0, NULL), "organization",
                     db_col_text(s, 1, NULL), "key", db_col_text(s, 2, NULL), "label",
                     db_col_text(s, 3, NULL), "model", db_col_text(s, 4, NULL), "endpoint",
                     db_col_text(s, 5, NULL), "price_version", (json_int_t)db_col_int(s, 6),
                     "accepted_at", period_instant_text(db_col_int(s, 7), at), "held",
                     amount(db_col_int(s, 8)));
}

static json_t *settled_json(struct db_stmt *s, const void *arg)
{
    char at[PERIOD_TEXT_BYTES];
    (void)arg;
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:s, s:s, s:s, s:o, s:o, s:o}", "state",
                     "settled", "settled_at", period_instant_text(db_col_int(s, 0), at), "outcome",
                     db_col_text(s, 1, NULL), "evidence", db_col_text(s, 2, NULL), "amount",
                     amount(db_col_int(s, 3)), "http_status", (json_int_t)db_col_int(s, 4),
                     "model_billed", db_col_text(s, 5, NULL), "model_served",
                     db_col_text(s, 6, NULL), "backend", db_col_text(s, 7, NULL), "first_byte_us",
                     number_or_null(s, 8), "duration_us", number_or_null(s, 9), "usage",
                     usage_of(db_col_text(s, 10, NULL)));
}

static json_t *call_json(struct db_stmt *s, const void *arg)
{
    (void)arg;
    return json_pack("{s:I, s:s, s:s, s:s, s:o, s:o}", "number", (json_int_t)db_col_int(s, 0),
                     "backend", db_col_text(s, 1, NULL), "model", db_col_text(s, 2, NULL), "basis",
                     db_col_text(s, 3, NULL), "cost", amount(db_col_int(s, 4)), "wasted",
                     amount(db_col_int(s, 5)));
}

static json_t *resold_json(struct db_stmt *s, const void *arg)
{
    (void)arg;
    return json_pack("{s:{s:s, s:o, s:I}}", "resold", "project", db_col_text(s, 0, NULL), "amount",
                     amount(db_col_int(s, 1)), "price_version", (json_int_t)db_col_int(s, 2));
}

/* The members of the query's only row, if there is one, into `request`. */
static enum status add_row(struct db *db, const char *sql, rid_t rid, db_list_row *row,
                           json_t *request)
{
    AUTO(json_decref_ptr) json_t *rows = NULL;
    enum status s = db_list(db, about(db, sql, rid), row, &rid, &rows);
    if (s == STATUS_OK && json_array_size(rows) > 0)
        json_object_update(request, json_array_get(rows, 0));
    return s;
}

static enum status not_here(struct db *db, rid_t rid, char month[static TRACE_MONTH_BYTES])
{
    struct db_stmt *s = about(db, sql_archived, rid);
    if (!s)
        return db_status(db);
    enum db_row row = db_step(s);
    if (row == DB_ROW)
        snprintf(month, TRACE_MONTH_BYTES, "%s", db_col_text(s, 0, NULL));
    db_reset(s);
    if (row == DB_FAILED)
        return db_status(db);
    return row == DB_ROW ? STATUS_CONFLICT : STATUS_NOT_FOUND;
}

enum status trace_request(struct db *db, rid_t rid, json_t **ret,
                          char month[static TRACE_MONTH_BYTES])
{
    AUTO(json_decref_ptr) json_t *request = json_object();
    json_t *calls = NULL;
    enum status s = add_row(db, sql_open, rid, open_json, request);
    if (s == STATUS_OK && json_object_size(request) == 0)
        return not_here(db, rid, month);
    if (s == STATUS_OK)
        s = add_row(db, sql_settled, rid, settled_json, request);
    if (s == STATUS_OK)
        s = add_row(db, sql_resold, rid, resold_json, request);
    if (s == STATUS_OK)
        s = db_list(db, about(db, sql_calls, rid), call_json, NULL, &calls);
    if (s != STATUS_OK)
        return s;
    json_object_set_new(request, "calls", calls);
    *ret = TAKE(request);
    return STATUS_OK;
}
