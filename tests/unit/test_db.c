/* tests/unit/test_db.c -- statements, transactions, migrations, and what a failure is called. */
#include "base/db.h"
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "gen/unit_suites.h"

static char dir[] = "/tmp/maas-db-XXXXXX";
static char path[sizeof dir + 16];
static char err[256];
static struct db *db;

static const char *const schema[] = {
    "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,\
                    n INTEGER CHECK(n < 100), up INTEGER REFERENCES t(id)) STRICT;\
     CREATE TABLE log(x)",
    "ALTER TABLE log ADD COLUMN y; INSERT INTO log(x, y) VALUES (1, 2)",
    "INSERT INTO log(x, y) VALUES (3, 4)",
};

static void forget_files(void)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
    char name[64];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

static void make_dir(void)
{
    memcpy(dir + sizeof dir - 7, "XXXXXX", 7); /* without fork the last one is still there */
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/store.db", dir);
}

static void remove_dir(void)
{
    forget_files();
    rmdir(dir);
}

static struct db *opened(enum db_mode mode)
{
    struct db *d = NULL;
    ck_assert_msg(db_open(path, mode, &d, err) == STATUS_OK, "%s", err);
    return d;
}

static void setup(void)
{
    make_dir();
    db = opened(DB_WRITER);
    ck_assert_msg(db_migrate(db, schema, 1, err) == STATUS_OK, "%s", err);
}

static void teardown(void)
{
    db_close(db);
    remove_dir();
}

static int64_t ask(struct db *d, const char *sql)
{
    struct db_stmt *s = db_prepare(d, sql);
    ck_assert_msg(db_step(s) == DB_ROW, "%s: %s", sql, db_error(d));
    int64_t n = db_col_int(s, 0);
    db_reset(s);
    return n;
}

static enum status run(struct db *d, const char *sql)
{
    return db_run(db_prepare(d, sql));
}

START_TEST(the_first_number_of_a_query)
{
    int64_t n = -1;
    ck_assert_int_eq(db_first_int(db, db_prepare(db, "SELECT 7 UNION SELECT 8"), &n), STATUS_OK);
    ck_assert_int_eq(n, 7);
    ck_assert_int_eq(db_first_int(db, db_prepare(db, "SELECT id FROM t"), &n), STATUS_OK);
    ck_assert_int_eq(n, 0);
    struct db_stmt *s = db_prepare(db, "SELECT id FROM nowhere");
    ck_assert_int_eq(db_first_int(db, s, &n), STATUS_STORE_FAILED);
}
END_TEST

static const struct {
    const char *pragma;
    int64_t value;
} settings[] = {
    { "PRAGMA page_size", 4096 },       { "PRAGMA synchronous", 2 },
    { "PRAGMA wal_autocheckpoint", 0 }, { "PRAGMA foreign_keys", 1 },
    { "PRAGMA recursive_triggers", 1 }, { "PRAGMA trusted_schema", 0 },
    { "PRAGMA cell_size_check", 1 },    { "PRAGMA secure_delete", 0 },
    { "PRAGMA temp_store", 2 },         { "PRAGMA cache_size", -65536 },
    { "PRAGMA mmap_size", 0 },          { "PRAGMA busy_timeout", 2000 },
    { "PRAGMA user_version", 1 },       { "PRAGMA application_id", 0x6d616173 },
};
enum { SETTINGS = sizeof settings / sizeof *settings };

START_TEST(the_writer_is_set_up)
{
    ck_assert_int_eq(ask(db, settings[_i].pragma), settings[_i].value);
}
END_TEST

START_TEST(a_new_file_is_private_and_in_wal)
{
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    struct db_stmt *s = db_prepare(db, "PRAGMA journal_mode");
    ck_assert_int_eq(db_step(s), DB_ROW);
    ck_assert_str_eq(db_col_text(s, 0, NULL), "wal");
}
END_TEST

static const struct {
    const char *sql;
    enum status status;
} failures[] = {
    { "INSERT INTO t VALUES (1, 'b', 1, NULL)", STATUS_CONFLICT },
    { "INSERT INTO t VALUES (2, 'a', 1, NULL)", STATUS_CONFLICT },
    { "INSERT INTO t VALUES (2, NULL, 1, NULL)", STATUS_BAD_FIELD },
    { "INSERT INTO t VALUES (2, 'b', 100, NULL)", STATUS_BAD_FIELD },
    { "INSERT INTO t VALUES (2, 'b', 'many', NULL)", STATUS_BAD_FIELD },
    { "INSERT INTO t VALUES (2, 'b', 1, 77)", STATUS_BAD_FIELD },
    { "INSERT INTO log(x) VALUES (zeroblob(2000000000))", STATUS_BAD_FIELD },
    { "INSERT INTO nowhere VALUES (1)", STATUS_STORE_FAILED },
    { "not SQL", STATUS_STORE_FAILED },
    { "INSERT INTO sqlite_schema(name) VALUES ('x')", STATUS_STORE_FAILED },
};
enum { FAILURES = sizeof failures / sizeof *failures };

