/* billing/alert_list.c -- see alert_due.h: for people. */
#include "base/cleanup.h"
#include "base/db_list.h"
#include "base/money.h"
#include "billing/alert_inside.h"
#include "billing/organization.h"
#include "billing/period.h"

static const char sql_list[] =
    ALERT_SELECT " WHERE (?1 = 0 OR a.organization = ?1) AND (?2 IS NULL AND ?3 IS NULL OR EXISTS"
                 " (SELECT 1 FROM alert_delivery d WHERE d.alert = a.id"
                 "  AND (?2 IS NULL OR d.webhook = ?2) AND (?3 IS NULL OR d.state = ?3)))"
                 " ORDER BY a.id DESC LIMIT ?4";
static const char sql_deliveries[] =
    "SELECT webhook, state, attempts, CASE state WHEN 'waiting' THEN due_us END,"
    " CASE state WHEN 'waiting' THEN NULL ELSE ended_us END, last_error"
    " FROM alert_delivery WHERE alert = ?1 ORDER BY webhook";
static const char sql_again[] =
    "UPDATE alert_delivery SET state = 'waiting', attempts = 0, due_us = ?3, ended_us = 0"
    " WHERE alert = ?1 AND (?2 IS NULL OR webhook = ?2)";
static const char sql_first[] =
    "INSERT INTO alert_delivery (alert, webhook, state, due_us)"
    " SELECT id, ?2, 'waiting', ?3 FROM alert WHERE id = ?1 ON CONFLICT DO NOTHING";

static json_t *instant(struct db_stmt *s, int at)
{
    char text[PERIOD_TEXT_BYTES];
    return db_col_null(s, at) ? NULL : json_string(period_instant_text(db_col_int(s, at), text));
}

static json_t *delivery_json(struct db_stmt *s, const void *arg)
{
    (void)arg;
    return json_pack("{s:s, s:s, s:I, s:o*, s:o*, s:s}", "webhook", db_col_text(s, 0, NULL),
                     "state", db_col_text(s, 1, NULL), "attempts", (json_int_t)db_col_int(s, 2),
                     "next_attempt", instant(s, 3), "ended_at", instant(s, 4), "last_error",
                     db_col_text(s, 5, NULL));
}

static json_t *alert_json(struct db_stmt *s, const void *arg)
{
    char id[ALERT_ID_BYTES], at[PERIOD_TEXT_BYTES], limit[MONEY_TEXT_BYTES],
        spent[MONEY_TEXT_BYTES];
    int64_t at_us = db_col_int(s, ALERT_AT), row = db_col_int(s, ALERT_ROW);
    (void)arg;
    return json_pack("{s:I, s:s, s:s, s:s, s:s?, s:o, s:s, s:s, s:s}", "alert", (json_int_t)row,
                     "id", alert_id_text(at_us, row, id), "type", db_col_text(s, ALERT_TYPE, NULL),
                     "organization", db_col_text(s, ALERT_ORGANIZATION, NULL), "project",
                     db_col_text(s, ALERT_PROJECT, NULL), "percent", alert_percent_json(s), "limit",
                     money_text((money_t){ db_col_int(s, ALERT_LIMIT) }, 2, limit), "spent",
                     money_text((money_t){ db_col_int(s, ALERT_SPENT) }, 2, spent), "at",
                     period_instant_text(at_us, at));
}

static enum status add_deliveries(struct db *db, json_t *alerts)
{
    size_t i;
    json_t *alert;
    enum status status = STATUS_OK;
    json_array_foreach (alerts, i, alert) {
        json_t *list = NULL;
        struct db_stmt *s = db_prepare(db, sql_deliveries);
        if (s)
            db_int(s, 1, json_integer_value(json_object_get(alert, "alert")));
        status = db_list(db, s, delivery_json, NULL, &list);
        if (status)
            return status;
        if (json_object_set_new(alert, "deliveries", list))
            return STATUS_NO_MEMORY;
    }
    return status;
}

enum status alert_list(struct db *db, const struct alert_query *q, json_t **ret)
{
    int64_t organization = 0;
    enum status status =
        q->organization ? organization_find(db, q->organization, &organization) : STATUS_OK;
    if (status)
        return status;
    struct db_stmt *s = db_prepare(db, sql_list);
    if (s) {
        db_int(s, 1, organization);
        db_text(s, 2, q->webhook, -1);
        db_text(s, 3, q->state, -1);
        db_int(s, 4, q->limit + 1);
    }
    AUTO(json_decref_ptr) json_t *data = NULL;
    status = db_list(db, s, alert_json, NULL, &data);
    bool more = !status && (int64_t)json_array_size(data) > q->limit;
    if (more)
        json_array_remove(data, (size_t)q->limit);
    if (!status)
        status = add_deliveries(db, data);
    if (status)
        return status;
    *ret = json_pack("{s:s, s:O, s:b}", "object", "list", "data", data, "has_more", (int)more);
    return *ret ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status run(struct db *db, const char *sql, int64_t alert, const char *webhook,
                       int64_t now_us)
{
    struct db_stmt *s = db_prepare(db, sql);
    if (!s)
        return db_status(db);
    db_int(s, 1, alert);
    db_text(s, 2, webhook, -1);
    db_int(s, 3, now_us);
    return db_run(s);
}

enum status alert_redeliver(struct db *db, int64_t alert, const char *webhook, int64_t now_us,
                            int64_t *ret_count)
{
    enum status s = webhook ? run(db, sql_first, alert, webhook, now_us) : STATUS_OK;
    if (!s)
        s = run(db, sql_again, alert, webhook, now_us);
    *ret_count = s ? 0 : db_changes(db);
    return s || *ret_count ? s : STATUS_NOT_FOUND;
}
