/* base/db.c -- statements and transactions; db_open.c has the life of a connection.
 *
 * Every failure goes through db_note, which decides whether the writer can still
 * be trusted.
 */
#include "base/db_inside.h"
#include "base/env.h"
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sql_begin[] = "BEGIN IMMEDIATE";
static const char sql_commit[] = "COMMIT";
static const char sql_savepoint[] = "SAVEPOINT operation";
static const char sql_release[] = "RELEASE operation";
static const char sql_rollback_to[] = "ROLLBACK TO operation";

static bool breaks_trust(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_IOERR:
        return rc != SQLITE_IOERR_NOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return true;
    default:
        return false;
    }
}

/* What SQLite calls an I/O error is a checksum that does not fit. */
static const char *words_of(const struct db *db, int rc)
{
    if (rc == SQLITE_IOERR_DATA)
        return "a page is damaged, or another program has written it: restore a backup";
    bool latest =
        sqlite3_errcode(db->sqlite) == (rc & 0xff) || sqlite3_extended_errcode(db->sqlite) == rc;
    return latest ? sqlite3_errmsg(db->sqlite) : sqlite3_errstr(rc);
}

void db_note(struct db *db, int rc)
{
    db->rc = rc;
    snprintf(db->error, sizeof db->error, "%s (sqlite %d)", words_of(db, rc), rc);
    if (db->mode == DB_WRITER && breaks_trust(rc))
        db->lost = true;
}

enum status db_status(const struct db *db)
{
    switch (db->rc) {
    case SQLITE_OK:
        return STATUS_OK;
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return STATUS_CONFLICT;
    case SQLITE_IOERR_NOMEM:
        return STATUS_NO_MEMORY;
    }
    switch (db->rc & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
        return STATUS_BAD_FIELD;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STATUS_STORE_BUSY;
    case SQLITE_INTERRUPT:
        return STATUS_DEADLINE;
    case SQLITE_NOMEM:
        return STATUS_NO_MEMORY;
    default:
        return STATUS_STORE_FAILED;
    }
}

const char *db_error(const struct db *db)
{
    return db->error;
}

bool db_lost(const struct db *db)
{
    return db->lost;
}

static struct db_stmt *new_stmt(struct db *db, const char *sql)
{
    struct db_stmt *s = calloc(1, sizeof *s);
    if (!s) {
        db_note(db, SQLITE_NOMEM);
        return NULL;
    }
    int rc = sqlite3_prepare_v3(db->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->st, NULL);
    if (rc != SQLITE_OK) {
        db_note(db, rc);
        free(s);
        return NULL;
    }
    assert(s->st); /* an empty text is a mistake in the caller's table */
    s->db = db;
    s->sql = sql;
    return s;
}

struct db_stmt *db_prepare(struct db *db, const char *sql)
{
    uintptr_t address = (uintptr_t)sql;
    struct db_stmt **bucket = &db->buckets[(address >> 4 ^ address >> 12) % DB_STMT_BUCKETS];
    struct db_stmt *s = *bucket;
    while (s && s->sql != sql)
        s = s->next;
    if (s) {
        db_reset(s);
        return s;
    }
    s = new_stmt(db, sql);
    if (s) {
        s->next = *bucket;
        *bucket = s;
    }
    return s;
}

void db_reset(struct db_stmt *s)
{
    if (!s)
        return;
    sqlite3_reset(s->st); /* repeats the failure of the last step, which was noted then */
    sqlite3_clear_bindings(s->st);
    s->bind_rc = SQLITE_OK;
}

/* Only memory and size can fail here; a wrong position is a bug. */
static void bound(struct db_stmt *s, int rc)
{
    assert(rc != SQLITE_RANGE && rc != SQLITE_MISUSE);
    if (rc != SQLITE_OK && s->bind_rc == SQLITE_OK)
        s->bind_rc = rc;
}

void db_int(struct db_stmt *s, int at, int64_t value)
{
    if (s)
        bound(s, sqlite3_bind_int64(s->st, at, value));
}

void db_text(struct db_stmt *s, int at, const char *text, ptrdiff_t len)
{
    if (!s)
        return;
    sqlite3_uint64 bytes = len >= 0 ? (sqlite3_uint64)len : text ? strlen(text) : 0;
    bound(s, sqlite3_bind_text64(s->st, at, text, bytes, SQLITE_STATIC, SQLITE_UTF8));
}

void db_blob(struct db_stmt *s, int at, const void *bytes, size_t len)
{
    if (s)
        bound(s, len ? sqlite3_bind_blob64(s->st, at, bytes, len, SQLITE_STATIC)
                     : sqlite3_bind_zeroblob(s->st, at, 0));
}

void db_null(struct db_stmt *s, int at)
{
    if (s)
        bound(s, sqlite3_bind_null(s->st, at));
}

int db_bind_row(struct db_stmt *s, struct db_stmt *from)
{
    int columns = sqlite3_column_count(from->st);
    for (int i = 0; i < columns; i++)
        bound(s, sqlite3_bind_value(s->st, i + 1, sqlite3_column_value(from->st, i)));
    return columns;
}

static enum db_row failed(struct db_stmt *s, int rc)
{
    db_note(s->db, rc);
    sqlite3_reset(s->st);
    return DB_FAILED;
}

/* Some failures end the transaction behind our back; what follows would then be committed
 * statement by statement. */
static int refusal(const struct db_stmt *s)
{
    const struct db *db = s->db;
    if (db->lost)
        return db->rc;
    if (db->in_tx && sqlite3_get_autocommit(db->sqlite))
        return SQLITE_ABORT_ROLLBACK;
    return s->bind_rc;
}

