/* tests/torture/test_base.c -- each allocation of the lowest room fails once. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/jscan.h"
#include "tests/helpers/fault.h"
#include <check.h>
#include <stdio.h>
#include <string.h>
#include "gen/torture_suites.h"

static bool fill_arena(void)
{
    AUTO(arena_free_ptr) struct arena *a = arena_new(1 << 20);
    if (!a)
        return false;
    for (int i = 0; i < 20; i++)
        if (!arena_alloc(a, 1500) || !arena_strdup(a, "text") || !arena_printf(a, "%d", i))
            return false;
    return arena_alloc(a, 100000) != NULL;
}

/* What was added before the failure must still be there. */
static bool fill_buf(void)
{
    AUTO(buf_free) struct buf b;
    buf_init(&b, 1 << 16);
    for (unsigned i = 0; i < 5000; i++)
        if (!buf_printf(&b, "%05u", i)) {
            ck_assert_uint_eq(b.len, 5 * (size_t)i);
            for (unsigned k = 0; k < i; k++)
                ck_assert_int_eq(b.at[5 * k + 4], (char)('0' + k % 10));
            return false;
        }
    AUTO(free_ptr) char *text = buf_take(&b, NULL);
    AUTO(free_ptr) char *empty = buf_take(&b, NULL);
    return text && empty;
}

static bool scan_many_keys(void)
{
    static char text[40000];
    size_t len = 0;
    for (int i = 0; i < 1000; i++)
        len +=
            (size_t)snprintf(text + len, sizeof text - len, "%c\"key%d\":%d", i ? ',' : '{', i, i);
    text[len++] = '}';
    struct jscan_error e;
    return jscan_object((struct span){ text, len }, NULL, 0, &e) != STATUS_NO_MEMORY;
}

static const struct {
    const char *name;
    bool (*run)(void);
} operations[] = {
    { "arena", fill_arena },
    { "buf", fill_buf },
    { "jscan", scan_many_keys },
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

START_TEST(fails_cleanly_exactly_when_an_allocation_did)
{
    unsigned rounds = 0;
    for (unsigned nth = 0; fault_next(&nth); rounds++) {
        bool ok = operations[_i].run();
        fault_arm(0);
        ck_assert_msg(ok == !fault_fired(), "%s, allocation %u", operations[_i].name, nth);
    }
    ck_assert_uint_gt(rounds, 1);
}
END_TEST

static char dir[] = "/tmp/maas-torture-XXXXXX";
static char path[sizeof dir + 16];

static const char *const schema[] = {
    "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT UNIQUE) STRICT",
};

static void forget_files(void)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

static void setup(void)
{
    memcpy(dir + sizeof dir - 7, "XXXXXX", 7); /* without fork the last one is still there */
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/store.db", dir);
}

static void teardown(void)
{
    forget_files();
    rmdir(dir);
}

static enum status insert(struct db *db, void *arg)
{
    (void)arg;
    struct db_stmt *s = db_prepare(db, "INSERT INTO t(name) VALUES (hex(randomblob(8)))");
    return s ? db_run(s) : db_status(db);
}

static int64_t count(struct db *db)
{
    struct db_stmt *s = db_prepare(db, "SELECT count(*) FROM t");
    int64_t n = db_step(s) == DB_ROW ? db_col_int(s, 0) : -1;
    db_reset(s);
    return n;
}

static enum status open_and_migrate(struct db **ret)
{
    char err[256];
    struct db *db = NULL;
    enum status s = db_open(path, DB_WRITER, &db, err);
    if (s == STATUS_OK)
        s = db_migrate(db, schema, 1, err);
    if (s != STATUS_OK)
        db_close(db);
    else
        *ret = db;
    return s;
}

/* SQLite survives some lost allocations, so success is allowed; damage is not. */
START_TEST(a_store_opens_or_says_why)
{
    for (unsigned nth = 0; fault_next(&nth);) {
        struct db *db = NULL;
        enum status s = open_and_migrate(&db);
        fault_arm(0);
        ck_assert_msg(s == STATUS_OK || s == STATUS_NO_MEMORY || s == STATUS_STORE_FAILED, "%d", s);
        ck_assert(s == STATUS_OK || fault_fired());
        db_close(db);
        db = NULL;
        ck_assert_int_eq(open_and_migrate(&db), STATUS_OK);
        ck_assert_int_eq(count(db), 0);
        db_close(db);
        forget_files();
    }
}
END_TEST

START_TEST(a_transaction_happens_or_not)
{
    struct db *db = NULL;
    for (unsigned nth = 0; fault_next(&nth);) {
        fault_arm(0);
        ck_assert_int_eq(open_and_migrate(&db), STATUS_OK); /* nothing is prepared yet */
        int64_t before = count(db);
        fault_arm(nth);
        enum status s = db_tx(db, insert, NULL);
        fault_arm(0);
        ck_assert_msg(s == STATUS_OK || (fault_fired() && s == STATUS_NO_MEMORY), "%u: %d %s", nth,
                      s, db_error(db));
        ck_assert(!db_lost(db));
        ck_assert_int_eq(count(db), before + (s == STATUS_OK));
        ck_assert_int_eq(db_tx(db, insert, NULL), STATUS_OK); /* it goes on */
        db_close(db);
    }
}
END_TEST

Suite *base_suite(void)
{
    Suite *s = suite_create("base");
    TCase *t = tcase_create("memory");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, fails_cleanly_exactly_when_an_allocation_did, 0, OPERATIONS);
    suite_add_tcase(s, t);
    TCase *store = tcase_create("store");
    tcase_add_checked_fixture(store, setup, teardown);
    tcase_set_timeout(store, 120);
    tcase_add_test(store, a_store_opens_or_says_why);
    tcase_add_test(store, a_transaction_happens_or_not);
    suite_add_tcase(s, store);
    return s;
}
