/* billing/idem.c -- see idem.h. */
#include "billing/idem.h"
#include "base/db.h"
#include "billing/names.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SWEEP_ROWS = 64, ROOM_ROWS = 16 };
#define SWEEP_EVERY_US (INT64_C(60) * 1000000)

static const char sql_find[] =
    "SELECT i.rid, i.fingerprint_sha256, s.outcome, a.body, a.content_type, a.header_bytes"
    " FROM idempotency i LEFT JOIN settlement s ON s.rid = i.rid"
    " LEFT JOIN idempotency_answer a ON a.rid = i.rid WHERE i.project = ?1 AND i.key_sha256 = ?2";
static const char sql_take[] = "INSERT INTO idempotency VALUES (?1,?2,?3,?4,?5)";
static const char sql_drop[] = "DELETE FROM idempotency WHERE rid = ?1";
static const char sql_keep[] = "INSERT INTO idempotency_answer VALUES (?1,?2,?3,?4,?5)";
/* Ids grow with time, so what is old stands first. */
static const char sql_old_keys[] =
    "DELETE FROM idempotency WHERE rid IN (SELECT rid FROM (SELECT rid, at_us FROM idempotency"
    " ORDER BY rid LIMIT ?2) WHERE at_us < ?1)";
static const char sql_old_bytes[] =
    "SELECT sum(bytes) FROM (SELECT at_us, length(body) AS bytes FROM idempotency_answer"
    " ORDER BY rid LIMIT ?2) WHERE at_us < ?1";
static const char sql_old_answers[] =
    "DELETE FROM idempotency_answer WHERE rid IN (SELECT rid FROM (SELECT rid, at_us"
    " FROM idempotency_answer ORDER BY rid LIMIT ?2) WHERE at_us < ?1)";

static enum status copy_answer(struct db_stmt *row, struct idem_answer *ret)
{
    const void *body = db_col_blob(row, 3, &ret->len);
    char *copy = malloc(ret->len + 1);
    if (!copy)
        return STATUS_NO_MEMORY;
    if (ret->len)
        memcpy(copy, body, ret->len);
    ret->body = copy;
    const char *type = db_col_text(row, 4, NULL);
    snprintf(ret->type, sizeof ret->type, "%s", type ? type : "");
    ret->header_bytes = db_col_null(row, 5) ? -1 : db_col_int(row, 5);
    return STATUS_OK;
}

static enum idem_found judge(struct db_stmt *row, const struct idem *i)
{
    size_t len = 0;
    const void *fingerprint = db_col_blob(row, 1, &len);
    const char *outcome = db_col_text(row, 2, NULL);
    if (outcome && outcome_name_is_void(outcome))
        return IDEM_NONE;
    if (len != sizeof i->fingerprint || !digest_equal(fingerprint, i->fingerprint, len))
        return IDEM_OTHER;
    if (!outcome)
        return IDEM_RUNS;
    return db_col_null(row, 3) ? IDEM_GONE : IDEM_REPLAY;
}

enum status idem_find(struct db *db, int64_t project, struct idem *i)
{
    struct db_stmt *s = db_prepare(db, sql_find);
    if (!s)
        return db_status(db);
    db_int(s, 1, project);
    db_blob(s, 2, i->key, sizeof i->key);
    i->found = IDEM_NONE;
    i->original = 0;
    enum db_row row = db_step(s);
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    if (row == DB_ROW) {
        i->original = db_col_int(s, 0);
        i->found = judge(s, i);
    }
    if (i->found == IDEM_REPLAY)
        status = copy_answer(s, &i->answer);
    db_reset(s);
    return !status && i->found != IDEM_NONE ? STATUS_CONFLICT : status;
}

static enum status drop(struct db *db, rid_t rid)
{
    struct db_stmt *s = db_prepare(db, sql_drop);
    if (!s)
        return db_status(db);
    db_int(s, 1, rid);
    return db_run(s);
}