enum db_row db_step(struct db_stmt *s)
{
    if (!s)
        return DB_FAILED;
    struct db *db = s->db;
    int rc = refusal(s);
    if (rc != SQLITE_OK)
        return failed(s, rc);
    if (!sqlite3_stmt_busy(s->st))
        s->deadline_ns = db->deadline_ms ? env_system.mono_ns(env_system.arg) +
                                               (int64_t)db->deadline_ms * 1000000
                                         : 0;
    const struct db_stmt *outer = db->stepping;
    db->stepping = s;
    rc = sqlite3_step(s->st);
    db->stepping = outer;
    if (rc == SQLITE_ROW)
        return DB_ROW;
    return rc == SQLITE_DONE ? DB_DONE : failed(s, rc);
}

enum status db_run(struct db_stmt *s)
{
    if (!s)
        return STATUS_STORE_FAILED;
    enum db_row row = db_step(s);
    assert(row != DB_ROW);
    sqlite3_reset(s->st);
    s->bind_rc = SQLITE_OK;
    return row == DB_DONE ? STATUS_OK : db_status(s->db);
}

enum status db_first_int(struct db *db, struct db_stmt *s, int64_t *ret)
{
    enum db_row row = db_step(s);
    *ret = row == DB_ROW ? db_col_int(s, 0) : 0;
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

int64_t db_col_int(struct db_stmt *s, int at)
{
    return sqlite3_column_int64(s->st, at);
}

const char *db_col_text(struct db_stmt *s, int at, size_t *ret_len)
{
    const char *text = (const char *)sqlite3_column_text(s->st, at);
    if (ret_len)
        *ret_len = (size_t)sqlite3_column_bytes(s->st, at);
    return text;
}

const void *db_col_blob(struct db_stmt *s, int at, size_t *ret_len)
{
    const void *bytes = sqlite3_column_blob(s->st, at);
    if (ret_len)
        *ret_len = (size_t)sqlite3_column_bytes(s->st, at);
    return bytes;
}

bool db_col_null(struct db_stmt *s, int at)
{
    return sqlite3_column_type(s->st, at) == SQLITE_NULL;
}

int db_params(struct db_stmt *s)
{
    return sqlite3_bind_parameter_count(s->st);
}

int db_col_count(struct db_stmt *s)
{
    return sqlite3_column_count(s->st);
}

int64_t db_last_id(const struct db *db)
{
    return sqlite3_last_insert_rowid(db->sqlite);
}

int64_t db_changes(const struct db *db)
{
    return sqlite3_changes64(db->sqlite);
}

void db_deadline(struct db *db, uint64_t ms)
{
    assert(ms <= INT_MAX);
    db->deadline_ms = ms;
}

/* --- Transactions ------------------------------------------------------------------ */

static enum status run_sql(struct db *db, const char *sql)
{
    struct db_stmt *s = db_prepare(db, sql);
    return s ? db_run(s) : db_status(db);
}

enum status db_begin(struct db *db)
{
    assert(!db->in_tx);
    enum status s = run_sql(db, sql_begin);
    db->in_tx = s == STATUS_OK;
    return s;
}

/* A commit whose sync failed may lie whole in the write-ahead log, where the next start would find it
 * and believe it: who was told that it failed would be charged.  So its first frame is made one that
 * nobody wrote.  Nothing is synced again; a disk that refuses even this keeps what it has. */
static void disown_last_commit(struct db *db)
{
    static const char nothing[WAL_FRAME_HEAD_BYTES];
    sqlite3_file *wal = NULL;
    int frames = 0, copied;
    if (sqlite3_file_control(db->sqlite, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) ||
        sqlite3_wal_checkpoint_v2(db->sqlite, "main", SQLITE_CHECKPOINT_NOOP, &frames, &copied))
        return;
    if (!wal || !wal->pMethods || frames < 0)
        return;
    sqlite3_int64 at = WAL_HEAD_BYTES + (sqlite3_int64)frames * (WAL_FRAME_HEAD_BYTES + PAGE_BYTES);
    wal->pMethods->xWrite(wal, nothing, sizeof nothing, at);
    wal->pMethods->xFileSize(wal,
                             &at); /* what was kept to be written with more is written for this */
}

enum status db_commit(struct db *db)
{
    assert(db->in_tx);
    enum status s = run_sql(db, sql_commit);
    if (s == STATUS_OK) {
        db->in_tx = false;
        return s;
    }
    db_rollback(db);
    if (db->lost)
        disown_last_commit(db);
    return s;
}

void db_rollback(struct db *db)
{
    db->in_tx = false;
    /* Not a cached statement: those refuse to run once trust is lost.  A failure here has
     * nobody to go to, and the next begin meets it again. */
    if (!sqlite3_get_autocommit(db->sqlite))
        sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
}

enum status db_tx(struct db *db, enum status (*body)(struct db *db, void *arg), void *arg)
{
    enum status s = db_begin(db);
    if (s != STATUS_OK)
        return s;
    s = body(db, arg);
    if (s == STATUS_OK)
        return db_commit(db);
    db_rollback(db);
    return s;
}

enum status db_savepoint(struct db *db)
{
    return run_sql(db, sql_savepoint);
}

enum status db_release(struct db *db)
{
    return run_sql(db, sql_release);
}

/* When it fails the transaction is gone, and every later step of it fails as well. */
void db_rollback_to(struct db *db)
{
    if (run_sql(db, sql_rollback_to) != STATUS_OK || db_release(db) != STATUS_OK)
        return;
}
