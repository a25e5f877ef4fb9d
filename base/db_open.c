/* base/db_open.c -- the life of a connection: open, settle in, migrate, check, close. */
#include "base/db_inside.h"
#include "base/env.h"
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    APPLICATION_ID = 0x6d616173, /* "maas": another program's file is refused */
    BUSY_MS = 2000,
    RESTART_MS = 100,      /* how long a checkpoint may wait for readers */
    PROGRESS_STEPS = 4000, /* of the byte code machine, between two looks at the clock */
    WAL_FRAME_BYTES = PAGE_BYTES + WAL_FRAME_HEAD_BYTES,
    CHECKSUM_BYTES = 8,
};

static const char writer_settings[] =
    "PRAGMA page_size=4096;"
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=FULL;"
    "PRAGMA wal_autocheckpoint=0;"
    "PRAGMA journal_size_limit=67108864;"
    "PRAGMA foreign_keys=ON;"
    "PRAGMA recursive_triggers=ON;"
    "PRAGMA trusted_schema=OFF;"
    "PRAGMA cell_size_check=ON;"
    "PRAGMA secure_delete=OFF;"
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA cache_size=-65536;"
    "PRAGMA mmap_size=0;"; /* mapped pages: SIGBUS on an I/O error */
static const char reader_settings[] = "PRAGMA query_only=ON;"
                                      "PRAGMA trusted_schema=OFF;"
                                      "PRAGMA cell_size_check=ON;"
                                      "PRAGMA temp_store=MEMORY;"
                                      "PRAGMA cache_size=-16384;"
                                      "PRAGMA mmap_size=0;";

static enum status refuse(char err[static DB_ERR_BYTES], enum status s, const char *path,
                          const char *why)
{
    snprintf(err, DB_ERR_BYTES, "%.100s: %.150s", path, why);
    return s;
}

static int look_at_clock(void *arg)
{
    const struct db *db = arg;
    const struct db_stmt *s = db->stepping;
    if (db->stop && atomic_load_explicit(db->stop, memory_order_relaxed))
        return 1;
    return s && s->deadline_ns && env_system.mono_ns(env_system.arg) > s->deadline_ns;
}

/* SQLite would create the file with the umask's mode; the WAL takes over the file's. */
static void create_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd); /* no connection of this process has the file open yet */
}

static bool is_memory(const char *path)
{
    return strcmp(path, ":memory:") == 0;
}

/* One integer that a pragma answers; -1 on failure, which none of ours can mean. */
static int64_t pragma_int(struct db *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int64_t value = -1;
    int rc = sqlite3_prepare_v2(db->sqlite, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        value = sqlite3_column_int64(st, 0);
    else
        db_note(db, rc);
    sqlite3_finalize(st);
    return value;
}

static bool run_text(struct db *db, const char *sql)
{
    int rc = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        db_note(db, rc);
    return rc == SQLITE_OK;
}

static bool is_wal(struct db *db)
{
    sqlite3_stmt *st = NULL;
    bool wal = sqlite3_prepare_v2(db->sqlite, "PRAGMA journal_mode", -1, &st, NULL) == SQLITE_OK &&
               sqlite3_step(st) == SQLITE_ROW &&
               strcmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;
    sqlite3_finalize(st);
    return wal;
}

/* Looked at before anything is set: another program's file must stay as it is. */
static enum status check_owner(struct db *db, const char *path, bool *ret_new,
                               char err[static DB_ERR_BYTES])
{
    int64_t id = pragma_int(db, "PRAGMA application_id");
    int64_t schema = pragma_int(db, "PRAGMA schema_version");
    if (id < 0 || schema < 0)
        return refuse(err, db_status(db), path, db->error);
    *ret_new = id == 0 && schema == 0;
    if (id != APPLICATION_ID && !*ret_new)
        return refuse(err, STATUS_STORE_FAILED, path, "this is not a maasgate store");
    return STATUS_OK;
}

static bool claim(struct db *db)
{
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d", APPLICATION_ID);
    return run_text(db, sql);
}

static enum status set_up_writer(struct db *db, const char *path, char err[static DB_ERR_BYTES])
{
    bool is_new = false;
    enum status s = check_owner(db, path, &is_new, err);
    if (s != STATUS_OK)
        return s;
    if (!run_text(db, writer_settings))
        return refuse(err, db_status(db), path, db->error);
    if (!is_memory(path) && !is_wal(db))
        return refuse(err, STATUS_STORE_FAILED, path, "the file system cannot do WAL");
    if (is_new && !claim(db))
        return refuse(err, db_status(db), path, db->error);
    return STATUS_OK;
}

static enum status set_up(struct db *db, const char *path, char err[static DB_ERR_BYTES])
{
    sqlite3_extended_result_codes(db->sqlite, 1);
    sqlite3_busy_timeout(db->sqlite, BUSY_MS);
    sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_progress_handler(db->sqlite, PROGRESS_STEPS, look_at_clock, db);
    if (db->mode == DB_WRITER)
        return set_up_writer(db, path, err);
    return run_text(db, reader_settings) ? STATUS_OK : refuse(err, db_status(db), path, db->error);
}

/* Every page carries a checksum that is verified when it is read (SQLite's checksum VFS): a bit
 * that flips on the disk is an error, not another amount. */
int sqlite3_register_cksumvfs(const char *unused);

static void add_layers(void)
{
    db_gather_register();
    sqlite3_register_cksumvfs(NULL);
}

/* Room for the checksum, which only a new file takes over. */
static void make_room(struct db *db)
{
    int bytes = CHECKSUM_BYTES;
    sqlite3_file_control(db->sqlite, NULL, SQLITE_FCNTL_RESERVE_BYTES, &bytes);
}

enum status db_open(const char *path, enum db_mode mode, struct db **ret, char err[static 256])
{
    if (sqlite3_libversion_number() < DB_SQLITE_VERSION_MIN) {
        snprintf(err, DB_ERR_BYTES, "SQLite %s has the WAL-reset bug; 3.51.3 or later is needed",
                 sqlite3_libversion());
        return STATUS_STORE_FAILED;
    }
    struct db *db = calloc(1, sizeof *db);
    if (!db)
        return refuse(err, STATUS_NO_MEMORY, path, "no memory");
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, add_layers);
    db->mode = mode;
    if (mode == DB_WRITER && !is_memory(path))
        create_private(path);
    int flags =
        mode == DB_WRITER ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    int rc = sqlite3_open_v2(path, &db->sqlite, flags | SQLITE_OPEN_NOMUTEX, NULL);
    enum status s;
    if (rc == SQLITE_OK) {
        if (mode == DB_WRITER)
            make_room(db);
        s = set_up(db, path, err);
    } else {
        db_note(db, rc);
        s = refuse(err, db_status(db), path, db->error);
    }
    if (s == STATUS_OK)
        *ret = db;
    else
        db_close(db);
    return s;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < DB_STMT_BUCKETS; i++)
        for (struct db_stmt *s = db->buckets[i], *next; s; s = next) {
            next = s->next;
            sqlite3_finalize(s->st);
            free(s);
        }
    if (db->lost) /* what may be wrong in memory stays out of the file */
        sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    int rc = sqlite3_close(db->sqlite);
    assert(rc == SQLITE_OK); /* BUSY would be a statement that nobody owns */
    free(db);
}

