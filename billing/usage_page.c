/* billing/usage_page.c -- reads the sums bucket by bucket and has each group written in the shape
 * that was asked for. */
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/minutes.h"
#include "billing/period.h"
#include "billing/rollup.h"
#include "billing/usage_page_inside.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { RESULTS_MAX = 5000, PAGE_FULL_BYTES = 1 << 20 };

static const char sql_currency[] = "SELECT currency FROM meta";

/* ?1, ?2: from and to; ?3: a project of the organization; the others are filters and what to group by. */
#define ITS_PROJECTS \
    "(SELECT id FROM project WHERE organization = (SELECT organization FROM project WHERE id = ?3))"
#define BUCKETS(at, source)                                                         \
    "SELECT " at ", CASE WHEN ?7 & 1 THEN p.slug END,"                              \
    " CASE WHEN ?7 & 2 THEN coalesce(k.name, r.key) END,"                           \
    " CASE WHEN ?7 & 12 THEN n.name END, CASE WHEN ?7 & 16 THEN r.tier END,"        \
    " CASE WHEN ?7 & 32 THEN iif(r.long_context, '200k-1M', '0-200k') END,"         \
    " CASE WHEN ?7 & 8 THEN r.meter END, r.meter,"                                  \
    " sum(r.qty), sum(r.requests), sum(r.atoms), sum(r.covered_atoms) FROM " source \
    " CROSS JOIN project p ON p.id = r.project JOIN name n ON n.id = r.model"       \
    " LEFT JOIN api_key k ON k.id = r.key WHERE r.project IN " ITS_PROJECTS         \
    " AND (?4 IS NULL OR p.slug IN (SELECT value FROM json_each(?4)))"              \
    " AND (?5 IS NULL OR k.name IN (SELECT value FROM json_each(?5)))"              \
    " AND (?6 IS NULL OR n.name IN (SELECT value FROM json_each(?6)))"              \
    " AND (?8 IS NULL OR r.endpoint IN (SELECT value FROM json_each(?8)))"          \
    " AND (?9 IS NULL OR r.tier IN (SELECT value FROM json_each(?9)))"              \
    " AND (?10 IS NULL OR iif(r.long_context, '200k-1M', '0-200k')"                 \
    "      IN (SELECT value FROM json_each(?10)))"                                  \
    " AND r.at_us >= ?1 AND r.at_us < ?2"                                           \
    " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"
static const char sql_bucket[] = BUCKETS("?1", "(SELECT hour_us AS at_us, * FROM usage_rollup) r");
/* What a settlement adds to the hourly sums (books.c), but for the money, which no minute tells; x: itself, s,
 * or what of it is resold. */
#define SETTLED(x, from)                                                                            \
    "SELECT s.settled_us AS at_us, " x ".project, s.key, " x ".model, s.endpoint, 0 AS atoms,"      \
    "  0 AS covered_atoms, coalesce(l.value ->> 0, 0) AS meter, coalesce(l.value ->> 1, 0) AS qty," \
    "  coalesce(l.key, 0) = 0 AS requests,"                                                         \
    "  coalesce((SELECT f.value ->> 'service_tier' FROM json_each(" x ".lines) f"                   \
    "   WHERE f.type = 'object' AND f.value ->> 'service_tier' IN ('flex', 'priority')),"           \
    "   'standard') AS tier,"                                                                       \
    "  coalesce((SELECT sum(t.value ->> 1) FROM json_each(" x ".lines) t WHERE t.type = 'array'"    \
    "   AND 1 << (t.value ->> 0) & ?13), 0) > ?14 AS long_context"                                  \
    "  FROM " from " LEFT JOIN json_each(" x ".lines) l ON l.type = 'array'"                        \
    "  WHERE " x ".rid >= ?11 AND " x ".rid < ?12"
static const char sql_minutes[] = BUCKETS(
    "r.at_us - r.at_us % 60000000", "(" SETTLED("s", "settlement s") " UNION ALL " SETTLED(
                                        "x", "resale x JOIN settlement s ON s.rid = x.rid") ") r");
enum column {
    BUCKET,
    NAMES,
    LINE_METER = NAMES + GROUP_NAMES,
    METER,
    QTY,
    REQUESTS,
    ATOMS,
    COVERED
};

/* ---- which kind an endpoint is of ---------------------------------------------------------- */

static const char *const kinds[USAGE_KIND_COUNT] = {
    [USAGE_COMPLETIONS] = "completions", [USAGE_EMBEDDINGS] = "embeddings",
    [USAGE_MODERATIONS] = "moderations", [USAGE_IMAGES] = "images",
    [USAGE_SPEECHES] = "audio_speeches", [USAGE_TRANSCRIPTIONS] = "audio_transcriptions",
};

