/* tests/unit/test_keys.c -- keys: their text, the keyring, the rows, and who gets in when. */
#include "auth/keys.h"
#include "base/base32.h"
#include "base/db.h"
#include "billing/organization.h"
#include "base/digest.h"
#include "gen/schema.h"
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "gen/unit_suites.h"

static const uint8_t pepper[PEPPER_BYTES_MIN] = "thirty-two bytes of pepper......";
static const struct limits defaults = { { 600, 600 }, { 1000000, 1000000 }, 64 };

/* Dice with a seed and a clock that stands, so that keys are the same in each run. */
static uint64_t dice_state;
static int64_t fixed_wall_us(void *arg)
{
    (void)arg;
    return 1000;
}
static void fixed_random(void *arg, void *bytes, size_t len)
{
    (void)arg;
    for (size_t i = 0; i < len; i++) {
        dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)bytes)[i] = (uint8_t)(dice_state >> 56);
    }
}
static const struct env env = { .wall_us = fixed_wall_us, .random = fixed_random };

static char path[64];
static struct db *db;
static struct keyring *ring;

static void open_store(void)
{
    char err[256];
    snprintf(path, sizeof path, "/tmp/maas_keys_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
    char file[96];
    snprintf(file, sizeof file, "%s/ledger.db", path);
    ck_assert_msg(db_open(file, DB_WRITER, &db, err) == STATUS_OK, "%s", err);
    size_t count = sizeof schema_sql / sizeof *schema_sql;
    ck_assert_msg(db_migrate(db, schema_sql, count, err) == STATUS_OK, "%s", err);
    ring = keyring_new(pepper, sizeof pepper);
    ck_assert_ptr_nonnull(ring);
}

static void close_store(void)
{
    static const char *const names[] = { "ledger.db", "ledger.db-wal", "ledger.db-shm" };
    char file[96];
    keyring_free(ring);
    db_close(db);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        unlink(file);
    }
    rmdir(path);
}

static void make_project(const char *slug)
{
    int64_t id, organization;
    const struct organization_new o = { slug, slug, "", "", "", "", "", 0 };
    ck_assert_int_eq(organization_create(db, &o, 1000, &organization), STATUS_OK);
    const struct project_new p = { organization, slug, slug, 5000, "month", "" };
    ck_assert_int_eq(project_create(db, &p, 1000, &id), STATUS_OK);
}

struct made {
    char text[KEY_TEXT_BYTES], name[KEY_NAME_DIGITS + 1];
};

static struct made make_key(const char *project, const char *label, int64_t expires_us)
{
    struct made m;
    const struct key_new k = { .project = project, .label = label, .expires_us = expires_us };
    ck_assert_int_eq(key_create(db, ring, &env, &k, m.text, m.name), STATUS_OK);
    return m;
}

static enum status check_key(const char *text, int64_t wall_us, struct key **ret)
{
    return keyring_check(ring, (struct span){ text, strlen(text) }, wall_us, ret);
}

/* ---- the text ---- */

START_TEST(test_text_round_trip)
{
    char text[KEY_TEXT_BYTES], name[KEY_NAME_DIGITS + 1], read[KEY_NAME_DIGITS + 1];
    for (int i = 0; i < 1000; i++) {
        key_text_make(&env, text, name);
        ck_assert_uint_eq(strlen(text), KEY_TEXT_LEN);
        ck_assert(key_text_read((struct span){ text, KEY_TEXT_LEN }, read));
        ck_assert_str_eq(name, read);
        ck_assert_int_eq(strncmp(text + KEY_PREFIX_BYTES, name, KEY_NAME_DIGITS), 0);
    }
}
END_TEST

START_TEST(test_text_any_change_is_seen)
{
    char text[KEY_TEXT_BYTES], name[KEY_NAME_DIGITS + 1];
    key_text_make(&env, text, name);
    for (size_t at = 0; at < KEY_TEXT_LEN; at++)
        for (int c = 0; c < 256; c++) {
            char other[KEY_TEXT_BYTES];
            memcpy(other, text, sizeof other);
            other[at] = (char)c;
            bool same = other[at] == text[at];
            ck_assert(key_text_read((struct span){ other, KEY_TEXT_LEN }, name) == same);
        }
}
END_TEST