START_TEST(failures_have_names)
{
    ck_assert_int_eq(run(db, "INSERT INTO t VALUES (1, 'a', 1, NULL)"), STATUS_OK);
    struct db_stmt *s = db_prepare(db, failures[_i].sql);
    ck_assert_int_eq(db_step(s), DB_FAILED);
    ck_assert_int_eq(db_status(db), failures[_i].status);
    ck_assert(*db_error(db));
    ck_assert(!db_lost(db));
    ck_assert_int_eq(ask(db, "SELECT count(*) FROM t"), 1);
}
END_TEST

START_TEST(another_writer_is_busy)
{
    struct db *other = opened(DB_WRITER);
    ck_assert_int_eq(db_begin(other), STATUS_OK);
    ck_assert_int_eq(db_begin(db), STATUS_STORE_BUSY); /* after busy_timeout */
    db_rollback(other);
    ck_assert_int_eq(db_begin(db), STATUS_OK);
    ck_assert_int_eq(db_commit(db), STATUS_OK);
    db_close(other);
}
END_TEST

START_TEST(values_come_back)
{
    size_t len;
    ck_assert_int_eq(run(db, "CREATE TABLE v(i INTEGER, t TEXT, b BLOB, e BLOB, z TEXT) STRICT"),
                     STATUS_OK);
    struct db_stmt *s = db_prepare(db, "INSERT INTO v VALUES (?1, ?2, ?3, ?4, ?5)");
    db_int(s, 1, INT64_MIN);
    db_text(s, 2, "watershed", 5);
    db_blob(s, 3, "\0\1", 2);
    db_blob(s, 4, NULL, 0);
    db_text(s, 5, NULL, -1);
    ck_assert_int_eq(db_run(s), STATUS_OK);
    ck_assert_int_eq(db_changes(db), 1);
    ck_assert_int_eq(db_last_id(db), 1);
    s = db_prepare(db, "SELECT i, t, b, e, z FROM v");
    ck_assert_int_eq(db_step(s), DB_ROW);
    ck_assert(db_col_int(s, 0) == INT64_MIN);
    ck_assert_str_eq(db_col_text(s, 1, &len), "water");
    ck_assert_uint_eq(len, 5);
    ck_assert_mem_eq(db_col_blob(s, 2, &len), "\0\1", 2);
    ck_assert_uint_eq(len, 2);
    ck_assert(!db_col_null(s, 3));
    ck_assert_ptr_null(db_col_text(s, 4, &len));
    ck_assert(db_col_null(s, 4) && len == 0);
    ck_assert_int_eq(db_step(s), DB_DONE);
}
END_TEST

START_TEST(a_statement_is_prepared_once_and_comes_clean)
{
    static const char sql[] = "SELECT ?1";
    struct db_stmt *s = db_prepare(db, sql);
    db_int(s, 1, 5);
    ck_assert_int_eq(db_step(s), DB_ROW);
    ck_assert_ptr_eq(db_prepare(db, sql), s);
    ck_assert_int_eq(db_step(s), DB_ROW);
    ck_assert(db_col_null(s, 0));
    db_null(s = db_prepare(db, sql), 1);
    ck_assert_int_eq(db_step(s), DB_ROW);
}
END_TEST

START_TEST(no_statement_is_a_failed_one)
{
    struct db_stmt *s = db_prepare(db, "SELECT FROM");
    ck_assert_ptr_null(s);
    db_int(s, 1, 1);
    db_text(s, 1, "x", -1);
    db_blob(s, 1, "x", 1);
    db_null(s, 1);
    ck_assert_int_eq(db_step(s), DB_FAILED);
    ck_assert_int_eq(db_run(s), STATUS_STORE_FAILED);
    db_reset(s);
}
END_TEST

static enum status add_two(struct db *d, void *arg)
{
    const enum status *verdict = arg;
    enum status s = run(d, "INSERT INTO log(x) VALUES (1)");
    if (s == STATUS_OK)
        s = run(d, "INSERT INTO log(x) VALUES (2)");
    return s == STATUS_OK ? *verdict : s;
}

