/* tests/torture/test_auth.c -- the keyring and the rows of keys while each allocation fails
 * in turn: NO_MEMORY, nothing half done, and the next try works. */
#include "auth/keys.h"
#include "base/db.h"
#include "billing/organization.h"
#include "gen/schema.h"
#include "gen/torture_suites.h"
#include "tests/helpers/fault.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEYS = 100 }; /* more than the first table has room for */

static const uint8_t pepper[PEPPER_BYTES_MIN] = "thirty-two bytes of pepper......";
static const struct limits defaults = { { 600, 600 }, { 1000000, 1000000 }, 64 };
static char dir[64], texts[KEYS][KEY_TEXT_BYTES];
static struct db *db;
static struct keyring *ring;

static enum status create_key(int i)
{
    char name[KEY_NAME_DIGITS + 1];
    const struct key_new k = { .project = "acme", .label = "many" };
    return key_create(db, ring, &env_system, &k, texts[i], name);
}

static void open_store(void)
{
    char err[256], path[96];
    int64_t id, organization = 0;
    const struct organization_new o = { "acme", "", "", "", "", "", "", 0 };
    struct project_new p = { 0, "acme", "", 0, "month", "" };
    snprintf(dir, sizeof dir, "/tmp/maas_auth_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/ledger.db", dir);
    ck_assert_int_eq(db_open(path, DB_WRITER, &db, err), STATUS_OK);
    size_t count = sizeof schema_sql / sizeof *schema_sql;
    ck_assert_int_eq(db_migrate(db, schema_sql, count, err), STATUS_OK);
    ring = keyring_new(pepper, sizeof pepper);
    ck_assert_ptr_nonnull(ring);
    ck_assert_int_eq(db_begin(db), STATUS_OK);
    ck_assert_int_eq(organization_create(db, &o, 1, &organization), STATUS_OK);
    p.organization = organization;
    ck_assert_int_eq(project_create(db, &p, 1, &id), STATUS_OK);
    for (int i = 0; i < KEYS; i++)
        ck_assert_int_eq(create_key(i), STATUS_OK);
    ck_assert_int_eq(db_commit(db), STATUS_OK);
}

static void close_store(void)
{
    static const char *const names[] = { "ledger.db", "ledger.db-wal", "ledger.db-shm" };
    char path[96];
    keyring_free(ring);
    db_close(db);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

static enum status check_text(const struct keyring *r, const char *text)
{
    struct key *k;
    return keyring_check(r, (struct span){ text, strlen(text) }, 0, &k);
}

START_TEST(test_new)
{
    for (unsigned nth = 0; fault_next(&nth);) {
        struct keyring *r = keyring_new(pepper, sizeof pepper);
        fault_arm(0);
        ck_assert((r != NULL) == !fault_fired());
        keyring_free(r);
    }
}
END_TEST

/* What was loaded before the failure stays, and loading again brings the rest. */
START_TEST(test_load)
{
    for (unsigned nth = 0; fault_next(&nth);) {
        struct keyring *r = keyring_new(pepper, sizeof pepper);
        fault_arm(0);
        if (!r)
            continue;
        fault_arm(nth);
        enum status status = keyring_load(r, db, &defaults);
        fault_arm(0);
        ck_assert_int_eq(status, fault_fired() ? STATUS_NO_MEMORY : STATUS_OK);
        ck_assert_int_eq(keyring_load(r, db, &defaults), STATUS_OK);
        for (int i = 0; i < KEYS; i++)
            ck_assert_int_eq(check_text(r, texts[i]), STATUS_OK);
        keyring_free(r);
    }
}
END_TEST

static long count_keys(void)
{
    json_t *list;
    ck_assert_int_eq(key_list(db, NULL, 0, &list), STATUS_OK);
    long count = (long)json_array_size(list);
    json_decref(list);
    return count;
}

START_TEST(test_create)
{
    for (unsigned nth = 0; fault_next(&nth);) {
        fault_arm(0);
        long before = count_keys();
        ck_assert_int_eq(db_begin(db), STATUS_OK);
        fault_arm(nth);
        enum status status = create_key(0);
        fault_arm(0);
        /* SQLite may do without some of its memory, so a fault need not be a failure. */
        ck_assert(status == STATUS_OK || (status == STATUS_NO_MEMORY && fault_fired()));
        if (status == STATUS_OK)
            ck_assert_int_eq(db_commit(db), STATUS_OK);
        else
            db_rollback(db);
        ck_assert_int_eq(count_keys(), before + (status == STATUS_OK));
    }
}
END_TEST

START_TEST(test_list)
{
    for (unsigned nth = 0; fault_next(&nth);) {
        json_t *keys = NULL;
        enum status status = key_list(db, "acme", 0, &keys);
        fault_arm(0);
        ck_assert(status == STATUS_OK || (status == STATUS_NO_MEMORY && fault_fired()));
        ck_assert((keys != NULL) == (status == STATUS_OK));
        json_decref(keys);
    }
}
END_TEST

Suite *auth_suite(void)
{
    Suite *s = suite_create("auth");
    TCase *t = tcase_create("memory");
    tcase_add_checked_fixture(t, open_store, close_store);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_new);
    tcase_add_test(t, test_load);
    tcase_add_test(t, test_create);
    tcase_add_test(t, test_list);
    suite_add_tcase(s, t);
    return s;
}