/* An endpoint that is not named here answers in text. */
static const enum usage_kind kind_of[ENDPOINT_COUNT] = {
    [ENDPOINT_EMBEDDINGS] = USAGE_EMBEDDINGS,
    [ENDPOINT_MODERATION] = USAGE_MODERATIONS,
    [ENDPOINT_IMAGES] = USAGE_IMAGES,
    [ENDPOINT_SPEECH] = USAGE_SPEECHES,
    [ENDPOINT_TRANSCRIPTION] = USAGE_TRANSCRIPTIONS,
    [ENDPOINT_TRANSLATION] = USAGE_TRANSCRIPTIONS,
    [ENDPOINT_INFER] = USAGE_KIND_COUNT,
    [ENDPOINT_RERANK] = USAGE_KIND_COUNT,
};

enum usage_kind usage_kind_find(const char *name)
{
    unsigned i = 0;
    while (i < USAGE_KIND_COUNT && strcmp(kinds[i], name) != 0)
        i++;
    return (enum usage_kind)i;
}

const char *usage_kind_name(enum usage_kind kind)
{
    return kinds[kind];
}

enum usage_kind usage_kind_of(enum endpoint e)
{
    return kind_of[e];
}

/* A JSON array of the kind's endpoints; NULL: all of them. */
static const char *endpoints_of(enum usage_kind kind, char text[static USAGE_ENDPOINTS_BYTES])
{
    size_t len = 0;
    if (kind == USAGE_COSTS)
        return NULL;
    for (unsigned e = 0; e < ENDPOINT_COUNT; e++)
        if (kind_of[e] == kind)
            len += (size_t)snprintf(text + len, USAGE_ENDPOINTS_BYTES - len, "%c\"%s\"",
                                    len ? ',' : '[', endpoint_name((enum endpoint)e));
    snprintf(text + len, USAGE_ENDPOINTS_BYTES - len, "]");
    return text;
}

/* ---- writing ------------------------------------------------------------------------------- */

void usage_put(struct usage_writer *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    w->ok = w->ok && buf_vprintf(w->out, fmt, args);
    va_end(args);
}

void usage_put_name(struct usage_writer *w, const char *key, const char *name)
{
    AUTO(json_decref_ptr) json_t *text = *name ? json_string(name) : json_null();
    AUTO(free_ptr) char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    w->ok = w->ok && quoted;
    usage_put(w, ",\"%s\":%s", key, quoted ? quoted : "null");
}

int64_t usage_sum_of(const struct usage_group_sums *g, uint32_t meters)
{
    int64_t sum = 0;
    for (unsigned m = 0; m < METER_COUNT; m++)
        if (meters >> m & 1 && __builtin_add_overflow(sum, g->qty[m], &sum))
            return INT64_MAX;
    return sum;
}

static const struct usage_shape_row *shape_of(const struct usage_writer *w)
{
    return w->query->shape == SHAPE_ANTHROPIC ? &usage_anthropic : &usage_openai;
}

static void end_group(struct usage_writer *w)
{
    if (w->results == 0)
        return;
    if (w->results > 1)
        usage_put(w, ",");
    shape_of(w)->result(w);
}

/* ---- reading a bucket ---------------------------------------------------------------------- */

static bool same_group(const struct usage_writer *w, struct db_stmt *s)
{
    int64_t meter = db_col_null(s, LINE_METER) ? -1 : db_col_int(s, LINE_METER);
    for (int i = 0; i < GROUP_NAMES; i++) {
        const char *name = db_col_text(s, NAMES + i, NULL);
        if (strcmp(w->group.name[i], name ? name : "") != 0)
            return false;
    }
    return w->results > 0 && w->group.meter == meter;
}

static void begin_group(struct usage_writer *w, struct db_stmt *s)
{
    end_group(w);
    w->results++;
    w->group = (struct usage_group_sums){ .meter = db_col_null(s, LINE_METER)
                                                       ? -1
                                                       : db_col_int(s, LINE_METER) };
    for (int i = 0; i < GROUP_NAMES; i++) {
        const char *name = db_col_text(s, NAMES + i, NULL);
        snprintf(w->group.name[i], USAGE_NAME_BYTES, "%s", name ? name : "");
    }
}

static enum status add_row(struct usage_writer *w, struct db_stmt *s)
{
    int64_t meter = db_col_int(s, METER);
    struct usage_group_sums *g = &w->group;
    if (meter < 0 || meter >= METER_COUNT)
        return STATUS_INTERNAL;
    if (!same_group(w, s))
        begin_group(w, s);
    if (__builtin_add_overflow(g->qty[meter], db_col_int(s, QTY), &g->qty[meter]) ||
        __builtin_add_overflow(g->requests, db_col_int(s, REQUESTS), &g->requests) ||
        __builtin_add_overflow(g->atoms, db_col_int(s, ATOMS), &g->atoms) ||
        __builtin_add_overflow(g->covered, db_col_int(s, COVERED), &g->covered))
        return STATUS_BILLING_OVERFLOW;
    return w->results > RESULTS_MAX ? STATUS_TOO_LARGE_FOR_LIMIT
           : w->ok                  ? STATUS_OK
                                    : STATUS_NO_MEMORY;
}

