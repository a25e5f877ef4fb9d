/* billing/backup.c -- copy, check, name: in this order. */
#include "billing/backup.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/file.h"
#include "billing/report.h"
#include "billing/store.h"
#include <stdio.h>

static const char sql_requests[] = "SELECT count(*) FROM request_open";
static const char sql_newest[] = "SELECT max((SELECT coalesce(max(settled_us), 0) FROM boot),"
                                 " (SELECT coalesce(max(at_us), 0) FROM ledger_tx))";

static enum status look_through(struct db *db, int64_t now_us, struct backup *ret,
                                char err[static 256])
{
    enum status s = db_whole_check(db, err);
    if (s)
        return s;
    s = db_first_int(db, db_prepare(db, sql_requests), &ret->requests);
    if (!s)
        s = db_first_int(db, db_prepare(db, sql_newest), &ret->newest_us);
    if (!s)
        s = audit_run(db, now_us, &ret->audit);
    if (s)
        snprintf(err, 256, "the copy cannot be read: %.200s", db_error(db));
    return s;
}

static enum status verify(const char *part, int64_t now_us, const atomic_bool *stop,
                          struct backup *ret, char err[static 256])
{
    struct db *db = NULL;
    enum status s = db_open(part, DB_READER, &db, err);
    if (s)
        return s;
    db_stop_when(db, stop);
    s = look_through(db, now_us, ret, err);
    db_close(db);
    return s ? s : file_sha256(part, &ret->bytes, ret->sha256, err);
}

enum status backup_make(const char *dir, const char *to, int64_t now_us, const atomic_bool *stop,
                        struct backup *ret, char err[static 256])
{
    char from[FILE_PATH_BYTES], part[FILE_PATH_BYTES];
    *ret = (struct backup){ 0 };
    if (!file_path(from, dir, "ledger.db") ||
        snprintf(part, sizeof part, "%s.part", to) >= (int)sizeof part) {
        snprintf(err, 256, "that path is too long");
        return STATUS_BAD_FIELD;
    }
    if (access(to, F_OK) == 0) {
        snprintf(err, 256, "%.200s exists already", to);
        return STATUS_CONFLICT;
    }
    enum status s = db_copy(from, part, stop, err);
    if (s == STATUS_CONFLICT) /* somebody else's, or what a crash left: not ours to take away */
        return s;
    if (!s)
        s = verify(part, now_us, stop, ret, err);
    if (!s)
        s = file_finish(part, to, err);
    if (s) {
        unlink(part);
        json_decref(ret->audit);
        ret->audit = NULL;
    }
    return s;
}