START_TEST(a_transaction_is_all_or_nothing)
{
    enum status verdict = STATUS_NO_QUOTA;
    ck_assert_int_eq(db_tx(db, add_two, &verdict), STATUS_NO_QUOTA);
    ck_assert_int_eq(ask(db, "SELECT count(*) FROM log"), 0);
    verdict = STATUS_OK;
    ck_assert_int_eq(db_tx(db, add_two, &verdict), STATUS_OK);
    ck_assert_int_eq(ask(db, "SELECT count(*) FROM log"), 2);
    ck_assert_int_eq(run(db, "CREATE UNIQUE INDEX one ON log(x)"), STATUS_OK);
    ck_assert_int_eq(db_tx(db, add_two, &verdict), STATUS_CONFLICT);
    ck_assert_int_eq(ask(db, "SELECT count(*) FROM log"), 2);
}
END_TEST

START_TEST(a_savepoint_undoes_one_operation)
{
    ck_assert_int_eq(db_begin(db), STATUS_OK);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(db_savepoint(db), STATUS_OK);
        ck_assert_int_eq(run(db, "INSERT INTO log(x) VALUES (1)"), STATUS_OK);
        if (i % 2)
            db_rollback_to(db);
        else
            ck_assert_int_eq(db_release(db), STATUS_OK);
    }
    ck_assert_int_eq(db_commit(db), STATUS_OK);
    ck_assert_int_eq(ask(db, "SELECT count(*) FROM log"), 2);
}
END_TEST

START_TEST(a_reader_sees_what_is_committed)
{
    static const char count[] = "SELECT count(*) FROM log";
    struct db *reader = opened(DB_READER);
    uint64_t wal;
    ck_assert_int_eq(db_begin(db), STATUS_OK);
    ck_assert_int_eq(run(db, "INSERT INTO log(x) VALUES (1)"), STATUS_OK);
    ck_assert_int_eq(ask(reader, count), 0);
    ck_assert_int_eq(db_commit(db), STATUS_OK);
    ck_assert_int_eq(ask(reader, count), 1);
    ck_assert_int_eq(run(reader, "INSERT INTO log(x) VALUES (1)"), STATUS_STORE_FAILED);
    ck_assert_int_ne(db_checkpoint(reader, false, &wal), STATUS_OK);
    ck_assert(!db_lost(reader));
    db_close(reader);
}
END_TEST

START_TEST(a_long_statement_is_interrupted)
{
    struct db *reader = opened(DB_READER);
    db_deadline(reader, 20);
    struct db_stmt *s = db_prepare(reader, "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1"
                                           " FROM c) SELECT max(n) FROM c");
    ck_assert_int_eq(db_step(s), DB_FAILED);
    ck_assert_int_eq(db_status(reader), STATUS_DEADLINE);
    ck_assert_int_eq(ask(reader, "SELECT 7"), 7); /* each statement has its own time */
    db_close(reader);
}
END_TEST

START_TEST(migrations_go_forward_once)
{
    for (int round = 0; round < 2; round++)
        ck_assert_msg(db_migrate(db, schema, 3, err) == STATUS_OK, "%s", err);
    ck_assert_int_eq(ask(db, "PRAGMA user_version"), 3);
    ck_assert_int_eq(ask(db, "SELECT count(*) FROM log"), 2);
    ck_assert_int_eq(db_migrate(db, schema, 2, err), STATUS_STORE_FAILED);
    ck_assert_ptr_nonnull(strstr(err, "newer"));
}
END_TEST