/* --- Schema and upkeep --------------------------------------------------------- */

/* Text and its number become visible together or not at all. */
static enum status migrate_one(struct db *db, const char *text, size_t number)
{
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA user_version=%zu", number);
    enum status s = db_begin(db);
    if (s != STATUS_OK)
        return s;
    if (run_text(db, text) && run_text(db, sql))
        return db_commit(db);
    s = db_status(db);
    db_rollback(db);
    return s;
}

enum status db_migrate(struct db *db, const char *const *texts, size_t count, char err[static 256])
{
    int64_t version = pragma_int(db, "PRAGMA user_version");
    if (version < 0)
        return refuse(err, db_status(db), "schema version", db->error);
    if ((uint64_t)version > count)
        return refuse(err, STATUS_STORE_FAILED, "schema",
                      "the store was written by a newer version of this program");
    for (size_t i = (size_t)version; i < count; i++) {
        enum status s = migrate_one(db, texts[i], i + 1);
        if (s != STATUS_OK) {
            snprintf(err, DB_ERR_BYTES, "schema text %zu: %.200s", i + 1, db->error);
            return s;
        }
    }
    return STATUS_OK;
}

enum status db_checkpoint(struct db *db, bool restart, uint64_t *ret_wal_bytes)
{
    int frames = 0, copied = 0;
    if (db->lost)
        return STATUS_STORE_FAILED;
    if (restart)
        sqlite3_busy_timeout(db->sqlite, RESTART_MS);
    int mode = restart ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
    int rc = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, mode, &frames, &copied);
    sqlite3_busy_timeout(db->sqlite, BUSY_MS);
    if (rc != SQLITE_OK) {
        db_note(db, rc);
        return db_status(db);
    }
    /* After a restart nothing of the file is in use, however long it is. */
    *ret_wal_bytes = restart || frames < 0 ? 0 : (uint64_t)frames * WAL_FRAME_BYTES;
    return STATUS_OK;
}

static enum status check(struct db *db, const char *name, const char *sql, char err[static 256])
{
    struct db_stmt *s = db_prepare(db, sql);
    enum db_row row = db_step(s);
    const char *says = row == DB_ROW ? db_col_text(s, 0, NULL) : db->error;
    enum status verdict = STATUS_OK;
    if (!says || strcmp(says, "ok") != 0)
        verdict = refuse(err, STATUS_STORE_FAILED, name, says ? says : "no memory");
    db_reset(s);
    return verdict;
}

enum status db_quick_check(struct db *db, char err[static 256])
{
    static const char sql[] = "PRAGMA quick_check(1)";
    return check(db, "quick_check", sql, err);
}

enum status db_whole_check(struct db *db, char err[static 256])
{
    static const char sql[] = "PRAGMA integrity_check(1)",
                      references[] = "PRAGMA foreign_key_check";
    enum status s = check(db, "integrity_check", sql, err);
    if (s)
        return s;
    struct db_stmt *broken = db_prepare(db, references);
    enum db_row row = db_step(broken);
    if (row == DB_ROW)
        s = refuse(err, STATUS_STORE_FAILED, "foreign keys",
                   "a row refers to one that is not there");
    else if (row == DB_FAILED)
        s = refuse(err, db_status(db), "foreign keys", db->error);
    db_reset(broken);
    return s;
}

void db_stop_when(struct db *db, const atomic_bool *stop)
{
    db->stop = stop;
}

const char *db_library_version(void)
{
    return sqlite3_libversion();
}
