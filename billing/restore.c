/* billing/restore.c -- copy, check, raise what must not be given twice, check again, put in place.
 *
 * All of it happens to a copy beside the store until the last step, which is a rename.  While
 * files change their names a marker says so, and no daemon starts before it is done: half of
 * one store with the log of another would be neither.
 */
#include "billing/restore.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/file.h"
#include "base/rid.h"
#include "billing/books.h"
#include "billing/report.h"
#include "billing/store.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Starts that nobody can have made since a backup, when the old store cannot tell. */
enum { BOOTS_UNKNOWN = 1000 };

static const char sql_newest[] =
    "SELECT (SELECT coalesce(max(rid), 0) FROM request_open), max(open_floor) - 1, max(boot),"
    " max(settled_us) FROM boot";
static const char sql_series[] = "SELECT series, next - 1 FROM doc_counter";
static const char sql_given[] = "SELECT next - 1 FROM doc_counter WHERE series = ?1";
static const char sql_give[] = "INSERT INTO doc_counter VALUES (?1, ?2 + 1)"
                               " ON CONFLICT DO UPDATE SET next = excluded.next";
static const char sql_lost[] = "INSERT INTO lost_number VALUES (?1,?2,?3,?4)";
static const char sql_restoration[] =
    "INSERT INTO restoration (restored_us, backup_us, boot, floor_rid) VALUES (?1,?2,?3,?4)";
/* A start that was none, so that the one that follows has a number of its own. */
static const char sql_boot[] =
    "INSERT INTO boot (boot, started_us, open_floor, settled_us, clean)"
    " SELECT ?1, ?2, open_floor, max(settled_us, ?3), 1 FROM boot ORDER BY boot DESC LIMIT 1";
static const char sql_floor[] = "UPDATE boot SET open_floor = max(open_floor, ?1)"
                                " WHERE boot = (SELECT max(boot) FROM boot)";
static const char sql_requests[] = "SELECT count(*) FROM request_open";

struct newest { /* of a store: what was given out last */
    int64_t rid, boot, settled_us;
};

struct work {
    const struct restore_options *o;
    char store[FILE_PATH_BYTES], copy[FILE_PATH_BYTES], marker[FILE_PATH_BYTES];
    char aside[FILE_PATH_BYTES], lock[FILE_PATH_BYTES];
    struct db *db;  /* the copy */
    struct db *old; /* the store that is there; NULL: there is none that can be read */
    struct newest backup, found;
    int64_t restoration, orphans, requests;
    json_t *lost;
    char *err;
};

static enum status failed(struct work *w, enum status s, const char *what)
{
    snprintf(w->err, 256, "%.100s: %.150s", what, db_error(w->db));
    return s;
}

/* ---- what was given out -------------------------------------------------------------------- */

