/* tests/unit/test_dbfail.c -- a disk that fails at each of its calls in turn.
 *
 * Two promises: what the store said is committed is there after reopening, and
 * after an I/O error the writer does nothing any more.
 */
#include "base/db.h"
#include "tests/helpers/badfs.h"
#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "gen/unit_suites.h"

static char dir[] = "/tmp/maas-dbfail-XXXXXX";
static char path[sizeof dir + 16];
static char err[256];
static struct db *db;

static const char *const schema[] = {
    "CREATE TABLE t(id INTEGER PRIMARY KEY, filler BLOB) STRICT",
};

static void setup(void)
{
    memcpy(dir + sizeof dir - 7, "XXXXXX", 7); /* without fork the last one is still there */
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/store.db", dir);
    ck_assert_msg(db_open(path, DB_WRITER, &db, err) == STATUS_OK, "%s", err);
    ck_assert_msg(db_migrate(db, schema, 1, err) == STATUS_OK, "%s", err);
}

static void teardown(void)
{
    badfs_heal();
    db_close(db);
    static const char *const ends[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
    rmdir(dir);
}

static int64_t count(struct db *d)
{
    struct db_stmt *s = db_prepare(d, "SELECT count(*) FROM t");
    int64_t n = db_step(s) == DB_ROW ? db_col_int(s, 0) : -1;
    db_reset(s);
    return n;
}

static enum status insert(struct db *d, void *arg)
{
    (void)arg;
    return db_run(db_prepare(d, "INSERT INTO t(filler) VALUES (zeroblob(9000))"));
}

static void reopen(void)
{
    badfs_heal();
    db_close(db);
    db = NULL;
    ck_assert_msg(db_open(path, DB_WRITER, &db, err) == STATUS_OK, "%s", err);
    ck_assert_msg(db_quick_check(db, err) == STATUS_OK, "%s", err);
}

static const struct {
    enum badfs_call call;
    int rc;
    bool lost;
} disks[] = {
    { BADFS_SYNC, SQLITE_IOERR_FSYNC, true },
    { BADFS_WRITE, SQLITE_IOERR_WRITE, true },
    { BADFS_WRITE, SQLITE_FULL, false },
};
enum { DISKS = sizeof disks / sizeof *disks };

/* Break the nth call of a commit, for every n that it has. */
START_TEST(what_was_committed_stays)
{
    bool fired = true;
    for (unsigned nth = 1; fired; nth++) {
        ck_assert_uint_lt(nth, 100);
        ck_assert_int_eq(db_tx(db, insert, NULL), STATUS_OK);
        int64_t before = count(db);
        badfs_break(disks[_i].call, nth, disks[_i].rc);
        enum status s = db_tx(db, insert, NULL);
        fired = badfs_count(disks[_i].call) >= nth;
        ck_assert_int_eq(s, fired ? STATUS_STORE_FAILED : STATUS_OK);
        ck_assert(db_lost(db) == (fired && disks[_i].lost));
        reopen();
        /* Nor is what was said to have failed there afterwards: not even when all of it was written
         * and only its fsync was refused. */
        int64_t after = count(db);
        ck_assert_msg(after == before + !fired, "%u: %d to %d", nth, (int)before, (int)after);
    }
}
END_TEST

START_TEST(a_lost_writer_does_nothing_any_more)
{
    uint64_t wal;
    badfs_break(BADFS_SYNC, 1, SQLITE_IOERR_FSYNC);
    ck_assert_int_eq(db_tx(db, insert, NULL), STATUS_STORE_FAILED);
    badfs_heal(); /* the disk says that it is fine again; it may have dropped our pages */
    ck_assert(db_lost(db));
    ck_assert_int_eq(db_tx(db, insert, NULL), STATUS_STORE_FAILED);
    ck_assert_int_eq(insert(db, NULL), STATUS_STORE_FAILED);
    ck_assert_int_eq(count(db), -1);
    ck_assert_int_eq(db_checkpoint(db, false, &wal), STATUS_STORE_FAILED);
    ck_assert(*db_error(db));
}
END_TEST

START_TEST(a_full_disk_passes)
{
    badfs_break(BADFS_WRITE, 1, SQLITE_FULL);
    ck_assert_int_eq(db_tx(db, insert, NULL), STATUS_STORE_FAILED);
    ck_assert(!db_lost(db));
    badfs_heal();
    ck_assert_int_eq(db_tx(db, insert, NULL), STATUS_OK);
    ck_assert_int_eq(count(db), 1);
}
END_TEST

/* However many pages it changes, up to what is kept at once; and all that can be read afterwards. */
START_TEST(a_commit_is_one_write)
{
    static const unsigned rows[] = { 1, 3, 40 }, writes[] = { 1, 1, 3 };
    ck_assert_int_eq(db_tx(db, insert, NULL), STATUS_OK);
    for (unsigned i = 0, all = 1; i < 3; i++) {
        badfs_break(BADFS_WRITE, 1000,
                    SQLITE_IOERR_WRITE); /* never; from here on they are counted */
        ck_assert_int_eq(db_begin(db), STATUS_OK);
        for (unsigned row = 0; row < rows[i]; row++, all++)
            ck_assert_int_eq(insert(db, NULL), STATUS_OK);
        ck_assert_int_eq(db_commit(db), STATUS_OK);
        ck_assert_uint_eq(badfs_count(BADFS_WRITE), writes[i]);
        struct db *reader;
        ck_assert_int_eq(db_open(path, DB_READER, &reader, err), STATUS_OK);
        ck_assert_int_eq(count(reader), all);
        ck_assert_int_eq(db_quick_check(reader, err), STATUS_OK);
        db_close(reader);
    }
}
END_TEST

/* Pages that leave memory before the commit are read again from what is kept of them. */
START_TEST(what_is_kept_can_be_read)
{
    struct db_stmt *s = db_prepare(db, "PRAGMA cache_size=1");
    ck_assert_int_eq(db_step(s), DB_DONE);
    db_reset(s);
    ck_assert_int_eq(db_begin(db), STATUS_OK);
    for (int row = 0; row < 20; row++)
        ck_assert_int_eq(insert(db, NULL), STATUS_OK);
    ck_assert_int_eq(count(db), 20);
    db_rollback(db);
    ck_assert_int_eq(db_tx(db, insert, NULL), STATUS_OK);
    reopen();
    ck_assert_int_eq(count(db), 1);
}
END_TEST

/* SQLite ends the transaction by itself; without our guard the next statement would be
 * committed alone. */
START_TEST(a_batch_that_lost_its_transaction_stops)
{
    ck_assert_int_eq(db_begin(db), STATUS_OK);
    ck_assert_int_eq(insert(db, NULL), STATUS_OK);
    ck_assert_int_eq(db_savepoint(db), STATUS_OK);
    struct db_stmt *s = db_prepare(db, "PRAGMA max_page_count=3");
    ck_assert_int_eq(db_step(s), DB_ROW);
    db_reset(s);
    enum status full = STATUS_OK;
    for (int i = 0; i < 100 && full == STATUS_OK; i++)
        full = insert(db, NULL);
    ck_assert_int_eq(full, STATUS_STORE_FAILED);
    db_rollback_to(db);
    enum status again = insert(db, NULL), end = db_commit(db);
    ck_assert(again == STATUS_STORE_FAILED && end != STATUS_OK);
    ck_assert_int_eq(count(db), 0);
}
END_TEST

START_TEST(corruption_is_noticed)
{
    ck_assert_int_eq(db_tx(db, insert, NULL), STATUS_OK);
    uint64_t wal;
    ck_assert_int_eq(db_checkpoint(db, true, &wal), STATUS_OK);
    db_close(db);
    FILE *f = fopen(path, "r+");
    ck_assert_ptr_nonnull(f);
    fseek(f, 4096, SEEK_SET);
    for (int i = 0; i < 4096; i++)
        fputc(0xee, f);
    fclose(f);
    db = NULL;
    ck_assert_int_eq(db_open(path, DB_WRITER, &db, err), STATUS_OK);
    ck_assert_int_eq(db_quick_check(db, err), STATUS_STORE_FAILED);
    ck_assert_int_eq(db_tx(db, insert, NULL), STATUS_STORE_FAILED);
    ck_assert(db_lost(db));
}
END_TEST

Suite *dbfail_suite(void)
{
    Suite *s = suite_create("dbfail");
    TCase *t = tcase_create("dbfail");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, what_was_committed_stays, 0, DISKS);
    tcase_add_test(t, a_lost_writer_does_nothing_any_more);
    tcase_add_test(t, a_full_disk_passes);
    tcase_add_test(t, a_commit_is_one_write);
    tcase_add_test(t, what_is_kept_can_be_read);
    tcase_add_test(t, a_batch_that_lost_its_transaction_stops);
    tcase_add_test(t, corruption_is_noticed);
    suite_add_tcase(s, t);
    return s;
}