static const char *const bad_texts[] = {
    "x",
    "sk-maas-",
    "' OR '1'='1",
    "sk-maas-0000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa000000",
    "Bearer sk-maas-0000000000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa000000",
    "\t",
};

START_TEST(test_bad_texts)
{
    struct key *k = NULL;
    ck_assert_int_eq(check_key(bad_texts[_i], 0, &k), STATUS_BAD_KEY);
    ck_assert_ptr_null(k);
}
END_TEST

START_TEST(test_empty_and_huge)
{
    struct key *k = NULL;
    ck_assert_int_eq(check_key("", 0, &k), STATUS_NO_KEY);
    char *huge = calloc(1, 1 << 20);
    ck_assert_ptr_nonnull(huge);
    memset(huge, 'a', (1 << 20) - 1);
    ck_assert_int_eq(check_key(huge, 0, &k), STATUS_BAD_KEY);
    free(huge);
}
END_TEST

/* ---- the life of a key ---- */

START_TEST(test_life)
{
    make_project("acme");
    struct made live = make_key("acme", "live", 0), timed = make_key("acme", "timed", 5000);
    struct key *k = NULL;
    ck_assert_int_eq(check_key(live.text, 0, &k), STATUS_BAD_KEY); /* not loaded yet */
    ck_assert_int_eq(keyring_load(ring, db, &defaults), STATUS_OK);
    ck_assert_int_eq(check_key(live.text, 0, &k), STATUS_OK);
    ck_assert_str_eq(k->name, live.name);
    ck_assert_int_eq(k->limits.requests.units, 600);
    ck_assert_int_eq(k->limits.concurrency, 64);
    ck_assert_int_eq(check_key(timed.text, 4999, &k), STATUS_OK);
    ck_assert_int_eq(check_key(timed.text, 5000, &k), STATUS_KEY_EXPIRED);
    ck_assert_int_eq(key_revoke(db, live.name, 2000), STATUS_OK);
    ck_assert_int_eq(key_revoke(db, "acme/timed", 2000), STATUS_OK);
    ck_assert_int_eq(keyring_load(ring, db, &defaults), STATUS_OK);
    ck_assert_int_eq(check_key(live.text, 0, &k), STATUS_BAD_KEY);
    ck_assert_int_eq(check_key(timed.text, 5000, &k), STATUS_BAD_KEY);
    ck_assert_int_eq(key_revoke(db, live.name, 3000), STATUS_OK); /* repeatable */
}
END_TEST