static enum status read_newest(struct db *db, struct newest *ret)
{
    struct db_stmt *s = db_prepare(db, sql_newest);
    enum db_row row = db_step(s);
    if (row == DB_ROW) {
        int64_t held = db_col_int(s, 0), floor = db_col_int(s, 1);
        *ret = (struct newest){ held > floor ? held : floor, db_col_int(s, 2), db_col_int(s, 3) };
    }
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

/* A store that was damaged may still tell; when it does not, the operator must. */
static void look_at_old(struct work *w)
{
    char why[256];
    if (access(w->store, F_OK) != 0 || db_open(w->store, DB_READER, &w->old, why) != STATUS_OK)
        return;
    int64_t series = 0;
    static const char sql_count[] = "SELECT count(*) FROM doc_counter";
    if (read_newest(w->old, &w->found) == STATUS_OK &&
        db_first_int(w->old, db_prepare(w->old, sql_count), &series) == STATUS_OK)
        return;
    db_close(w->old);
    w->old = NULL;
    w->found = (struct newest){ 0 };
}

static enum status check_word(const struct work *w)
{
    if (w->old || w->o->issued_count || w->o->nothing_issued)
        return STATUS_OK;
    snprintf(
        w->err, 256,
        "there is no store in %.80s that could say which numbers were issued since the backup: say "
        "--issued SERIES=LAST for each series, or --issued none",
        w->o->dir);
    return STATUS_BAD_FIELD;
}

static enum status lose(struct work *w, const char *series, int64_t first, int64_t last)
{
    struct db_stmt *s = db_prepare(w->db, sql_lost), *give = db_prepare(w->db, sql_give);
    if (!s || !give)
        return db_status(w->db);
    db_text(s, 1, series, -1);
    db_int(s, 2, first);
    db_int(s, 3, last);
    db_int(s, 4, w->restoration);
    enum status status = db_run(s);
    if (status)
        return status;
    db_text(give, 1, series, -1);
    db_int(give, 2, last);
    status = db_run(give);
    json_t *row = json_pack("{s:s, s:I, s:I}", "series", series, "first", (json_int_t)first, "last",
                            (json_int_t)last);
    return status ? status : json_array_append_new(w->lost, row) ? STATUS_NO_MEMORY : STATUS_OK;
}

/* Numbers of the series up to `last` were given. */
static enum status raise_series(struct work *w, const char *series, int64_t last)
{
    int64_t given = 0;
    struct db_stmt *s = db_prepare(w->db, sql_given);
    if (!s)
        return db_status(w->db);
    db_text(s, 1, series, -1);
    enum status status = db_first_int(w->db, s, &given);
    return status || last <= given ? status : lose(w, series, given + 1, last);
}

static enum status raise_numbers(struct work *w)
{
    enum status s = STATUS_OK;
    for (unsigned i = 0; i < w->o->issued_count && !s; i++)
        s = raise_series(w, w->o->issued[i].series, w->o->issued[i].last);
    struct db_stmt *rows = w->old && !s ? db_prepare(w->old, sql_series) : NULL;
    enum db_row row = DB_DONE;
    while (rows && !s && (row = db_step(rows)) == DB_ROW)
        s = raise_series(w, db_col_text(rows, 0, NULL), db_col_int(rows, 1));
    db_reset(rows);
    return row == DB_FAILED ? STATUS_STORE_FAILED : s;
}

static enum status skip_boots(struct work *w, int64_t boot)
{
    struct db_stmt *s = db_prepare(w->db, sql_boot);
    if (!s)
        return db_status(w->db);
    db_int(s, 1, boot);
    db_int(s, 2, w->o->now_us);
    db_int(s, 3, w->found.settled_us);
    return db_run(s);
}

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Ids are times, so none that was given lies above now, unless a clock was put back: then the
 * old store knows. */
static int64_t floor_of(const struct work *w)
{
    return greater(rid_at(w->o->now_us), greater(w->backup.rid, w->found.rid) + 1);
}

static enum status raise_all(struct db *db, void *arg)
{
    struct work *w = arg;
    int64_t boot =
        1 + (w->old ? greater(w->backup.boot, w->found.boot) : w->backup.boot + BOOTS_UNKNOWN);
    struct db_stmt *s = db_prepare(db, sql_restoration);
    if (!s)
        return db_status(db);
    db_int(s, 1, w->o->now_us);
    db_int(s, 2, w->backup.settled_us);
    db_int(s, 3, boot);
    db_int(s, 4, floor_of(w));
    enum status status = db_run(s);
    w->restoration = db_last_id(db);
    if (!status)
        status = skip_boots(w, boot);
    return status ? status : raise_numbers(w);
}

/* ---- the copy ------------------------------------------------------------------------------ */

static enum status audit_copy(struct work *w, int64_t now_us, const char *when)
{
    AUTO(json_decref_ptr) json_t *audit = NULL;
    enum status s = audit_run(w->db, now_us, &audit);
    if (s)
        return failed(w, s, "the backup cannot be audited");
    if (json_is_true(json_object_get(audit, "ok")))
        return STATUS_OK;
    const char *first = json_string_value(json_array_get(json_object_get(audit, "problems"), 0));
    snprintf(w->err, 256, "%.40s the audit says: %.190s", when, first ? first : "not clean");
    return STATUS_STORE_FAILED;
}

/* As a start does: what was in flight when the backup was made is settled with nothing. */
static enum status settle_open(struct work *w)
{
    AUTO(free_ptr) struct books *b = calloc(1, sizeof *b);
    uint64_t orphans = 0;
    if (!b)
        return STATUS_NO_MEMORY;
    enum status s = books_open(b, w->db, w->o->now_us, &orphans);
    if (!s)
        s = books_mark_clean(b);
    w->orphans = (int64_t)orphans;
    books_close(b);
    struct db_stmt *floor = s ? NULL : db_prepare(w->db, sql_floor);
    if (!floor)
        return s ? s : db_status(w->db);
    db_int(floor, 1, floor_of(w));
    s = db_run(floor);
    return s ? s : db_first_int(w->db, db_prepare(w->db, sql_requests), &w->requests);
}

/* A hold that was open in the backup is not too old at the time of the backup. */
static enum status prepare_copy(struct work *w)
{
    enum status s = db_whole_check(w->db, w->err);
    if (!s && (s = read_newest(w->db, &w->backup)))
        return failed(w, s, "the backup cannot be read");
    if (!s)
        s = audit_copy(w, w->backup.settled_us, "of the backup");
    if (s)
        return s;
    look_at_old(w);
    s = check_word(w);
    if (s)
        return s;
    s = db_tx(w->db, raise_all, w);
    if (!s)
        s = settle_open(w);
    return s ? failed(w, s, "the copy cannot be written")
             : audit_copy(w, w->o->now_us, "afterwards");
}

/* Root restores for the daemon, whose the directory is. */
static void give_to_owner(const struct work *w, const char *path)
{
    struct stat dir;
    if (geteuid() == 0 && stat(w->o->dir, &dir) == 0 && chown(path, dir.st_uid, dir.st_gid) != 0)
        return; /* then the daemon says that it cannot open it */
}

static enum status make_copy(struct work *w)
{
    unlink(w->copy); /* of an attempt that ended early; the lock is ours */
    enum status s = db_copy(w->o->file, w->copy, NULL, w->err);
    if (!s)
        s = store_open_file(w->copy, w->o->currency, w->o->now_us, &w->db, w->err);
    if (!s)
        s = prepare_copy(w);
    db_close(w->old);
    db_close(w->db); /* its log goes into it */
    w->old = w->db = NULL;
    give_to_owner(w, w->copy);
    return s ? s : file_sync(w->copy, w->err);
}

/* ---- in place ------------------------------------------------------------------------------ */

static bool move(struct work *w, const char *suffix)
{
    char from[FILE_PATH_BYTES + 8], to[FILE_PATH_BYTES + 8];
    snprintf(from, sizeof from, "%s%s", w->store, suffix);
    snprintf(to, sizeof to, "%s%s", w->aside, suffix);
    if (rename(from, to) == 0 || errno == ENOENT)
        return true;
    snprintf(w->err, 256, "%.180s: %s", to, strerror(errno));
    return false;
}

/* Each step may be the last one that was reached: the next restore goes on from it. */
static enum status put_in_place(struct work *w)
{
    enum status s = STATUS_OK;
    if (access(w->copy, F_OK) == 0) { /* else it is in place already */
        if (!move(w, "") || !move(w, "-wal") || !move(w, "-shm"))
            return STATUS_STORE_FAILED;
        s = file_finish(w->copy, w->store, w->err);
    }
    if (s || unlink(w->marker) == 0)
        return s ? s : file_sync(w->o->dir, w->err);
    snprintf(w->err, 256, "%.180s: %s", w->marker, strerror(errno));
    return STATUS_STORE_FAILED;
}

static bool name_files(struct work *w)
{
    char name[64];
    time_t now = (time_t)(w->o->now_us / 1000000);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(name, sizeof name, "ledger.before-%Y%m%dT%H%M%SZ.db", &tm);
    return file_path(w->store, w->o->dir, "ledger.db") &&
           file_path(w->copy, w->o->dir, "ledger.restore") &&
           file_path(w->marker, w->o->dir, STORE_RESTORING) &&
           file_path(w->lock, w->o->dir, "ledger.lock") && file_path(w->aside, w->o->dir, name);
}

static enum status run(struct work *w)
{
    if (!name_files(w)) {
        snprintf(w->err, 256, "the path of the ledger's directory is too long");
        return STATUS_BAD_FIELD;
    }
    if (access(w->marker, F_OK) == 0) { /* the copy was whole when the marker was set */
        json_array_clear(w->lost);
        return put_in_place(w);
    }
    enum status s = make_copy(w);
    if (!s)
        s = file_write(w->marker, "a restore was interrupted: run it again\n", w->err);
    return s ? s : put_in_place(w);
}

enum status restore_run(const struct restore_options *o, json_t **ret, char err[static 256])
{
    AUTO(json_decref_ptr) json_t *lost = json_array();
    bool kept;
    AUTO(close_ptr) int lock = -1;
    AUTO(free_ptr) struct work *w = calloc(1, sizeof *w);
    if (!w || !lost)
        return STATUS_NO_MEMORY;
    *w = (struct work){ .o = o, .lost = lost, .err = err };
    enum status s = store_lock(o->dir, &lock, err);
    if (!s)
        s = run(w);
    if (s)
        return s;
    give_to_owner(w, w->lock);
    kept = access(w->aside, F_OK) == 0;
    *ret = json_pack("{s:I, s:I, s:s, s:O}", "requests", (json_int_t)w->requests, "orphans",
                     (json_int_t)w->orphans, "aside", kept ? w->aside : "", "numbers_lost", lost);
    return *ret ? STATUS_OK : STATUS_NO_MEMORY;
}
