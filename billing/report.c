/* billing/report.c -- usage from the hourly sums. */
#include "billing/report.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/usage.h"
#include "billing/archive.h"
#include "billing/decimal.h"
#include "billing/period.h"
#include <assert.h>

enum { ROWS_DEFAULT = 1000, ROWS_MAX = 10000 };

static const char sql_currency[] = "SELECT currency FROM meta";
static const char sql_resold[] =
    "SELECT count(*) FROM project WHERE id = ?1 AND wholesale IS NOT NULL";
static const char sql_project[] = "SELECT id FROM project WHERE slug = ?1";

/* Without a project: all that the operator bills, and not what resellers ask for the same. */
#define USAGE_SQL(group, join)                                                  \
    "SELECT " group " AS g, r.meter, sum(r.qty), sum(r.requests), sum(r.atoms)" \
    " FROM usage_rollup r " join " WHERE r.hour_us >= ?1 AND r.hour_us < ?2"    \
    " AND CASE ?3 WHEN 0 THEN r.project NOT IN (SELECT id FROM project"         \
    "  WHERE wholesale IS NOT NULL) ELSE r.project = ?3 END"                    \
    " AND (?4 = 0 OR r.key = ?4) GROUP BY g, r.meter ORDER BY 1, 2"

/* The sums know neither: these read settlements, of which a request's id, which is its time, finds
 * those that may count: a request is settled in the month after it came, unless the daemon was down
 * for longer, and what recovery settles then costs nothing; and it came at most a day after it was
 * settled, when the machine's clock was put back meanwhile. */
#define SETTLED_SQL(column)                                                        \
    "SELECT coalesce(n.name, 'none') AS g, coalesce(l.value ->> 0, 0) AS m,"       \
    " sum(coalesce(l.value ->> 1, 0)), sum(coalesce(l.key, 0) = 0),"               \
    " sum(coalesce(l.value ->> 2, 0)) FROM settlement r"                           \
    " LEFT JOIN json_each(r.lines) l LEFT JOIN name n ON n.id = r." column         \
    " WHERE r.rid >= ((?1 / 1000 - 1704067200000 - 31 * 86400000) << 22)"          \
    " AND r.rid < ((?2 / 1000 - 1704067200000 + 86400000) << 22)"                  \
    " AND r.settled_us >= ?1 AND r.settled_us < ?2 AND (?3 = 0 OR r.project = ?3)" \
    " AND (?4 = 0 OR r.key = ?4) GROUP BY g, m ORDER BY 1, 2"

static const struct grouping {
    const char *name;
    const char *sql;
    bool settled; /* needs the requests themselves */
} groupings[] = {
    { "model", USAGE_SQL("n.name", "JOIN name n ON n.id = r.model"), false },
    { "key", USAGE_SQL("coalesce(k.name, r.key)", "LEFT JOIN api_key k ON k.id = r.key"), false },
    { "project", USAGE_SQL("p.slug", "JOIN project p ON p.id = r.project"), false },
    { "organization",
      USAGE_SQL("o.slug", "JOIN project p ON p.id = r.project"
                          " JOIN organization o ON o.id = p.organization"),
      false },
    { "served", SETTLED_SQL("model_served"), true },
    { "backend", SETTLED_SQL("backend"), true },
    { "day", USAGE_SQL("date(r.hour_us / 1000000, 'unixepoch')", ""), false },
};

static const struct grouping *grouping_find(const char *name)
{
    for (size_t i = 0; i < sizeof groupings / sizeof groupings[0]; i++)
        if (strcmp(groupings[i].name, name ? name : "model") == 0)
            return &groupings[i];
    return NULL;
}

enum status report_project(struct db *db, const char *slug, int64_t *ret)
{
    struct db_stmt *s = db_prepare(db, sql_project);
    if (!s)
        return db_status(db);
    db_text(s, 1, slug, -1);
    enum status status = db_first_int(db, s, ret);
    return status || *ret ? status : STATUS_NOT_FOUND;
}

enum status report_currency(struct db *db, json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql_currency);
    if (!s)
        return db_status(db);
    enum db_row row = db_step(s);
    const char *text = row == DB_ROW ? db_col_text(s, 0, NULL) : NULL;
    *ret = json_string(text ? text : "");
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

/* What is resold is nobody's request at retail. */
static enum status check_own_requests(struct db *db, int64_t project)
{
    struct db_stmt *s = db_prepare(db, sql_resold);
    if (!s)
        return db_status(db);
    db_int(s, 1, project);
    int64_t resold;
    enum status status = db_first_int(db, s, &resold);
    return !status && resold ? STATUS_UNSUPPORTED_FIELD : status;
}