START_TEST(a_failed_migration_leaves_nothing)
{
    const char *const texts[] = { schema[0], schema[1], "CREATE TABLE u(a); CREATE TABLE u(a)" };
    ck_assert_int_eq(db_migrate(db, texts, 3, err), STATUS_STORE_FAILED);
    ck_assert_ptr_nonnull(strstr(err, "schema text 3"));
    ck_assert_int_eq(ask(db, "PRAGMA user_version"), 2);
    ck_assert_int_eq(ask(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'u'"), 0);
}
END_TEST

START_TEST(a_checkpoint_empties_the_wal)
{
    uint64_t before = 0, after = 1;
    ck_assert_int_eq(db_checkpoint(db, false, &before), STATUS_OK);
    ck_assert_uint_gt(before, 4096);
    ck_assert_int_eq(db_checkpoint(db, true, &after), STATUS_OK);
    ck_assert_uint_eq(after, 0);
    ck_assert_int_eq(run(db, "INSERT INTO log(x) VALUES (1)"), STATUS_OK);
    ck_assert_int_eq(db_checkpoint(db, false, &after), STATUS_OK);
    ck_assert_uint_lt(after, before); /* the WAL began anew */
}
END_TEST

START_TEST(a_reader_in_the_way_only_delays_a_restart)
{
    uint64_t wal = 0;
    struct db *reader = opened(DB_READER);
    struct db_stmt *s = db_prepare(reader, "SELECT name FROM sqlite_schema");
    ck_assert_int_eq(db_step(s), DB_ROW);
    ck_assert_int_eq(run(db, "INSERT INTO log(x) VALUES (1)"), STATUS_OK);
    ck_assert_int_eq(db_checkpoint(db, true, &wal), STATUS_STORE_BUSY);
    ck_assert_int_eq(db_checkpoint(db, false, &wal), STATUS_OK);
    db_reset(s);
    ck_assert_int_eq(db_checkpoint(db, true, &wal), STATUS_OK);
    db_close(reader);
}
END_TEST

static void write_file(const char *bytes, size_t len)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
    fclose(f);
}

START_TEST(a_file_of_something_else_is_refused_and_kept)
{
    struct db *none = NULL;
    char bytes[4096] = "this is a letter, not a store";
    write_file(bytes, sizeof bytes);
    ck_assert_int_eq(db_open(path, DB_WRITER, &none, err), STATUS_STORE_FAILED);
    ck_assert_ptr_nonnull(strstr(err, "not a database"));
    forget_files();
    /* SQLite's, but another program's. */
    struct db *other = opened(DB_WRITER);
    ck_assert_int_eq(run(other, "CREATE TABLE recipes(x)"), STATUS_OK);
    ck_assert_int_eq(run(other, "PRAGMA application_id=77"), STATUS_OK);
    db_close(other);
    ck_assert_int_eq(db_open(path, DB_WRITER, &none, err), STATUS_STORE_FAILED);
    ck_assert_ptr_nonnull(strstr(err, "not a maasgate store"));
    ck_assert_ptr_null(none);
}
END_TEST

START_TEST(a_reader_needs_a_file)
{
    struct db *none = NULL;
    ck_assert_int_eq(db_open(path, DB_READER, &none, err), STATUS_STORE_FAILED);
    ck_assert_ptr_nonnull(strstr(err, path));
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_ptr_null(none);
    db_close(NULL);
}
END_TEST

START_TEST(memory_is_a_store_too)
{
    struct db *d = NULL;
    ck_assert_msg(db_open(":memory:", DB_WRITER, &d, err) == STATUS_OK, "%s", err);
    ck_assert_int_eq(db_migrate(d, schema, 3, err), STATUS_OK);
    ck_assert_int_eq(db_quick_check(d, err), STATUS_OK);
    ck_assert_int_eq(ask(d, "SELECT count(*) FROM log"), 2);
    db_close(d);
}
END_TEST

Suite *db_suite(void)
{
    Suite *s = suite_create("db");
    TCase *t = tcase_create("store");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, the_writer_is_set_up, 0, SETTINGS);
    tcase_add_test(t, a_new_file_is_private_and_in_wal);
    tcase_add_loop_test(t, failures_have_names, 0, FAILURES);
    tcase_add_test(t, another_writer_is_busy);
    tcase_add_test(t, values_come_back);
    tcase_add_test(t, the_first_number_of_a_query);
    tcase_add_test(t, a_statement_is_prepared_once_and_comes_clean);
    tcase_add_test(t, no_statement_is_a_failed_one);
    tcase_add_test(t, a_transaction_is_all_or_nothing);
    tcase_add_test(t, a_savepoint_undoes_one_operation);
    tcase_add_test(t, a_reader_sees_what_is_committed);
    tcase_add_test(t, a_long_statement_is_interrupted);
    tcase_add_test(t, migrations_go_forward_once);
    tcase_add_test(t, a_failed_migration_leaves_nothing);
    tcase_add_test(t, a_checkpoint_empties_the_wal);
    tcase_add_test(t, a_reader_in_the_way_only_delays_a_restart);
    suite_add_tcase(s, t);
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, make_dir, remove_dir);
    tcase_add_test(files, a_file_of_something_else_is_refused_and_kept);
    tcase_add_test(files, a_reader_needs_a_file);
    tcase_add_test(files, memory_is_a_store_too);
    suite_add_tcase(s, files);
    return s;
}
