/* auth/keys.c -- the keyring: a hash table that only ever grows.
 *
 * Every request of every loop thread asks it, so asking takes no lock: slots are
 * atomic pointers, filled once.  When the table is half full a larger one is
 * made and published; the old one stays until the end, for whoever is still
 * reading it, which costs at most as much memory again.  Loading takes a mutex.
 * Names are random and made by us, so nobody can aim for one chain.
 */
#include "auth/keys.h"
#include "base/db.h"
#include "base/digest.h"
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_ROOM_FIRST = 64 };

struct key_table {
    size_t room; /* a power of two, at most half of it used */
    struct key_table *older;
    _Atomic(struct key *) slots[];
};

struct keyring {
    struct hmac_key pepper;
    struct key nobody; /* an unknown name is compared with it, so that timing tells nothing */
    _Atomic(struct key_table *) table;
    pthread_mutex_t loading; /* guards what follows, and writes to the table */
    size_t count;
    int64_t last_id;
};

static struct key_table *table_new(size_t room)
{
    struct key_table *t = calloc(1, sizeof *t + room * sizeof t->slots[0]);
    if (t)
        t->room = room;
    return t;
}

struct keyring *keyring_new(const uint8_t *pepper, size_t pepper_len)
{
    assert(pepper_len >= PEPPER_BYTES_MIN);
    struct keyring *r = calloc(1, sizeof *r);
    struct key_table *t = table_new(TABLE_ROOM_FIRST);
    if (!r || !t || pthread_mutex_init(&r->loading, NULL) != 0) {
        free(r);
        free(t);
        return NULL;
    }
    hmac_key_init(&r->pepper, pepper, pepper_len);
    atomic_init(&r->table, t);
    return r;
}

void keyring_free(struct keyring *r)
{
    if (!r)
        return;
    struct key_table *t = atomic_load(&r->table);
    for (size_t i = 0; i < t->room; i++)
        free(atomic_load(&t->slots[i]));
    while (t) {
        struct key_table *older = t->older;
        free(t);
        t = older;
    }
    pthread_mutex_destroy(&r->loading);
    hmac_key_wipe(&r->pepper);
    free(r);
}

static size_t slot_of(const struct key_table *t, const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < KEY_NAME_DIGITS; i++)
        hash = (hash ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 32) & (t->room - 1);
}

/* The key, or NULL and the free slot where it would be. */
static struct key *table_find(const struct key_table *t, const char *name, size_t *ret_slot)
{
    for (size_t at = slot_of(t, name);; at = (at + 1) & (t->room - 1)) {
        struct key *k = atomic_load_explicit(&t->slots[at], memory_order_acquire);
        *ret_slot = at;
        if (!k || memcmp(k->name, name, KEY_NAME_DIGITS) == 0)
            return k;
    }
}

static void table_put(struct key_table *t, struct key *k)
{
    size_t slot;
    struct key *same = table_find(t, k->name, &slot);
    assert(!same);
    atomic_store_explicit(&t->slots[slot], k, memory_order_release);
}

static bool keyring_grow(struct keyring *r, struct key_table *t)
{
    struct key_table *larger = table_new(2 * t->room);
    if (!larger)
        return false;
    for (size_t i = 0; i < t->room; i++) {
        struct key *k = atomic_load_explicit(&t->slots[i], memory_order_relaxed);
        if (k)
            table_put(larger, k);
    }
    larger->older = t;
    atomic_store_explicit(&r->table, larger, memory_order_release);
    return true;
}

static enum status keyring_put(struct keyring *r, const struct key *row)
{
    struct key_table *t = atomic_load_explicit(&r->table, memory_order_relaxed);
    if (2 * (r->count + 1) > t->room && !keyring_grow(r, t))
        return STATUS_NO_MEMORY;
    struct key *k = malloc(sizeof *k);
    if (!k)
        return STATUS_NO_MEMORY;
    memcpy(k, row, sizeof *k);
    table_put(atomic_load_explicit(&r->table, memory_order_relaxed), k);
    r->count++;
    r->last_id = k->key_id;
    return STATUS_OK;
}

/* ---- loading ---- */

enum key_role key_role_find(const char *name)
{
    return !name                            ? KEY_NONE
           : strcmp(name, "inference") == 0 ? KEY_INFERENCE
           : strcmp(name, "finance") == 0   ? KEY_FINANCE
                                            : KEY_NONE;
}

enum query { NEW_KEYS, REVOKED_NAMES };