START_TEST(test_right_name_wrong_secret)
{
    make_project("acme");
    struct made mine = make_key("acme", "", 0);
    ck_assert_int_eq(keyring_load(ring, db, &defaults), STATUS_OK);
    struct key *k = NULL;
    struct made guess = mine; /* its name, a right checksum, another secret */
    char *digit = &guess.text[KEY_PREFIX_BYTES + KEY_NAME_DIGITS];
    *digit = *digit == '0' ? '1' : '0';
    uint32_t crc = digest_crc32(0, guess.text, KEY_TEXT_LEN - KEY_CHECK_DIGITS);
    const uint8_t bytes[] = { (uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
                              (uint8_t)crc };
    char digits[BASE32_TEXT_BYTES(sizeof bytes)], name[KEY_NAME_DIGITS + 1];
    memcpy(guess.text + KEY_TEXT_LEN - KEY_CHECK_DIGITS, base32_encode(bytes, sizeof bytes, digits),
           KEY_CHECK_DIGITS);
    ck_assert(key_text_read((struct span){ guess.text, KEY_TEXT_LEN }, name));
    ck_assert_int_eq(check_key(guess.text, 0, &k), STATUS_BAD_KEY);
    ck_assert_int_eq(check_key(mine.text, 0, &k), STATUS_OK);
    struct keyring *other = keyring_new((const uint8_t *)"another pepper of thirty-two byte", 33);
    ck_assert_int_eq(keyring_load(other, db, &defaults), STATUS_OK);
    ck_assert_int_eq(keyring_check(other, (struct span){ mine.text, KEY_TEXT_LEN }, 0, &k),
                     STATUS_BAD_KEY);
    keyring_free(other);
}
END_TEST

START_TEST(test_own_limits)
{
    make_project("acme");
    const struct key_new wanted = { "acme", "tiny", 3, 0, 2, 0, NULL };
    struct made m;
    struct key *k;
    ck_assert_int_eq(key_create(db, ring, &env, &wanted, m.text, m.name), STATUS_OK);
    ck_assert_int_eq(keyring_load(ring, db, &defaults), STATUS_OK);
    ck_assert_int_eq(check_key(m.text, 0, &k), STATUS_OK);
    ck_assert_int_eq(k->limits.requests.units, 3);
    ck_assert_int_eq(k->limits.requests.burst, 3);
    ck_assert_int_eq(k->limits.tokens.units, 1000000);
    ck_assert_int_eq(k->limits.concurrency, 2);
}
END_TEST

START_TEST(test_roles)
{
    make_project("acme");
    struct made plain = make_key("acme", "plain", 0), m;
    const struct key_new wanted = { .project = "acme", .label = "", .role = "finance" };
    const struct key_new unknown = { .project = "acme", .label = "", .role = "root" };
    struct key *k;
    ck_assert_int_eq(key_create(db, ring, &env, &wanted, m.text, m.name), STATUS_OK);
    ck_assert_int_eq(keyring_load(ring, db, &defaults), STATUS_OK);
    ck_assert_int_eq(check_key(m.text, 0, &k), STATUS_OK);
    ck_assert_int_eq(k->role, KEY_FINANCE);
    ck_assert_int_eq(check_key(plain.text, 0, &k), STATUS_OK);
    ck_assert_int_eq(k->role, KEY_INFERENCE);
    ck_assert_int_eq(key_create(db, ring, &env, &unknown, m.text, m.name), STATUS_BAD_FIELD);
}
END_TEST

/* ---- what the store refuses ---- */

static const struct {
    const char *slug, *period;
    int64_t budget;
    enum status status;
} project_cases[] = {
    { "good-1", "month", 0, STATUS_OK },
    { "acme", "month", 0, STATUS_CONFLICT },
    { "Upper", "month", 0, STATUS_BAD_FIELD },
    { "with space", "month", 0, STATUS_BAD_FIELD },
    { "a/b", "month", 0, STATUS_BAD_FIELD },
    { "", "month", 0, STATUS_BAD_FIELD },
    { "negative", "month", -1, STATUS_BAD_FIELD },
    { "weekly", "week", 0, STATUS_BAD_FIELD },
    { "0123456789012345678901234567890123456789012345678901234567890123", "total", 0,
      STATUS_BAD_FIELD },
};

START_TEST(test_project_refusals)
{
    make_project("acme");
    const struct project_new p = {
        1, project_cases[_i].slug, "", project_cases[_i].budget, project_cases[_i].period, ""
    };
    int64_t id = 0;
    ck_assert_int_eq(project_create(db, &p, 1000, &id), project_cases[_i].status);
    ck_assert((id > 0) == (project_cases[_i].status == STATUS_OK));
}
END_TEST

START_TEST(test_key_refusals)
{
    struct made m;
    make_project("acme");
    const struct key_new nowhere = { .project = "nowhere", .label = "" };
    ck_assert_int_eq(key_create(db, ring, &env, &nowhere, m.text, m.name), STATUS_NOT_FOUND);
    const struct key_new negative = { .project = "acme", .label = "", .concurrency = -1 };
    ck_assert_int_eq(key_create(db, ring, &env, &negative, m.text, m.name), STATUS_BAD_FIELD);
    make_key("acme", "same", 0);
    make_key("acme", "same", 0);
    ck_assert_int_eq(key_revoke(db, "acme/same", 1), STATUS_CONFLICT);
    ck_assert_int_eq(key_revoke(db, "acme/other", 1), STATUS_NOT_FOUND);
    ck_assert_int_eq(key_revoke(db, "zzzzzzzzzz", 1), STATUS_NOT_FOUND);
    ck_assert_int_eq(key_revoke(db, "' OR '1'='1", 1), STATUS_NOT_FOUND);
}
END_TEST

START_TEST(test_lists)
{
    make_project("acme");
    make_project("zeta");
    make_key("acme", "one", 0);
    make_key("zeta", "two", 5000);
    ck_assert_int_eq(key_revoke(db, "acme/one", 1), STATUS_OK);
    ck_assert_int_eq(project_set_budget(db, "zeta", 25000000000, "total"), STATUS_OK);
    ck_assert_int_eq(project_set_budget(db, "acme", 10000000000, NULL), STATUS_OK);
    ck_assert_int_eq(project_set_budget(db, "none", 1, NULL), STATUS_NOT_FOUND);
    json_t *projects, *keys, *some;
    ck_assert_int_eq(project_list(db, &projects), STATUS_OK);
    ck_assert_uint_eq(json_array_size(projects), 2);
    json_t *zeta = json_array_get(projects, 1);
    ck_assert_str_eq(json_string_value(json_object_get(zeta, "budget")), "2.50");
    ck_assert_str_eq(json_string_value(json_object_get(zeta, "budget_period")), "total");
    ck_assert_int_eq(key_list(db, NULL, 5000, &keys), STATUS_OK);
    ck_assert_uint_eq(json_array_size(keys), 2);
    json_t *one = json_array_get(keys, 0), *two = json_array_get(keys, 1);
    ck_assert_str_eq(json_string_value(json_object_get(one, "state")), "revoked");
    ck_assert_str_eq(json_string_value(json_object_get(two, "state")), "expired");
    ck_assert_ptr_null(json_object_get(one, "digest"));
    ck_assert_int_eq(key_list(db, "zeta", 0, &some), STATUS_OK);
    ck_assert_uint_eq(json_array_size(some), 1);
    json_decref(projects);
    json_decref(keys);
    json_decref(some);
}
END_TEST

/* ---- many keys, many readers ---- */

enum { MANY = 3000, READERS = 8 };
static struct made many[MANY];
static atomic_int loaded;

static void *read_while_loading(void *arg)
{
    (void)arg;
    int seen;
    do {
        seen = atomic_load(&loaded);
        for (int i = 0; i < seen; i += 97) {
            struct key *k = NULL;
            ck_assert_int_eq(check_key(many[i].text, 0, &k), STATUS_OK);
            ck_assert_str_eq(k->name, many[i].name);
        }
    } while (seen < MANY);
    return NULL;
}

START_TEST(test_readers_while_it_grows)
{
    pthread_t threads[READERS];
    make_project("acme");
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_while_loading, NULL), 0);
    ck_assert_int_eq(db_begin(db), STATUS_OK);
    for (int i = 0; i < MANY; i++) {
        many[i] = make_key("acme", "", 0);
        if (i % 100 != 99)
            continue;
        ck_assert_int_eq(keyring_load(ring, db, &defaults), STATUS_OK);
        atomic_store(&loaded, i + 1);
    }
    ck_assert_int_eq(db_commit(db), STATUS_OK);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

Suite *keys_suite(void)
{
    Suite *s = suite_create("keys");
    TCase *text = tcase_create("text");
    tcase_add_checked_fixture(text, open_store, close_store);
    tcase_add_test(text, test_text_round_trip);
    tcase_add_test(text, test_text_any_change_is_seen);
    tcase_add_loop_test(text, test_bad_texts, 0, sizeof bad_texts / sizeof *bad_texts);
    tcase_add_test(text, test_empty_and_huge);
    suite_add_tcase(s, text);
    TCase *store = tcase_create("store");
    tcase_add_checked_fixture(store, open_store, close_store);
    tcase_set_timeout(store, 60);
    tcase_add_test(store, test_life);
    tcase_add_test(store, test_right_name_wrong_secret);
    tcase_add_test(store, test_own_limits);
    tcase_add_test(store, test_roles);
    tcase_add_loop_test(store, test_project_refusals, 0,
                        sizeof project_cases / sizeof *project_cases);
    tcase_add_test(store, test_key_refusals);
    tcase_add_test(store, test_lists);
    tcase_add_test(store, test_readers_while_it_grows);
    suite_add_tcase(s, store);
    return s;
}
