/* tests/unit/test_store_contract.c -- what the rooms above base/db.h rely on, asked of each store that there
 * is.  A store that is to stand behind base/db.h has a row in `stores` and passes all of it; today
 * there is one (docs/decisions/0008-where-another-store-fits.md).
 */
#include "base/db.h"
#include "gen/schema.h"
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "gen/unit_suites.h"

/* ---- the stores ---------------------------------------------------------------------------- */

struct store {
    const char *name;
    void (*create)(void); /* an empty one, for one test */
    struct db *(*open)(enum db_mode mode);
    void (*remove)(void);
};

static char dir[64], path[96];

static void sqlite_create(void)
{
    snprintf(dir, sizeof dir, "/tmp/maasgate-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/ledger.db", dir);
}

static struct db *sqlite_open(enum db_mode mode)
{
    char err[256] = "";
    struct db *db = NULL;
    ck_assert_msg(db_open(path, mode, &db, err) == STATUS_OK, "%s", err);
    return db;
}

static void sqlite_remove(void)
{
    char file[128];
    static const char *const ends[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
    rmdir(dir);
}

static const struct store stores[] = {
    { "SQLite", sqlite_create, sqlite_open, sqlite_remove },
};
enum { STORES = sizeof stores / sizeof *stores };

/* ---- a store with the schema, and with a table of its own ----------------------------------- */

static const struct store *store;
static struct db *db;

static void run(struct db *to, const char *sql, enum status expected)
{
    struct db_stmt *s = db_prepare(to, sql);
    enum status got = s ? db_run(s) : db_status(to);
    ck_assert_msg(got == expected, "%s: %s: %d is not %d: %s", store->name, sql, got, expected,
                  db_error(to));
}

static int64_t ask(struct db *of, const char *sql)
{
    int64_t n = -1;
    enum status s = db_first_int(of, db_prepare(of, sql), &n);
    ck_assert_msg(s == STATUS_OK, "%s: %s: %s", store->name, sql, db_error(of));
    return n;
}

static const char sql_table[] =
    "CREATE TABLE thing (id INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n >= 0), name TEXT UNIQUE,"
    " bytes BLOB) STRICT";
static const char sql_add[] = "INSERT INTO thing VALUES (?1,?2,?3,?4)";
static const char sql_count[] = "SELECT count(*) FROM thing";

static void setup(void)
{
    char err[256] = "";
    store = &stores[0];
    store->create();
    db = store->open(DB_WRITER);
    ck_assert_msg(db_migrate(db, schema_sql, sizeof schema_sql / sizeof *schema_sql, err) ==
                      STATUS_OK,
                  "%s", err);
    run(db, sql_table, STATUS_OK);
}

static void teardown(void)
{
    db_close(db);
    store->remove();
}

static enum status add(int64_t id, int64_t n, const char *name)
{
    struct db_stmt *s = db_prepare(db, sql_add);
    ck_assert_ptr_nonnull(s);
    db_int(s, 1, id);
    db_int(s, 2, n);
    db_text(s, 3, name, -1);
    db_null(s, 4);
    return db_run(s);
}

/* ---- values -------------------------------------------------------------------------------- */

START_TEST(test_values_come_back)
{
    static const char sql[] = "SELECT id, n, name, bytes FROM thing WHERE id = ?1";
    static const uint8_t bytes[] = { 0, 255, 0, 1 };
    struct db_stmt *s = db_prepare(db, sql_add);
    db_int(s, 1, INT64_MIN);
    db_int(s, 2, INT64_MAX);
    db_text(s, 3, "Größe, 大小, '\"", -1);
    db_blob(s, 4, bytes, sizeof bytes);
    ck_assert_int_eq(db_run(s), STATUS_OK);
    s = db_prepare(db, sql);
    db_int(s, 1, INT64_MIN);
    ck_assert_int_eq(db_step(s), DB_ROW);
    ck_assert_int_eq(db_col_int(s, 0), INT64_MIN);
    ck_assert_int_eq(db_col_int(s, 1), INT64_MAX);
    ck_assert_str_eq(db_col_text(s, 2, NULL), "Größe, 大小, '\"");
    size_t len = 0;
    ck_assert_int_eq(memcmp(db_col_blob(s, 3, &len), bytes, sizeof bytes), 0);
    ck_assert_uint_eq(len, sizeof bytes);
    ck_assert_int_eq(db_step(s), DB_DONE);
    db_reset(s);
    ck_assert_int_eq(add(1, 0, NULL), STATUS_OK);
    s = db_prepare(db, sql);
    db_int(s, 1, 1);
    ck_assert_int_eq(db_step(s), DB_ROW);
    ck_assert(db_col_null(s, 2) && db_col_null(s, 3));
    db_reset(s);
}
END_TEST

/* Sums of money must not become another kind of number on the way. */
START_TEST(test_sums_are_whole)
{
    ck_assert_int_eq(add(1, INT64_MAX - 1, "a"), STATUS_OK);
    ck_assert_int_eq(add(2, 1, "b"), STATUS_OK);
    ck_assert_int_eq(ask(db, "SELECT sum(n) FROM thing"), INT64_MAX);
    ck_assert_int_eq(ask(db, "SELECT sum(n) FILTER (WHERE id = 2) FROM thing"), 1);
    ck_assert_int_eq(ask(db, "SELECT 7 / 2"), 3);
    ck_assert_int_eq(ask(db, "SELECT -7 % 1000000"), -7);
}
END_TEST

/* ---- what a refusal is called, and what it leaves ------------------------------------------- */

START_TEST(test_refusals)
{
    ck_assert_int_eq(add(1, 1, "a"), STATUS_OK);
    ck_assert_int_eq(add(1, 1, "b"), STATUS_CONFLICT);
    ck_assert_int_eq(add(2, 1, "a"), STATUS_CONFLICT);
    ck_assert_int_eq(add(2, -1, "b"), STATUS_BAD_FIELD);
    run(db,
        "INSERT INTO api_key (name, project, label, digest, created_us)"
        " VALUES ('k', 77, '', zeroblob(32), 0)",
        STATUS_BAD_FIELD);                                        /* no such project */
    run(db, "UPDATE settlement SET amount_atoms = 0", STATUS_OK); /* of no rows */
    run(db, "SELECT nonsense FROM thing", STATUS_STORE_FAILED);
    ck_assert_int_eq(ask(db, sql_count), 1);
}
END_TEST

/* The ledger answers one operation with CONFLICT and commits the others of its batch. */
START_TEST(test_a_refused_row_is_not_the_end_of_a_batch)
{
    ck_assert_int_eq(db_begin(db), STATUS_OK);
    ck_assert_int_eq(add(1, 1, "a"), STATUS_OK);
    ck_assert_int_eq(add(1, 2, "b"), STATUS_CONFLICT);
    ck_assert_int_eq(add(3, -1, "c"), STATUS_BAD_FIELD);
    ck_assert_int_eq(add(2, 2, "d"), STATUS_OK);
    ck_assert_int_eq(db_commit(db), STATUS_OK);
    ck_assert_int_eq(ask(db, "SELECT count(*) FROM thing WHERE name IN ('a', 'd')"), 2);
    ck_assert_int_eq(ask(db, sql_count), 2);
}
END_TEST

static const char *const append_only[] = {
    "UPDATE contract SET credit_atoms = 1",
    "DELETE FROM contract",
    "UPDATE fund SET amount_atoms = 5",
    "DELETE FROM fund",
};

START_TEST(test_money_is_append_only)
{
    run(db, "INSERT INTO organization (id, slug, display_name, created_us) VALUES (1, 'o', 'O', 0)",
        STATUS_OK);
    run(db,
        "INSERT INTO contract (organization, starts_us, credit_atoms, created_us)"
        " VALUES (1, 0, 0, 0)",
        STATUS_OK);
    run(db,
        "INSERT INTO fund (organization, kind, from_us, to_us, amount_atoms, created_us)"
        " VALUES (1, 'promo', 0, 1, 1, 0)",
        STATUS_OK);
    ck_assert_int_eq(ask(db, "SELECT count(*) FROM account WHERE organization = 1"), 17);
    for (size_t i = 0; i < sizeof append_only / sizeof *append_only; i++)
        run(db, append_only[i], STATUS_BAD_FIELD);
}
END_TEST

/* ---- transactions -------------------------------------------------------------------------- */

START_TEST(test_all_or_nothing)
{
    ck_assert_int_eq(db_begin(db), STATUS_OK);
    ck_assert_int_eq(add(1, 1, "a"), STATUS_OK);
    db_rollback(db);
    ck_assert_int_eq(ask(db, sql_count), 0);
    ck_assert_int_eq(db_begin(db), STATUS_OK);
    ck_assert_int_eq(add(1, 1, "a"), STATUS_OK);
    ck_assert_int_eq(db_savepoint(db), STATUS_OK);
    ck_assert_int_eq(add(2, 1, "b"), STATUS_OK);
    db_rollback_to(db);
    ck_assert_int_eq(db_savepoint(db), STATUS_OK);
    ck_assert_int_eq(add(3, 1, "c"), STATUS_OK);
    ck_assert_int_eq(db_release(db), STATUS_OK);
    ck_assert_int_eq(db_commit(db), STATUS_OK);
    ck_assert_int_eq(ask(db, "SELECT sum(id) FROM thing"), 4);
}
END_TEST

/* What is committed is seen by others and after a reopening; what is not, by nobody else. */
START_TEST(test_who_sees_what)
{
    static const char begin[] = "BEGIN", end[] = "COMMIT";
    struct db *reader = store->open(DB_READER);
    ck_assert_int_eq(db_begin(db), STATUS_OK);
    ck_assert_int_eq(add(1, 1, "a"), STATUS_OK);
    ck_assert_int_eq(ask(db, sql_count), 1);
    ck_assert_int_eq(ask(reader, sql_count), 0);
    ck_assert_int_eq(db_commit(db), STATUS_OK);
    ck_assert_int_eq(ask(reader, sql_count), 1);
    run(reader, begin, STATUS_OK); /* an audit reads one moment, however long it takes */
    ck_assert_int_eq(ask(reader, sql_count), 1);
    ck_assert_int_eq(add(2, 1, "b"), STATUS_OK);
    ck_assert_int_eq(ask(reader, sql_count), 1);
    run(reader, end, STATUS_OK);
    ck_assert_int_eq(ask(reader, sql_count), 2);
    ck_assert_int_ne(db_run(db_prepare(reader, "DELETE FROM thing")), STATUS_OK);
    db_close(reader);
    db_close(db);
    db = store->open(DB_WRITER);
    ck_assert_int_eq(ask(db, sql_count), 2);
}
END_TEST

/* ---- words of the language that the rooms use ----------------------------------------------- */

START_TEST(test_words)
{
    static const char upsert[] = "INSERT INTO doc_counter VALUES ('S', 2)"
                                 " ON CONFLICT DO UPDATE SET next = next + 1 RETURNING next - 1";
    ck_assert_int_eq(ask(db, upsert), 1);
    ck_assert_int_eq(ask(db, upsert), 2);
    ck_assert_int_eq(ask(db, "SELECT count(*) FROM json_each('[3,4]') WHERE value IN (3, 4)"), 2);
    ck_assert_int_eq(ask(db, "SELECT '[[1,2,3]]' ->> '$[0][1]'"), 2);
    ck_assert_int_eq(ask(db, "SELECT date(1764547200, 'unixepoch') = '2025-12-01'"), 1);
    ck_assert_int_eq(add(7, 1, "x"), STATUS_OK);
    ck_assert_int_eq(db_last_id(db), 7);
    run(db, "UPDATE thing SET n = 5 WHERE id = 7", STATUS_OK);
    ck_assert_int_eq(db_changes(db), 1);
    run(db, "UPDATE thing SET n = 5 WHERE id = 8", STATUS_OK);
    ck_assert_int_eq(db_changes(db), 0);
}
END_TEST

Suite *store_contract_suite(void)
{
    Suite *s = suite_create("store_contract");
    TCase *t = tcase_create("contract");
    _Static_assert(STORES == 1,
                   "with a second store: a loop over them, and setup takes its number");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_values_come_back);
    tcase_add_test(t, test_sums_are_whole);
    tcase_add_test(t, test_refusals);
    tcase_add_test(t, test_a_refused_row_is_not_the_end_of_a_batch);
    tcase_add_test(t, test_money_is_append_only);
    tcase_add_test(t, test_all_or_nothing);
    tcase_add_test(t, test_who_sees_what);
    tcase_add_test(t, test_words);
    suite_add_tcase(s, t);
    return s;
}