static const char *const sql[] = {
    [NEW_KEYS] =
        "SELECT k.id, k.project, k.name, k.digest, k.requests_per_minute,"
        " k.tokens_per_minute, k.concurrency, k.expires_us, k.revoked_us, k.role,"
        " w.organization, w.id, w.id <> k.project FROM api_key k"
        " JOIN project p ON p.id = k.project"
        " JOIN project w ON w.id = coalesce(p.wholesale, p.id) WHERE k.id > ? ORDER BY k.id",
    [REVOKED_NAMES] = "SELECT name FROM api_key WHERE revoked_us > 0",
};

static struct rate rate_or(int64_t per_minute, struct rate otherwise)
{
    return per_minute > 0 ? rate_per_minute(per_minute) : otherwise;
}

/* False: the row is not one that key_create could have written. */
static bool key_of_row(struct db_stmt *s, const struct limits *defaults, struct key *k)
{
    size_t name_len, digest_len;
    const char *name = db_col_text(s, 2, &name_len);
    const void *digest = db_col_blob(s, 3, &digest_len);
    enum key_role role = key_role_find(db_col_text(s, 9, NULL));
    if (!name || name_len != KEY_NAME_DIGITS || !digest || digest_len != KEY_DIGEST_BYTES ||
        role == KEY_NONE)
        return false;
    int64_t concurrency = db_col_int(s, 6), expires_us = db_col_int(s, 7);
    *k = (struct key){
        .key_id = db_col_int(s, 0),
        .project_id = db_col_int(s, 1),
        .organization_id = db_col_int(s, 10),
        .payer_id = db_col_int(s, 11),
        .resold = db_col_int(s, 12) != 0,
        .role = role,
        .expires_us = expires_us > 0 ? expires_us : INT64_MAX,
        .revoked = db_col_int(s, 8) != 0,
        .limits = { .requests = rate_or(db_col_int(s, 4), defaults->requests),
                    .tokens = rate_or(db_col_int(s, 5), defaults->tokens),
                    .concurrency = concurrency > 0 ? concurrency : defaults->concurrency },
    };
    memcpy(k->name, name, KEY_NAME_DIGITS);
    memcpy(k->digest, digest, KEY_DIGEST_BYTES);
    return true;
}

static enum status load_new(struct keyring *r, struct db *db, const struct limits *defaults)
{
    struct db_stmt *s = db_prepare(db, sql[NEW_KEYS]);
    if (!s)
        return db_status(db);
    db_int(s, 1, r->last_id);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    struct key k;
    while (status == STATUS_OK && (row = db_step(s)) == DB_ROW)
        status = key_of_row(s, defaults, &k) ? keyring_put(r, &k) : STATUS_STORE_FAILED;
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

static void mark_revoked(const struct keyring *r, const char *name, size_t len)
{
    size_t slot;
    struct key *k = NULL;
    if (name && len == KEY_NAME_DIGITS)
        k = table_find(atomic_load_explicit(&r->table, memory_order_relaxed), name, &slot);
    if (k)
        atomic_store_explicit(&k->revoked, true, memory_order_release);
}

static enum status load_revoked(const struct keyring *r, struct db *db)
{
    struct db_stmt *s = db_prepare(db, sql[REVOKED_NAMES]);
    if (!s)
        return db_status(db);
    enum db_row row;
    while ((row = db_step(s)) == DB_ROW) {
        size_t len;
        const char *name = db_col_text(s, 0, &len);
        mark_revoked(r, name, len);
    }
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

enum status keyring_load(struct keyring *r, struct db *db, const struct limits *defaults)
{
    pthread_mutex_lock(&r->loading);
    enum status status = load_new(r, db, defaults);
    if (status == STATUS_OK)
        status = load_revoked(r, db);
    pthread_mutex_unlock(&r->loading);
    return status;
}

/* ---- asking ---- */

void keyring_digest(const struct keyring *r, struct span text, uint8_t ret[static KEY_DIGEST_BYTES])
{
    hmac_sha256(&r->pepper, text.at, text.len, ret);
}

enum status keyring_check(const struct keyring *r, struct span text, int64_t wall_us,
                          struct key **ret)
{
    char name[KEY_NAME_DIGITS + 1];
    if (text.len == 0)
        return STATUS_NO_KEY;
    if (!key_text_read(text, name))
        return STATUS_BAD_KEY;
    size_t slot;
    struct key *k = table_find(atomic_load_explicit(&r->table, memory_order_acquire), name, &slot);
    uint8_t digest[KEY_DIGEST_BYTES];
    keyring_digest(r, text, digest);
    bool same = digest_equal(digest, k ? k->digest : r->nobody.digest, sizeof digest);
    if (!k || !same || atomic_load_explicit(&k->revoked, memory_order_acquire))
        return STATUS_BAD_KEY;
    if (wall_us >= atomic_load_explicit(&k->expires_us, memory_order_relaxed))
        return STATUS_KEY_EXPIRED;
    *ret = k;
    return STATUS_OK;
}
