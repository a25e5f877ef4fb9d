/* billing/minutes.c -- see minutes.h. */
#include "billing/minutes.h"
#include "base/db.h"

/* A daemon that starts again within the minute knows nothing of what is there. */
static const char sql_write[] =
    "INSERT INTO settled_minute VALUES (?1,?2,?3) ON CONFLICT (minute_us) DO UPDATE SET"
    " from_rid = min(from_rid, excluded.from_rid), to_rid = max(to_rid, excluded.to_rid)";
static const char sql_ids[] =
    "SELECT coalesce(min(from_rid), 0), coalesce(max(to_rid), 0) FROM settled_minute"
    " WHERE minute_us >= ?1 AND minute_us < ?2";
static const char sql_many[] = "SELECT count(*) FROM (SELECT 1 FROM settlement"
                               " WHERE rid >= ?1 AND rid < ?2 LIMIT ?3)";
static const char sql_archived[] =
    "SELECT EXISTS (SELECT 1 FROM project p JOIN billing_period b ON b.organization = p.organization"
    " WHERE p.id = ?1 AND b.archive IS NOT NULL AND b.starts_us < ?3 AND b.ends_us > ?2)";

void minutes_begin(struct minutes *m, int64_t batch_us)
{
    int64_t minute_us = batch_us - batch_us % MINUTE_US;
    if (minute_us != m->minute_us)
        *m = (struct minutes){ .minute_us = minute_us, .from = INT64_MAX };
}

/* All ids that this minute can make are in from the start, so that each new one changes nothing. */
void minutes_widen(struct minutes *m, rid_t rid)
{
    rid_t end = rid_at(m->minute_us + MINUTE_US);
    if (rid < m->from)
        m->from = rid;
    if (rid >= m->to)
        m->to = rid < end ? end : rid + 1;
    m->changed = true;
}

static enum status run(struct db *db, const char *sql, const int64_t values[3], int64_t ret[],
                       int columns)
{
    struct db_stmt *s = db_prepare(db, sql);
    if (!s)
        return db_status(db);
    for (int i = 0; i < 3 && i < db_params(s); i++)
        db_int(s, i + 1, values[i]);
    enum db_row row = db_step(s);
    for (int i = 0; i < columns && row == DB_ROW; i++)
        ret[i] = db_col_int(s, i);
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

enum status minutes_write(struct minutes *m, struct db *db)
{
    if (!m->changed)
        return STATUS_OK;
    m->changed = false;
    return run(db, sql_write, (int64_t[]){ m->minute_us, m->from, m->to }, NULL, 0);
}

enum status minutes_ids(struct db *db, int64_t from_us, int64_t to_us, rid_t *ret_from,
                        rid_t *ret_to)
{
    int64_t ids[2] = { 0 };
    enum status s = run(db, sql_ids, (int64_t[]){ from_us, to_us, 0 }, ids, 2);
    *ret_from = ids[0];
    *ret_to = ids[1];
    return s;
}

enum status minutes_are_many(struct db *db, rid_t from, rid_t to, int64_t many, bool *ret)
{
    int64_t count = 0;
    enum status s = run(db, sql_many, (int64_t[]){ from, to, many }, &count, 1);
    *ret = count >= many;
    return s;
}

enum status minutes_archived(struct db *db, int64_t project, int64_t from_us, int64_t to_us,
                             bool *ret)
{
    int64_t archived = 0;
    enum status s = run(db, sql_archived, (int64_t[]){ project, from_us, to_us }, &archived, 1);
    *ret = archived != 0;
    return s;
}
