/* auth/keys.h -- API keys: who calls.
 *
 * The shape of a key is in auth/key_text.h.  Only HMAC-SHA256(pepper, key) is
 * stored; the key is shown once.
 * The keyring is the in-memory table that every loop thread asks; entries live
 * as long as the process, so a pointer to one never dangles.
 */
#ifndef MAAS_KEYS_H
#define MAAS_KEYS_H
#include "auth/key_text.h"
#include "auth/limits.h"
#include "base/env.h"
#include "base/span.h"
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct db;

enum { KEY_DIGEST_BYTES = 32, PEPPER_BYTES_MIN = 32 };

/* What a key is for: no key does both, so that one that is lost costs either money or secrets. */
enum key_role {
    KEY_NONE,      /* of a path: anybody */
    KEY_INFERENCE, /* calls models */
    KEY_FINANCE,   /* reads the money of its project's organization, and calls no model */
};
/* "inference" or "finance"; KEY_NONE: neither. */
enum key_role key_role_find(const char *name);

struct key { /* what a request needs to know about its caller; immutable but for the atomics */
    int64_t key_id, project_id; /* row ids */
    int64_t payer_id;           /* the project that is held and settled for: its own, or its twin */
    int64_t organization_id;    /* who pays for that one */
    bool resold; /* who pays is a reseller: the key's own organization owes it, too */
    enum key_role role;
    char name[KEY_NAME_DIGITS + 1]; /* public part, safe to log */
    uint8_t digest[KEY_DIGEST_BYTES];
    _Atomic int64_t expires_us; /* wall clock; INT64_MAX: never */
    _Atomic bool revoked;
    struct limits limits;
    struct limits_state state;
};

struct keyring; /* any thread */

/* The pepper is not kept, only what HMAC makes of it; >= PEPPER_BYTES_MIN.  NULL: no memory. */
MUST_CHECK struct keyring *keyring_new(const uint8_t *pepper, size_t pepper_len);
void keyring_free(struct keyring *r);
/* Loads every key of the store; again after a change it adds new ones and marks
 * revoked ones.  A key's limits are fixed when it is first loaded.  Call it after
 * the commit, on a connection that sees it: what was rolled back must not get in. */
MUST_CHECK enum status keyring_load(struct keyring *r, struct db *db,
                                    const struct limits *defaults);

void keyring_digest(const struct keyring *r, struct span text,
                    uint8_t ret[static KEY_DIGEST_BYTES]);

/* OK, NO_KEY (empty), BAD_KEY (unknown, checksum, digest or revoked: one answer
 * for all of them), KEY_EXPIRED.  Constant time in the secret part. */
MUST_CHECK enum status keyring_check(const struct keyring *r, struct span text, int64_t wall_us,
                                     struct key **ret);

/* ---- administration: run on the ledger thread with its connection, inside its transaction ---- */
struct project_new {
    int64_t organization;            /* row id of who pays */
    const char *slug, *display_name; /* slug: [a-z0-9-]{1,63} */
    int64_t budget_atoms;            /* >= 0; the caller applies the default of the configuration */
    const char *budget_period;       /* "month" (a billing period) or "total" */
    const char *cost_centre;         /* for statements; may be "" */
};
MUST_CHECK enum status project_create(struct db *db, const struct project_new *p, int64_t wall_us,
                                      int64_t *ret_id);

/* budget_period NULL: as it was.  NOT_FOUND when there is no such project. */
MUST_CHECK enum status project_set_budget(struct db *db, const char *slug, int64_t budget_atoms,
                                          const char *budget_period);

struct key_new {
    const char *project; /* slug */
    const char *label;
    int64_t requests_per_minute, tokens_per_minute, concurrency; /* 0: the defaults */
    int64_t expires_us;                                          /* 0: never */
    const char *role;                                            /* NULL: "inference" */
};
/* `ret_text` receives the key, the only time it is readable. */
MUST_CHECK enum status key_create(struct db *db, const struct keyring *r, const struct env *env,
                                  const struct key_new *k, char ret_text[static KEY_TEXT_BYTES],
                                  char ret_name[static KEY_NAME_DIGITS + 1]);
/* `name` is a public name or "PROJECT/LABEL".  NOT_FOUND when there is none,
 * CONFLICT when several live keys have the label.  Repeatable. */
MUST_CHECK enum status key_revoke(struct db *db, const char *name, int64_t wall_us);
/* Whether there is one that is not revoked. */
MUST_CHECK enum status key_any(struct db *db, bool *ret);

/* ---- lists for administration, on any connection; never a digest ---- */
/* [{"slug","display_name","budget","budget_period","organization","cost_centre","created"}] */
MUST_CHECK enum status project_list(struct db *db, json_t **ret);
/* [{"name","project","label","role","state":"live|expired|revoked","requests_per_minute",..,"expires","revoked","created"}];
 * project NULL: of all.  Times are ISO 8601 or null, a limit of 0 is the default. */
MUST_CHECK enum status key_list(struct db *db, const char *project, int64_t wall_us, json_t **ret);
#endif
