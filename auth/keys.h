/* auth/keys.h -- API keys: who calls.
 *
 * A key is "sk-maas-" + 10 base32 digits that name it + 32 random base32 digits +
 * 6 digits of CRC-32 checksum.  Only HMAC-SHA256(pepper, key) is stored; the key is shown once.
 * The keyring is the in-memory table that every loop thread asks; entries live
 * as long as the process, so a pointer to one never dangles.
 */
#ifndef MAAS_KEYS_H
#define MAAS_KEYS_H
#include "auth/limits.h"
#include "base/env.h"
#include "base/span.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct db;

enum { KEY_NAME_DIGITS = 10, KEY_TEXT_BYTES = 64, KEY_DIGEST_BYTES = 32 };

struct key { /* what a request needs to know about its caller; immutable but for the atomics */
    int64_t key_id, project_id;   /* row ids */
    char name[KEY_NAME_DIGITS + 1]; /* public part, safe to log */
    uint8_t digest[KEY_DIGEST_BYTES];
    _Atomic int64_t expires_us;   /* wall clock; INT64_MAX: never */
    _Atomic bool revoked;
    struct limits limits;
    struct limits_state state;
};

struct keyring; /* thread-safe */

/* The pepper is copied; >= 32 bytes. */
MUST_CHECK struct keyring *keyring_new(const uint8_t *pepper, size_t pepper_len);
void keyring_free(struct keyring *r);
/* Loads every key of the store; again after a change it adds new ones and marks revoked ones. */
MUST_CHECK enum status keyring_load(struct keyring *r, struct db *db, const struct limits *defaults);

/* OK, NO_KEY (empty), BAD_KEY (unknown, checksum, digest or revoked: one answer
 * for all of them), KEY_EXPIRED.  Constant time in the secret part. */
MUST_CHECK enum status keyring_check(const struct keyring *r, struct span text, int64_t wall_us, struct key **ret);

/* ---- administration: run on the ledger thread with its connection, inside its transaction ---- */
struct project_new {
    const char *slug, *display_name; /* slug: [a-z0-9-]{1,63} */
    int64_t budget_atoms;            /* < 0: the default of the caller's configuration is not applied here; must be >= 0 */
    const char *budget_period;       /* "month" or "total" */
    const char *buyer_name, *buyer_address, *buyer_tax_id, *po_number, *buyer_reference; /* for the invoice; may be "" */
};
MUST_CHECK enum status project_create(struct db *db, const struct project_new *p, int64_t wall_us, int64_t *ret_id);

struct key_new {
    const char *project;   /* slug */
    const char *label;
    int64_t requests_per_minute, tokens_per_minute, concurrency; /* 0: the defaults */
    int64_t expires_us;    /* 0: never */
};
/* `ret_text` receives the key, the only time it is readable. */
MUST_CHECK enum status key_create(struct db *db, const struct keyring *r, const struct env *env, const struct key_new *k,
                                  char ret_text[static KEY_TEXT_BYTES], char ret_name[static KEY_NAME_DIGITS + 1]);
/* By public name, or by the label inside a project. NOT_FOUND when there is none. */
MUST_CHECK enum status key_revoke(struct db *db, const char *name, int64_t wall_us);
#endif