enum status idem_take(struct db *db, int64_t now_us, rid_t rid, int64_t project,
                      const struct idem *i)
{
    enum status status = i->original ? drop(db, i->original) : STATUS_OK;
    struct db_stmt *s = db_prepare(db, sql_take);
    if (status || !s)
        return status ? status : db_status(db);
    db_int(s, 1, rid);
    db_int(s, 2, project);
    db_blob(s, 3, i->key, sizeof i->key);
    db_blob(s, 4, i->fingerprint, sizeof i->fingerprint);
    db_int(s, 5, now_us);
    return db_run(s);
}

/* ---- answers ------------------------------------------------------------------------------- */

/* What `sql` says of the oldest, at most `most` of them, when they are older than `before_us`. */
static struct db_stmt *oldest(struct db *db, const char *sql, int64_t before_us, int64_t most)
{
    struct db_stmt *s = db_prepare(db, sql);
    if (s) {
        db_int(s, 1, before_us);
        db_int(s, 2, most);
    }
    return s;
}

static enum status forget(struct db *db, const char *sql, int64_t before_us, int64_t most,
                          bool *ret_more)
{
    struct db_stmt *s = oldest(db, sql, before_us, most);
    enum status status = s ? db_run(s) : db_status(db);
    *ret_more |= !status && db_changes(db) == most;
    return status;
}

static enum status forget_answers(struct idem_books *b, struct db *db, int64_t before_us,
                                  int64_t most, bool *ret_more)
{
    int64_t bytes = 0;
    struct db_stmt *s = oldest(db, sql_old_bytes, before_us, most);
    enum status status = s ? db_first_int(db, s, &bytes) : db_status(db);
    if (!status)
        status = forget(db, sql_old_answers, before_us, most, ret_more);
    b->bytes -= status ? 0 : bytes;
    return status;
}

static bool has_room(const struct idem_books *b, const struct idem *i)
{
    return b->bytes + (int64_t)i->answer.len <= b->limits.answers_bytes_max;
}

static enum status make_room(struct idem_books *b, struct db *db, const struct idem *i)
{
    enum status status = STATUS_OK;
    bool more;
    if (!b->counted) {
        struct db_stmt *s = oldest(db, sql_old_bytes, INT64_MAX, -1);
        status = s ? db_first_int(db, s, &b->bytes) : db_status(db);
        b->counted = !status;
    }
    if (status || has_room(b, i))
        return status;
    return forget_answers(b, db, INT64_MAX, ROOM_ROWS, &more);
}

enum status idem_keep(struct idem_books *b, struct db *db, int64_t now_us, rid_t rid,
                      const struct idem *i)
{
    const struct idem_answer *a = &i->answer;
    enum status status = make_room(b, db, i);
    if (status || !has_room(b, i))
        return status;
    struct db_stmt *s = db_prepare(db, sql_keep);
    if (!s)
        return db_status(db);
    db_int(s, 1, rid);
    db_int(s, 2, now_us);
    db_text(s, 3, *a->type ? a->type : NULL, -1);
    if (a->header_bytes < 0)
        db_null(s, 4);
    else
        db_int(s, 4, a->header_bytes);
    db_blob(s, 5, a->body, a->len);
    b->bytes += (int64_t)a->len;
    return db_run(s);
}

/* ---- forgetting ---------------------------------------------------------------------------- */

enum status idem_sweep(struct idem_books *b, struct db *db, int64_t now_us)
{
    bool more = false;
    const struct idem_limits *l = &b->limits;
    if (now_us < b->sweep_us)
        return STATUS_OK;
    enum status s = forget(db, sql_old_keys, now_us - l->keep_us, SWEEP_ROWS, &more);
    if (!s)
        s = forget_answers(b, db, now_us - l->answer_keep_us, SWEEP_ROWS, &more);
    b->sweep_us = more ? now_us : now_us + SWEEP_EVERY_US;
    return s;
}

void idem_rolled_back(struct idem_books *b)
{
    b->counted = false;
    b->sweep_us = 0;
}
