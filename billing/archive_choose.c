/* billing/archive_choose.c -- which months may leave, and which have. */
#include "base/cleanup.h"
#include "base/db.h"
#include "base/db_list.h"
#include "billing/archive.h"
#include "billing/archive_inside.h"
#include "billing/period.h"
#include "billing/report.h"
#include "billing/zone.h"
#include <stdio.h>
#include <string.h>

/* A month of any time zone begins within fifteen hours of that of UTC. */
#define ZONE_US (INT64_C(15) * HOUR_US)

#define USED                                                                           \
    "EXISTS (SELECT 1 FROM usage_rollup r WHERE r.hour_us >= p.starts_us - 3600000000" \
    "  AND r.hour_us < p.ends_us AND r.period = p.id)"
static const char sql_periods[] =
    "SELECT p.id, p.starts_us, p.time_zone, o.slug, p.closed_us <> 0 AND EXISTS"
    "  (SELECT 1 FROM document d WHERE d.period = p.id AND d.type = 380), p.archive IS NOT NULL"
    " FROM billing_period p JOIN organization o ON o.id = p.organization"
    " WHERE p.starts_us >= ?1 AND p.starts_us < ?2 AND " USED " ORDER BY p.id";
static const char sql_oldest[] =
    "SELECT p.starts_us, p.time_zone FROM billing_period p WHERE p.archive IS NULL AND " USED
    " ORDER BY p.starts_us LIMIT 1";
static const char sql_covers[] =
    "SELECT EXISTS (SELECT 1 FROM billing_period WHERE archive IS NOT NULL AND starts_us < ?2"
    " AND ends_us > ?1)";
static const char sql_list[] = "SELECT month, state, file, sha256, requests, bytes, created_us"
                               " FROM archive WHERE state <> 'file' ORDER BY month";

/* The local month that the period began in. */
static enum status month_of(const char *zone_name, int64_t starts_us,
                            char ret[static ARCHIVE_MONTH_BYTES])
{
    struct zone *zone = NULL;
    char day[ZONE_DAY_BYTES];
    enum status s = zone_open(zone_name, &zone);
    if (s)
        return s;
    snprintf(ret, ARCHIVE_MONTH_BYTES, "%.7s", zone_day_text(zone, starts_us, day));
    zone_free(zone);
    return STATUS_OK;
}

static enum status add_period(struct db_stmt *s, const char *month, json_t *ids,
                              char err[static 256])
{
    char own[ARCHIVE_MONTH_BYTES];
    enum status status = month_of(db_col_text(s, 2, NULL), db_col_int(s, 1), own);
    if (status || strcmp(own, month) != 0)
        return status;
    const char *slug = db_col_text(s, 3, NULL);
    if (db_col_int(s, 5)) {
        snprintf(err, 256, "%s is in an archive already", month);
        return STATUS_CONFLICT;
    }
    if (!db_col_int(s, 4)) {
        snprintf(
            err, 256,
            "the invoice of %.60s for %s is not issued: maasgate invoice %s --org %.60s --issue",
            slug, month, month, slug);
        return STATUS_CONFLICT;
    }
    return json_array_append_new(ids, json_integer(db_col_int(s, 0))) ? STATUS_NO_MEMORY
                                                                      : STATUS_OK;
}

enum status archive_periods(struct db *db, const char *month, json_t *ids, char err[static 256])
{
    int64_t from_us, to_us;
    if (!report_month(month, &from_us, &to_us)) {
        snprintf(err, 256, "'%.40s' is not a month such as 2026-07", month);
        return STATUS_BAD_FIELD;
    }
    struct db_stmt *s = db_prepare(db, sql_periods);
    if (!s)
        return db_status(db);
    db_int(s, 1, from_us - ZONE_US);
    db_int(s, 2, to_us + ZONE_US);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = add_period(s, month, ids, err);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    if (!status && json_array_size(ids) == 0) {
        snprintf(err, 256, "nothing was used in %s that is still here", month);
        status = STATUS_CONFLICT;
    }
    return status;
}

static enum status oldest(struct db *db, char ret[static ARCHIVE_MONTH_BYTES])
{
    struct db_stmt *s = db_prepare(db, sql_oldest);
    if (!s)
        return db_status(db);
    enum db_row row = db_step(s);
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    if (row == DB_ROW)
        status = month_of(db_col_text(s, 1, NULL), db_col_int(s, 0), ret);
    db_reset(s);
    return status;
}

/* Whole months that lie between that month and the present one. */
static int64_t months_since(const char *month, int64_t now_us)
{
    char now[PERIOD_TEXT_BYTES];
    int y1 = 0, m1 = 0, y2 = 0, m2 = 0;
    period_instant_text(now_us, now);
    sscanf(month, "%4d-%2d", &y1, &m1);
    sscanf(now, "%4d-%2d", &y2, &m2);
    return (y2 - y1) * INT64_C(12) + m2 - m1 - 1;
}

enum status archive_choose(struct db *db, const char *month, int64_t retention_months,
                           int64_t now_us, char ret[static ARCHIVE_MONTH_BYTES],
                           char err[static 256])
{
    int64_t from_us, to_us;
    *ret = '\0';
    if (month && !report_month(month, &from_us, &to_us)) {
        snprintf(err, 256, "'%.40s' is not a month such as 2026-07", month);
        return STATUS_BAD_FIELD;
    }
    enum status s = month ? STATUS_OK : oldest(db, ret);
    if (s || (!month && !*ret))
        return s;
    if (month)
        snprintf(ret, ARCHIVE_MONTH_BYTES, "%.7s", month);
    if (months_since(ret, now_us) >= retention_months)
        return STATUS_OK;
    if (!month) {
        *ret = '\0'; /* none is due */
        return STATUS_OK;
    }
    snprintf(err, 256, "%s is not older than retention_months (%d)", month, (int)retention_months);
    return STATUS_CONFLICT;
}

enum status archive_covers(struct db *db, int64_t from_us, int64_t to_us, bool *ret)
{
    struct db_stmt *s = db_prepare(db, sql_covers);
    int64_t covers = 0;
    if (!s)
        return db_status(db);
    db_int(s, 1, from_us);
    db_int(s, 2, to_us);
    enum status status = db_first_int(db, s, &covers);
    *ret = covers != 0;
    return status;
}

static json_t *listed(struct db_stmt *s, const void *arg)
{
    char created[PERIOD_TEXT_BYTES];
    (void)arg;
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "month", db_col_text(s, 0, NULL),
                     "state", db_col_text(s, 1, NULL), "file", db_col_text(s, 2, NULL), "sha256",
                     db_col_text(s, 3, NULL), "requests", (json_int_t)db_col_int(s, 4), "bytes",
                     (json_int_t)db_col_int(s, 5), "created",
                     period_instant_text(db_col_int(s, 6), created));
}

enum status archive_list(struct db *db, json_t **ret)
{
    return db_list(db, db_prepare(db, sql_list), listed, NULL, ret);
}
