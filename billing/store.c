/* billing/store.c -- the files of the ledger: lock, database, reserve. */
#include "billing/store.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "gen/schema.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum { QUICK_CHECK_BYTES_MAX = 64 << 20 };

static const char sql_currency[] = "SELECT currency FROM meta";
static const char sql_version[] = "PRAGMA user_version";
static const char sql_set_currency[] = "INSERT INTO meta VALUES (1, ?1, ?2)";

static bool path_of(const char *dir, const char *name, char path[static STORE_PATH_BYTES])
{
    int len = snprintf(path, STORE_PATH_BYTES, "%s/%s", dir, name);
    return len > 0 && len < STORE_PATH_BYTES;
}

__attribute__((format(printf, 3, 4))) static enum status refuse(enum status s, char err[static 256],
                                                                const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err, 256, format, args);
    va_end(args);
    return s;
}

/* An open-file-description lock: unlike a process lock it is not lost when some
 * library opens and closes the same file. */
enum status store_lock(const char *dir, int *ret_fd, char err[static 256])
{
    char path[STORE_PATH_BYTES];
    if (!path_of(dir, "ledger.lock", path))
        return refuse(STATUS_BAD_FIELD, err, "the path of the ledger's directory is too long");
    AUTO(close_ptr) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return refuse(STATUS_STORE_FAILED, err, "%.180s: %s", path, strerror(errno));
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        if (errno == EAGAIN || errno == EACCES)
            return refuse(STATUS_CONFLICT, err,
                          "another daemon is using %.180s (it holds ledger.lock)", dir);
        return refuse(STATUS_STORE_FAILED, err, "cannot lock %.180s: %s", path, strerror(errno));
    }
    *ret_fd = fd;
    fd = -1;
    return STATUS_OK;
}

static enum status check_currency(struct db *db, const char *currency, int64_t now_us,
                                  char err[static 256])
{
    struct db_stmt *find = db_prepare(db, sql_currency);
    struct db_stmt *set = db_prepare(db, sql_set_currency);
    if (!find || !set)
        return refuse(db_status(db), err, "the ledger cannot be read: %.200s", db_error(db));
    enum db_row row = db_step(find);
    const char *stored = row == DB_ROW ? db_col_text(find, 0, NULL) : NULL;
    enum status s = STATUS_OK;
    if (row == DB_FAILED)
        s = refuse(db_status(db), err, "the ledger cannot be read: %.200s", db_error(db));
    else if (stored && strcmp(stored, currency) != 0)
        s = refuse(STATUS_CONFLICT, err, "the ledger is kept in %.16s, not in %.16s", stored,
                   currency);
    db_reset(find);
    if (s || stored)
        return s;
    db_text(set, 1, currency, -1);
    db_int(set, 2, now_us);
    s = db_run(set);
    return s ? refuse(s, err, "the ledger cannot be written: %.200s", db_error(db)) : s;
}

static enum status prepare(struct db *db, const char *path, const char *currency, int64_t now_us,
                           char err[static 256])
{
    struct stat st;
    enum status s = STATUS_OK;
    if (stat(path, &st) == 0 && st.st_size < QUICK_CHECK_BYTES_MAX)
        s = db_quick_check(db, err);
    if (!s)
        s = db_migrate(db, schema_sql, sizeof schema_sql / sizeof schema_sql[0], err);
    return s ? s : check_currency(db, currency, now_us, err);
}

enum status store_open(const char *dir, const char *currency, int64_t now_us, struct db **ret,
                       char err[static 256])
{
    char path[STORE_PATH_BYTES], restoring[STORE_PATH_BYTES];
    if (!path_of(dir, "ledger.db", path) || !path_of(dir, STORE_RESTORING, restoring))
        return refuse(STATUS_BAD_FIELD, err, "the path of the ledger's directory is too long");
    if (access(restoring, F_OK) == 0)
        return refuse(STATUS_CONFLICT, err, "a restore into %.180s was interrupted: run it again",
                      dir);
    return store_open_file(path, currency, now_us, ret, err);
}

enum status store_open_file(const char *path, const char *currency, int64_t now_us, struct db **ret,
                            char err[static 256])
{
    struct db *db = NULL;
    enum status s = db_open(path, DB_WRITER, &db, err);
    if (s)
        return s;
    s = prepare(db, path, currency, now_us, err);
    if (s)
        db_close(db);
    else
        *ret = db;
    return s;
}

static enum status open_copy(const char *path, const char *copy, struct db **ret,
                             char err[static 256])
{
    struct db *db = NULL;
    enum status s = db_copy(path, copy, NULL, err);
    if (!s)
        s = db_open(copy, DB_WRITER, &db, err);
    if (!s)
        s = db_migrate(db, schema_sql, sizeof schema_sql / sizeof schema_sql[0], err);
    if (s)
        db_close(db);
    else
        *ret = db;
    return s;
}

enum status store_open_reader(const char *path, const char *copy, bool *ret_copied, struct db **ret,
                              char err[static 256])
{
    struct db *db = NULL;
    int64_t version = 0;
    *ret_copied = false;
    enum status s = db_open(path, DB_READER, &db, err);
    if (s)
        return s;
    s = db_first_int(db, db_prepare(db, sql_version), &version);
    if (s)
        s = refuse(s, err, "the file cannot be read: %.200s", db_error(db));
    else if (version >= (int64_t)(sizeof schema_sql / sizeof schema_sql[0])) {
        *ret = db;
        return STATUS_OK;
    }
    db_close(db);
    if (s)
        return s;
    s = open_copy(path, copy, ret, err);
    *ret_copied = s != STATUS_CONFLICT;
    return s;
}

bool store_reserve(const char *dir)
{
    char path[STORE_PATH_BYTES];
    if (!path_of(dir, "ledger.reserve", path))
        return false;
    AUTO(close_ptr) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && posix_fallocate(fd, 0, STORE_RESERVE_BYTES) == 0)
        return true;
    unlink(path); /* half a reserve is space taken from the ledger */
    return false;
}

bool store_release(const char *dir)
{
    char path[STORE_PATH_BYTES];
    return path_of(dir, "ledger.reserve", path) && unlink(path) == 0;
}
