/* billing/alert_due.c -- see alert_due.h: what the courier asks and notes. */
#include "billing/alert_due.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/money.h"
#include "billing/alert_inside.h"
#include "billing/period.h"
#include "billing/report.h"
#include "conf/catalog_alerts.h"
#include <stdio.h>

#define WAIT_US_MAX (INT64_C(12) * 3600 * 1000000)

static const char sql_next[] =
    "SELECT d.alert, d.attempts, d.due_us, a.at_us FROM alert_delivery d"
    " JOIN alert a ON a.id = d.alert WHERE d.webhook = ?1 AND d.state = 'waiting'"
    " ORDER BY d.due_us, d.alert LIMIT 1";
static const char sql_waiting[] = "SELECT count(*) FROM alert_delivery"
                                  " WHERE webhook = ?1 AND state = 'waiting'";
static const char sql_event[] = ALERT_SELECT " WHERE a.id = ?1";
static const char sql_note[] =
    "UPDATE alert_delivery SET state = ?3, attempts = ?4, due_us = ?5, ended_us = ?6,"
    " last_error = ?7 WHERE alert = ?1 AND webhook = ?2 AND state = 'waiting'";

char *alert_id_text(int64_t at_us, int64_t alert, char text[static ALERT_ID_BYTES])
{
    snprintf(text, ALERT_ID_BYTES, "evt_%016llx%016llx", (unsigned long long)at_us,
             (unsigned long long)alert);
    return text;
}

enum status alert_next(struct db *db, const char *webhook, struct alert_due *ret)
{
    struct db_stmt *s = db_prepare(db, sql_next);
    if (!s)
        return db_status(db);
    db_text(s, 1, webhook, -1);
    enum db_row row = db_step(s);
    if (row == DB_ROW) {
        *ret = (struct alert_due){ .alert = db_col_int(s, 0),
                                   .attempts = db_col_int(s, 1),
                                   .due_us = db_col_int(s, 2) };
        snprintf(ret->webhook, sizeof ret->webhook, "%s", webhook);
        alert_id_text(db_col_int(s, 3), ret->alert, ret->id);
    }
    enum status status = row == DB_ROW      ? STATUS_OK
                         : row == DB_FAILED ? db_status(db)
                                            : STATUS_NOT_FOUND;
    db_reset(s);
    return status;
}

enum status alert_waiting(struct db *db, const char *webhook, int64_t *ret)
{
    struct db_stmt *s = db_prepare(db, sql_waiting);
    if (!s)
        return db_status(db);
    db_text(s, 1, webhook, -1);
    return db_first_int(db, s, ret);
}

/* ---- the event ----------------------------------------------------------------------------- */

static json_t *period_start(struct db_stmt *s)
{
    char text[PERIOD_TEXT_BYTES];
    if (db_col_null(s, ALERT_PERIOD_START))
        return json_null();
    return json_string(period_instant_text(db_col_int(s, ALERT_PERIOD_START), text));
}

json_t *alert_percent_json(struct db_stmt *s)
{
    int64_t percent = db_col_int(s, ALERT_THRESHOLD);
    return percent ? json_integer(percent) : json_null();
}

static json_t *data_json(struct db_stmt *s, json_t *currency)
{
    char limit[MONEY_TEXT_BYTES], spent[MONEY_TEXT_BYTES];
    return json_pack("{s:s, s:s?, s:o, s:s, s:s, s:O, s:o}", "organization",
                     db_col_text(s, ALERT_ORGANIZATION, NULL), "project",
                     db_col_text(s, ALERT_PROJECT, NULL), "percent", alert_percent_json(s), "limit",
                     money_text((money_t){ db_col_int(s, ALERT_LIMIT) }, 2, limit), "spent",
                     money_text((money_t){ db_col_int(s, ALERT_SPENT) }, 2, spent), "currency",
                     currency, "period_start", period_start(s));
}

static enum status write_event(struct db_stmt *s, json_t *currency, struct buf *out)
{
    char id[ALERT_ID_BYTES];
    int64_t at_us = db_col_int(s, ALERT_AT);
    AUTO(json_decref_ptr)
    json_t *event = json_pack("{s:s, s:s, s:s, s:I, s:o}", "id",
                              alert_id_text(at_us, db_col_int(s, ALERT_ROW), id), "object", "event",
                              "type", db_col_text(s, ALERT_TYPE, NULL), "created_at",
                              (json_int_t)(at_us / 1000000), "data", data_json(s, currency));
    AUTO(free_ptr) char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;
    return text && buf_text(out, text) ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status alert_body(struct db *db, int64_t alert, struct buf *out)
{
    AUTO(json_decref_ptr) json_t *currency = NULL;
    enum status status = report_currency(db, &currency);
    struct db_stmt *s = status ? NULL : db_prepare(db, sql_event);
    if (!s)
        return status ? status : db_status(db);
    db_int(s, 1, alert);
    enum db_row row = db_step(s);
    status = row == DB_FAILED ? db_status(db) : row == DB_DONE ? STATUS_NOT_FOUND : STATUS_OK;
    if (!status)
        status = write_event(s, currency, out);
    db_reset(s);
    return status;
}

/* ---- how it went --------------------------------------------------------------------------- */

int64_t alert_wait_us(const struct catalog_alerts *rules, int64_t failures)
{
    int64_t wait_us = (int64_t)rules->retry_ms * 1000;
    while (--failures > 0 && wait_us < WAIT_US_MAX)
        wait_us *= 4;
    return wait_us < WAIT_US_MAX ? wait_us : WAIT_US_MAX;
}

enum status alert_note(struct db *db, const struct alert_due *d, const struct catalog_alerts *rules,
                       enum alert_outcome outcome, const char *error, int64_t now_us,
                       bool *ret_given_up)
{
    int64_t failures = d->attempts + 1;
    bool delivered = outcome == ALERT_DELIVERED;
    bool over = delivered || outcome == ALERT_REFUSED || failures >= rules->attempts;
    struct db_stmt *s = db_prepare(db, sql_note);
    if (!s)
        return db_status(db);
    db_int(s, 1, d->alert);
    db_text(s, 2, d->webhook, -1);
    db_text(s, 3, delivered ? "delivered" : over ? "given_up" : "waiting", -1);
    db_int(s, 4, failures);
    db_int(s, 5, over ? d->due_us : now_us + alert_wait_us(rules, failures));
    db_int(s, 6, over ? now_us : 0);
    db_text(s, 7, delivered ? "" : error, -1);
    enum status status = db_run(s);
    *ret_given_up = over && !delivered;
    return status || db_changes(db) == 1 ? status : STATUS_NOT_FOUND;
}
