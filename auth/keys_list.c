/* auth/keys_list.c -- projects and keys as JSON, for administration.
 *
 * A list is read whole and is bounded: who has more keys than that asks project
 * by project.
 */
#include "auth/keys.h"
#include "base/db_list.h"
#include "base/money.h"
#include <time.h>

enum { LIST_ROWS_MAX = 10000, TIME_TEXT_BYTES = 24 };

enum query { PROJECTS, KEYS };

static const char *const sql[] = {
    [PROJECTS] = "SELECT p.slug, p.display_name, p.budget_atoms, p.budget_period, o.slug,"
                 " p.cost_centre, p.created_us FROM project p"
                 " JOIN organization o ON o.id = p.organization ORDER BY p.slug LIMIT ?",
    [KEYS] = "SELECT k.name, p.slug, k.label, k.requests_per_minute, k.tokens_per_minute,"
             " k.concurrency, k.expires_us, k.revoked_us, k.created_us, k.role"
             " FROM api_key k JOIN project p ON p.id = k.project"
             " WHERE p.slug = ?1 OR ?1 IS NULL ORDER BY p.slug, k.id LIMIT ?2",
};

/* 0 is null: it never happened, or never will. */
static json_t *time_or_null(int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm utc;
    char text[TIME_TEXT_BYTES];
    if (us == 0 || !gmtime_r(&seconds, &utc) ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        return json_null();
    return json_string(text);
}

static json_t *project_of_row(struct db_stmt *s, const void *arg)
{
    (void)arg;
    char text[MONEY_TEXT_BYTES];
    const char *budget = db_col_int(s, 2) == MONEY_ATOMS_MAX
                             ? "no limit" /* of a twin (billing/schema/0022.sql) */
                             : money_text((money_t){ db_col_int(s, 2) }, 2, text);
    return json_pack("{s:s, s:s?, s:s, s:s?, s:s?, s:s?, s:o}", "slug", db_col_text(s, 0, NULL),
                     "display_name", db_col_text(s, 1, NULL), "budget", budget, "budget_period",
                     db_col_text(s, 3, NULL), "organization", db_col_text(s, 4, NULL),
                     "cost_centre", db_col_text(s, 5, NULL), "created",
                     time_or_null(db_col_int(s, 6)));
}

static json_t *key_of_row(struct db_stmt *s, const void *arg)
{
    const int64_t wall_us = *(const int64_t *)arg;
    int64_t expires_us = db_col_int(s, 6), revoked_us = db_col_int(s, 7);
    bool expired = expires_us != 0 && wall_us >= expires_us;
    const char *state = revoked_us != 0 ? "revoked" : expired ? "expired" : "live";
    return json_pack("{s:s, s:s, s:s?, s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o}", "name",
                     db_col_text(s, 0, NULL), "project", db_col_text(s, 1, NULL), "label",
                     db_col_text(s, 2, NULL), "role", db_col_text(s, 9, NULL), "state", state,
                     "requests_per_minute", (json_int_t)db_col_int(s, 3), "tokens_per_minute",
                     (json_int_t)db_col_int(s, 4), "concurrency", (json_int_t)db_col_int(s, 5),
                     "expires", time_or_null(expires_us), "revoked", time_or_null(revoked_us),
                     "created", time_or_null(db_col_int(s, 8)));
}

enum status project_list(struct db *db, json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql[PROJECTS]);
    db_int(s, 1, LIST_ROWS_MAX);
    return db_list(db, s, project_of_row, NULL, ret);
}

enum status key_list(struct db *db, const char *project, int64_t wall_us, json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql[KEYS]);
    db_text(s, 1, project, -1);
    db_int(s, 2, LIST_ROWS_MAX);
    return db_list(db, s, key_of_row, &wall_us, ret);
}