struct usage_rows {
    const struct usage_query *query;
    const struct grouping *grouping;
    json_t *data;
    json_t *row; /* the group being read; borrowed from data */
    int64_t limit, requests, atoms;
    int64_t all_requests, all_atoms;
    bool more;
};

/* What was summed belongs to the row that ends. */
static void end_row(struct usage_rows *u)
{
    char text[MONEY_TEXT_BYTES];
    if (u->row) {
        json_object_set_new(u->row, "requests", json_integer(u->requests));
        json_object_set_new(u->row, "amount",
                            json_string(money_text((money_t){ u->atoms }, 2, text)));
    }
    u->row = NULL;
    u->requests = u->atoms = 0;
}

static void begin_row(struct usage_rows *u, const char *group)
{
    if ((int64_t)json_array_size(u->data) >= u->limit) {
        u->more = true;
        return;
    }
    json_t *row = json_pack("{s:s, s:{}}", u->grouping->name, group, "usage");
    if (json_array_append_new(u->data, row) == 0)
        u->row = row;
}

/* One meter of one group: rows of a group follow one another. */
static bool add_meter(struct usage_rows *u, struct db_stmt *s, char last[static 512])
{
    const char *group = db_col_text(s, 0, NULL);
    int64_t meter = db_col_int(s, 1), requests = db_col_int(s, 3), atoms = db_col_int(s, 4);
    if (!group || meter < 0 || meter >= METER_COUNT)
        return false;
    if (strcmp(group, last) != 0) {
        end_row(u);
        begin_row(u, group);
        snprintf(last, 512, "%s", group);
    }
    u->requests += requests;
    u->all_requests += requests;
    if (db_col_int(s, 2) > 0 && u->row)
        json_object_set_new(json_object_get(u->row, "usage"), meter_name((enum meter)meter),
                            json_integer(db_col_int(s, 2)));
    return !__builtin_add_overflow(u->atoms, atoms, &u->atoms) &&
           !__builtin_add_overflow(u->all_atoms, atoms, &u->all_atoms);
}

static enum status read_rows(struct db *db, struct usage_rows *u, int64_t project)
{
    const struct usage_query *q = u->query;
    struct db_stmt *s = db_prepare(db, u->grouping->sql);
    if (!s)
        return db_status(db);
    db_int(s, 1, period_hour(q->from_us));
    db_int(s, 2, period_hour(q->to_us + HOUR_US - 1));
    db_int(s, 3, project);
    db_int(s, 4, q->key_id);
    char last[512] = "";
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        if (!add_meter(u, s, last))
            status = STATUS_BILLING_OVERFLOW;
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    end_row(u);
    return status;
}

static json_t *usage_document(const struct usage_rows *u, json_t *currency)
{
    char from[PERIOD_TEXT_BYTES], to[PERIOD_TEXT_BYTES], total[MONEY_TEXT_BYTES];
    return json_pack("{s:s, s:o, s:s, s:s, s:O, s:b, s:I, s:s}", "object", "list", "currency",
                     currency, "from", period_instant_text(period_hour(u->query->from_us), from),
                     "to", period_instant_text(period_hour(u->query->to_us + HOUR_US - 1), to),
                     "data", u->data, "has_more", (int)u->more, "requests",
                     (json_int_t)u->all_requests, "total",
                     money_text((money_t){ u->all_atoms }, 2, total));
}

enum status report_usage(struct db *db, const struct usage_query *q, json_t **ret)
{
    struct usage_rows u = { .query = q, .grouping = grouping_find(q->group_by) };
    if (!u.grouping || q->from_us < 0 || q->from_us >= q->to_us || q->to_us > INT64_MAX - HOUR_US ||
        q->limit < 0 || q->limit > ROWS_MAX)
        return STATUS_BAD_FIELD;
    u.limit = q->limit ? q->limit : ROWS_DEFAULT;
    int64_t project = q->project_id;
    enum status s = q->project ? report_project(db, q->project, &project) : STATUS_OK;
    bool archived = false;
    if (!s && u.grouping->settled && project)
        s = check_own_requests(db, project);
    if (!s && u.grouping->settled)
        s = archive_covers(db, q->from_us, q->to_us, &archived);
    if (s || archived)
        return s ? s : STATUS_CONFLICT;
    AUTO(json_decref_ptr) json_t *data = json_array();
    AUTO(json_decref_ptr) json_t *currency = NULL;
    u.data = data;
    s = report_currency(db, &currency);
    if (!s)
        s = read_rows(db, &u, project);
    if (s)
        return s;
    json_t *document = usage_document(&u, TAKE(currency));
    if (!document)
        return STATUS_NO_MEMORY;
    *ret = document;
    return STATUS_OK;
}
