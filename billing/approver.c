/* billing/approver.c -- who may publish prices with a secret: rows that are added and revoked. */
#include "base/db.h"
#include "base/db_list.h"
#include "billing/period.h"
#include "billing/publication.h"
#include <stdio.h>
#include <string.h>

static const char sql_add[] = "INSERT INTO price_approver (name, digest, created_us, created_by)"
                              " VALUES (?1,?2,?3,?4)";
static const char sql_revoke[] = "UPDATE price_approver SET revoked_us = ?2, revoked_by = ?3"
                                 " WHERE name = ?1 AND revoked_us = 0";
static const char sql_list[] = "SELECT name, created_us, created_by, revoked_us, revoked_by"
                               " FROM price_approver ORDER BY created_us, name";
static const char sql_find[] =
    "SELECT name FROM price_approver WHERE digest = ?1 AND revoked_us = 0";

static bool name_ok(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= APPROVER_NAME_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

enum status approver_add(struct db *db, const char *name, const uint8_t digest[static 32],
                         const char *by, int64_t now_us)
{
    struct db_stmt *s = name_ok(name) ? db_prepare(db, sql_add) : NULL;
    if (!s)
        return name_ok(name) ? db_status(db) : STATUS_BAD_FIELD;
    db_text(s, 1, name, -1);
    db_blob(s, 2, digest, 32);
    db_int(s, 3, now_us);
    db_text(s, 4, by, -1);
    return db_run(s);
}

enum status approver_revoke(struct db *db, const char *name, const char *by, int64_t now_us)
{
    struct db_stmt *s = db_prepare(db, sql_revoke);
    if (!s)
        return db_status(db);
    db_text(s, 1, name, -1);
    db_int(s, 2, now_us);
    db_text(s, 3, by, -1);
    enum status status = db_run(s);
    return status ? status : db_changes(db) ? STATUS_OK : STATUS_NOT_FOUND;
}

static json_t *row(struct db_stmt *s, const void *arg)
{
    char created[PERIOD_TEXT_BYTES], revoked[PERIOD_TEXT_BYTES] = "";
    (void)arg;
    if (db_col_int(s, 3))
        period_instant_text(db_col_int(s, 3), revoked);
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", db_col_text(s, 0, NULL), "created",
                     period_instant_text(db_col_int(s, 1), created), "created_by",
                     db_col_text(s, 2, NULL), "revoked", revoked, "revoked_by",
                     db_col_text(s, 4, NULL));
}

enum status approver_list(struct db *db, json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql_list);
    return s ? db_list(db, s, row, NULL, ret) : db_status(db);
}

enum status approver_find(struct db *db, const uint8_t digest[static 32],
                          char ret[static PERSON_BYTES])
{
    struct db_stmt *s = db_prepare(db, sql_find);
    if (!s)
        return db_status(db);
    db_blob(s, 1, digest, 32);
    enum db_row step = db_step(s);
    if (step == DB_ROW)
        snprintf(ret, PERSON_BYTES, "key:%s", db_col_text(s, 0, NULL));
    db_reset(s);
    return step == DB_ROW ? STATUS_OK : step == DB_DONE ? STATUS_NOT_FOUND : db_status(db);
}