/* The rows of [from_us, to_us), ordered by their buckets. */
static enum status open_rows(struct db *db, struct usage_writer *w, int64_t from_us, int64_t to_us)
{
    const struct usage_page_query *q = w->query;
    bool minutes = q->width_us < HOUR_US;
    struct db_stmt *s = w->rows = db_prepare(db, minutes ? sql_minutes : sql_bucket);
    if (!s)
        return db_status(db);
    db_int(s, 1, from_us);
    db_int(s, 2, to_us);
    db_int(s, 3, q->project);
    db_text(s, 4, q->projects, -1);
    db_text(s, 5, q->keys, -1);
    db_text(s, 6, q->models, -1);
    db_int(s, 7, q->group);
    db_text(s, 8, endpoints_of(q->kind, w->endpoints), -1);
    db_text(s, 9, q->tiers, -1);
    db_text(s, 10, q->contexts, -1);
    const int64_t more[] = { w->from_rid, w->to_rid, METERS_TOKENS_IN, ROLLUP_LONG_CONTEXT };
    for (int i = 0; i < 4 && minutes; i++)
        db_int(s, 11 + i, more[i]);
    w->row = db_step(s);
    return STATUS_OK;
}

static enum status read_bucket(struct db *db, struct usage_writer *w, int64_t from_us)
{
    enum status status = STATUS_OK;
    w->results = 0;
    while (!status && w->row == DB_ROW && db_col_int(w->rows, BUCKET) == from_us) {
        status = add_row(w, w->rows);
        w->row = db_step(w->rows);
    }
    if (w->row == DB_FAILED)
        status = db_status(db);
    if (!status)
        end_group(w);
    return status;
}

static enum status put_bucket(struct db *db, struct usage_writer *w, int64_t from_us)
{
    const struct usage_page_query *q = w->query;
    if (from_us > q->first_us)
        usage_put(w, ",");
    shape_of(w)->bucket(w, from_us, from_us + q->width_us);
    enum status s = w->rows ? STATUS_OK : open_rows(db, w, from_us, from_us + q->width_us);
    if (!s)
        s = read_bucket(db, w, from_us);
    if (q->width_us >= HOUR_US) {
        db_reset(w->rows);
        w->rows = NULL;
    }
    usage_put(w, "]}");
    return s;
}

/* Half as many minutes, until they are few enough. */
static enum status open_minutes(struct db *db, struct usage_writer *w, int64_t *buckets)
{
    const struct usage_page_query *q = w->query;
    bool many = true, archived = false;
    int64_t to_us = q->first_us, left = (q->to_us - q->first_us + MINUTE_US - 1) / MINUTE_US;
    enum status s = STATUS_OK;
    if (*buckets > left)
        *buckets = left;
    for (int64_t n = *buckets; many && !s; n /= 2) {
        if (n == 0)
            return STATUS_TOO_LARGE_FOR_LIMIT;
        *buckets = n;
        to_us = q->first_us + n * MINUTE_US;
        s = minutes_ids(db, q->first_us, to_us, &w->from_rid, &w->to_rid);
        if (!s)
            s = minutes_are_many(db, w->from_rid, w->to_rid, USAGE_ROWS_MAX, &many);
    }
    if (!s)
        s = minutes_archived(db, q->project, q->first_us, to_us, &archived);
    if (s || archived)
        return s ? s : STATUS_CONFLICT;
    return open_rows(db, w, q->first_us, to_us);
}

static enum status read_currency(struct db *db, struct usage_writer *w)
{
    struct db_stmt *s = db_prepare(db, sql_currency);
    if (!s)
        return db_status(db);
    enum db_row row = db_step(s);
    const char *text = row == DB_ROW ? db_col_text(s, 0, NULL) : NULL;
    snprintf(w->currency, sizeof w->currency, "%s", text ? text : "");
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

static void put_tail(struct usage_writer *w, int64_t at_us)
{
    bool more = at_us < w->query->to_us;
    usage_put(w, "],\"has_more\":%s,\"next_page\":", more ? "true" : "false");
    if (more)
        usage_put(w, "\"page_%" PRId64 "\"}", at_us / 1000000);
    else
        usage_put(w, "null}");
}

enum status usage_page(struct db *db, const struct usage_page_query *q, struct buf *out)
{
    struct usage_writer w = { .query = q, .out = out, .ok = true };
    int64_t at_us = q->first_us, buckets = q->buckets;
    enum status s = read_currency(db, &w);
    if (!s && q->width_us < HOUR_US)
        s = open_minutes(db, &w, &buckets);
    usage_put(&w, "%s", shape_of(&w)->head);
    for (int64_t n = 0; !s && n < buckets && at_us < q->to_us && out->len < PAGE_FULL_BYTES; n++) {
        s = put_bucket(db, &w, at_us);
        at_us += q->width_us;
    }
    db_reset(w.rows);
    put_tail(&w, at_us);
    return s ? s : w.ok ? STATUS_OK : STATUS_NO_MEMORY;
}
