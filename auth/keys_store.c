/* auth/keys_store.c -- projects and keys as rows: what administration writes.
 *
 * Runs on the ledger thread, inside its transaction.  The checks of the schema
 * are the last word; what is checked here gives the better answer.
 */
#include "auth/keys.h"
#include "base/db.h"
#include "base/digest.h"
#include <string.h>

enum { SLUG_BYTES_MAX = 63 };

enum query {
    PROJECT_INSERT,
    PROJECT_FIND,
    PROJECT_BUDGET,
    KEY_INSERT,
    KEY_BY_NAME,
    KEY_BY_LABEL,
    KEY_REVOKE,
    KEY_ANY
};

static const char *const sql[] = {
    [PROJECT_INSERT] =
        "INSERT INTO project (slug, display_name, budget_atoms, budget_period, organization,"
        " cost_centre, created_us) VALUES (?, ?, ?, ?, ?, ?, ?)",
    [PROJECT_FIND] = "SELECT id FROM project WHERE slug = ?",
    [PROJECT_BUDGET] =
        "UPDATE project SET budget_atoms = ?, budget_period = coalesce(?, budget_period)"
        " WHERE id = ?",
    [KEY_INSERT] = "INSERT INTO api_key (name, project, label, digest, requests_per_minute,"
                   " tokens_per_minute, concurrency, expires_us, revoked_us, created_us, role)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, coalesce(?, 'inference'))",
    [KEY_BY_NAME] = "SELECT id FROM api_key WHERE name = ?",
    [KEY_BY_LABEL] = ("SELECT k.id FROM api_key k JOIN project p ON p.id = k.project"
                      " WHERE p.slug = ? AND k.label = ? AND k.revoked_us = 0"),
    [KEY_REVOKE] = "UPDATE api_key SET revoked_us = ? WHERE id = ? AND revoked_us = 0",
    [KEY_ANY] = "SELECT 1 FROM api_key WHERE revoked_us = 0 LIMIT 1",
};

static bool slug_is_good(const char *slug)
{
    size_t len = strspn(slug, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len > 0 && len <= SLUG_BYTES_MAX && slug[len] == '\0';
}

enum status project_create(struct db *db, const struct project_new *p, int64_t wall_us,
                           int64_t *ret_id)
{
    if (!slug_is_good(p->slug) || p->budget_atoms < 0)
        return STATUS_BAD_FIELD;
    struct db_stmt *s = db_prepare(db, sql[PROJECT_INSERT]);
    if (!s)
        return db_status(db);
    db_text(s, 1, p->slug, -1);
    db_text(s, 2, p->display_name, -1);
    db_int(s, 3, p->budget_atoms);
    db_text(s, 4, p->budget_period, -1);
    db_int(s, 5, p->organization);
    db_text(s, 6, p->cost_centre, -1);
    db_int(s, 7, wall_us);
    enum status status = db_run(s);
    if (status == STATUS_OK)
        *ret_id = db_last_id(db);
    return status;
}

/* The id in the only row of a bound query; CONFLICT when there are more. */
static enum status only_id(struct db *db, struct db_stmt *s, int64_t *ret_id)
{
    enum db_row row = db_step(s);
    int64_t id = row == DB_ROW ? db_col_int(s, 0) : 0;
    enum status status = row == DB_ROW ? STATUS_OK : STATUS_NOT_FOUND;
    if (row == DB_ROW && (row = db_step(s)) == DB_ROW)
        status = STATUS_CONFLICT;
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    if (status == STATUS_OK)
        *ret_id = id;
    return status;
}

static enum status project_find(struct db *db, const char *slug, int64_t *ret_id)
{
    struct db_stmt *s = db_prepare(db, sql[PROJECT_FIND]);
    if (!s)
        return db_status(db);
    db_text(s, 1, slug, -1);
    return only_id(db, s, ret_id);
}

enum status project_set_budget(struct db *db, const char *slug, int64_t budget_atoms,
                               const char *budget_period)
{
    int64_t id;
    enum status status = budget_atoms < 0 ? STATUS_BAD_FIELD : project_find(db, slug, &id);
    if (status != STATUS_OK)
        return status;
    struct db_stmt *s = db_prepare(db, sql[PROJECT_BUDGET]);
    if (!s)
        return db_status(db);
    db_int(s, 1, budget_atoms);
    db_text(s, 2, budget_period, -1);
    db_int(s, 3, id);
    return db_run(s);
}

static enum status key_insert(struct db *db, const struct key_new *k, int64_t project,
                              const char *name, const uint8_t digest[static KEY_DIGEST_BYTES],
                              int64_t wall_us)
{
    struct db_stmt *s = db_prepare(db, sql[KEY_INSERT]);
    if (!s)
        return db_status(db);
    db_text(s, 1, name, -1);
    db_int(s, 2, project);
    db_text(s, 3, k->label, -1);
    db_blob(s, 4, digest, KEY_DIGEST_BYTES);
    db_int(s, 5, k->requests_per_minute);
    db_int(s, 6, k->tokens_per_minute);
    db_int(s, 7, k->concurrency);
    db_int(s, 8, k->expires_us);
    db_int(s, 9, wall_us);
    db_text(s, 10, k->role, -1);
    return db_run(s);
}

enum status key_create(struct db *db, const struct keyring *r, const struct env *env,
                       const struct key_new *k, char ret_text[static KEY_TEXT_BYTES],
                       char ret_name[static KEY_NAME_DIGITS + 1])
{
    if (k->requests_per_minute < 0 || k->tokens_per_minute < 0 || k->concurrency < 0 ||
        k->expires_us < 0 || (k->role && key_role_find(k->role) == KEY_NONE))
        return STATUS_BAD_FIELD;
    int64_t project;
    enum status status = project_find(db, k->project, &project);
    if (status != STATUS_OK)
        return status;
    char text[KEY_TEXT_BYTES], name[KEY_NAME_DIGITS + 1];
    uint8_t digest[KEY_DIGEST_BYTES];
    key_text_make(env, text, name);
    keyring_digest(r, (struct span){ text, KEY_TEXT_LEN }, digest);
    status = key_insert(db, k, project, name, digest, env->wall_us(env->arg));
    if (status == STATUS_OK) {
        memcpy(ret_text, text, KEY_TEXT_LEN + 1);
        memcpy(ret_name, name, sizeof name);
    }
    digest_wipe(text, sizeof text);
    return status;
}

static enum status key_find(struct db *db, const char *name, int64_t *ret_id)
{
    const char *slash = strchr(name, '/');
    struct db_stmt *s = db_prepare(db, sql[slash ? KEY_BY_LABEL : KEY_BY_NAME]);
    if (!s)
        return db_status(db);
    db_text(s, 1, name, slash ? slash - name : -1);
    if (slash)
        db_text(s, 2, slash + 1, -1);
    return only_id(db, s, ret_id);
}

enum status key_revoke(struct db *db, const char *name, int64_t wall_us)
{
    int64_t id;
    enum status status = key_find(db, name, &id);
    if (status != STATUS_OK)
        return status;
    struct db_stmt *s = db_prepare(db, sql[KEY_REVOKE]);
    if (!s)
        return db_status(db);
    db_int(s, 1, wall_us);
    db_int(s, 2, id);
    return db_run(s);
}

enum status key_any(struct db *db, bool *ret)
{
    struct db_stmt *s = db_prepare(db, sql[KEY_ANY]);
    if (!s)
        return db_status(db);
    enum db_row row = db_step(s);
    *ret = row == DB_ROW;
    db_reset(s);
    return row == DB_FAILED ? db_status(db) : STATUS_OK;
}
