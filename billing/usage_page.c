/* billing/usage_page.c -- see usage_page.h. */
#include "billing/usage_page.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/money.h"
#include "base/usage.h"
#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { RESULTS_MAX = 5000, PAGE_FULL_BYTES = 1 << 20, NAME_BYTES = 256 };

static const char sql_currency[] = "SELECT currency FROM meta";
static const char sql_bucket[] =
    "SELECT CASE WHEN ?7 & 1 THEN p.slug END, CASE WHEN ?7 & 2 THEN coalesce(k.name, r.key) END,"
    " CASE WHEN ?7 & 12 THEN n.name END, CASE WHEN ?7 & 8 THEN r.meter END, n.name, r.meter,"
    " sum(r.qty), sum(r.requests), sum(r.atoms), sum(r.covered_atoms) FROM usage_rollup r"
    " JOIN project p ON p.id = r.project JOIN name n ON n.id = r.model"
    " LEFT JOIN api_key k ON k.id = r.key"
    " WHERE r.hour_us >= ?1 AND r.hour_us < ?2"
    " AND p.organization = (SELECT organization FROM project WHERE id = ?3)"
    " AND (?4 IS NULL OR p.slug IN (SELECT value FROM json_each(?4)))"
    " AND (?5 IS NULL OR k.name IN (SELECT value FROM json_each(?5)))"
    " AND (?6 IS NULL OR n.name IN (SELECT value FROM json_each(?6)))"
    " GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6";
enum column { PROJECT, KEY, MODEL, LINE_METER, ANY_MODEL, METER, QTY, REQUESTS, ATOMS, COVERED };
enum { GROUPS = MODEL + 1 };

struct group {
    char name[GROUPS][NAME_BYTES]; /* "": not grouped by it */
    int64_t meter;                 /* -1: likewise */
    int64_t qty[METER_COUNT], requests, atoms, covered;
};

struct page {
    const struct usage_page_query *query;
    struct buf *out;
    char currency[16]; /* lower case */
    struct group group;
    unsigned results; /* of this bucket, the one being read included */
    bool ok;          /* false: no memory */
};

/* ---- which kind a model is for ------------------------------------------------------------- */

static const struct kind_row {
    const char *name;
    unsigned capabilities;
} kinds[USAGE_KIND_COUNT] = {
    [USAGE_COMPLETIONS] = { "completions", CAP_CHAT | CAP_COMPLETIONS },
    [USAGE_EMBEDDINGS] = { "embeddings", CAP_EMBEDDINGS },
    [USAGE_MODERATIONS] = { "moderations", CAP_MODERATION },
    [USAGE_IMAGES] = { "images", CAP_IMAGES },
    [USAGE_SPEECHES] = { "audio_speeches", CAP_SPEECH },
    [USAGE_TRANSCRIPTIONS] = { "audio_transcriptions", CAP_TRANSCRIPTION | CAP_TRANSLATION },
};

enum usage_kind usage_kind_find(const char *name)
{
    unsigned i = 0;
    while (i < USAGE_KIND_COUNT && strcmp(kinds[i].name, name) != 0)
        i++;
    return (enum usage_kind)i;
}

static enum usage_kind kind_of_model(const struct catalog *c, const char *name)
{
    static const struct catalog_scope everywhere = { .whole = true };
    const struct catalog_model *m =
        catalog_find(c, &everywhere, (struct span){ name, strlen(name) });
    unsigned i = USAGE_COMPLETIONS;
    while (m && i < USAGE_KIND_COUNT && !(m->capabilities & kinds[i].capabilities))
        i++;
    return (enum usage_kind)i;
}

/* ---- what a result says -------------------------------------------------------------------- */

#define OF(KIND) (1U << USAGE_##KIND)
#define TOKENS_UNCACHED                                                            \
    (METER_BIT(INPUT_UNCACHED) | METER_BIT(INPUT_AUDIO) | METER_BIT(INPUT_IMAGE) | \
     METER_BIT(INPUT_VIDEO))

static const struct usage_field {
    const char *name;
    unsigned kinds;
    uint32_t meters; /* added up */
    int64_t unit;    /* so much of them is one */
} fields[] = {
    { "input_tokens", OF(COMPLETIONS) | OF(EMBEDDINGS) | OF(MODERATIONS), METERS_TOKENS_IN, 1 },
    { "input_cached_tokens", OF(COMPLETIONS), METER_BIT(INPUT_CACHED), 1 },
    { "input_cache_write_tokens", OF(COMPLETIONS),
      METER_BIT(INPUT_CACHE_WRITE) | METER_BIT(INPUT_CACHE_WRITE_1H), 1 },
    { "input_uncached_tokens", OF(COMPLETIONS), TOKENS_UNCACHED, 1 },
    { "input_text_tokens", OF(COMPLETIONS), METER_BIT(INPUT_UNCACHED), 1 },
    { "input_audio_tokens", OF(COMPLETIONS), METER_BIT(INPUT_AUDIO), 1 },
    { "input_image_tokens", OF(COMPLETIONS), METER_BIT(INPUT_IMAGE), 1 },
    { "output_tokens", OF(COMPLETIONS), METERS_TOKENS_OUT, 1 },
    { "output_text_tokens", OF(COMPLETIONS), METER_BIT(OUTPUT_TEXT) | METER_BIT(OUTPUT_REASONING),
      1 },
    { "output_audio_tokens", OF(COMPLETIONS), METER_BIT(OUTPUT_AUDIO), 1 },
    { "output_image_tokens", OF(COMPLETIONS), METER_BIT(OUTPUT_IMAGE), 1 },
    { "images", OF(IMAGES), METER_BIT(IMAGES), 1 },
    { "characters", OF(SPEECHES), METER_BIT(CHARACTERS), 1 },
    { "seconds", OF(TRANSCRIPTIONS), METER_BIT(AUDIO_MS), 1000 },
    { "x_milliseconds", OF(TRANSCRIPTIONS), METER_BIT(AUDIO_MS), 1 },
};

static void put(struct page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct page *p, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    p->ok = p->ok && buf_vprintf(p->out, fmt, args);
    va_end(args);
}

/* "" is null. */
static void put_name(struct page *p, const char *key, const char *name)
{
    AUTO(json_decref_ptr) json_t *text = *name ? json_string(name) : json_null();
    AUTO(free_ptr) char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    p->ok = p->ok && quoted;
    put(p, ",\"%s\":%s", key, quoted ? quoted : "null");
}

static int64_t sum_of(const struct group *g, uint32_t meters)
{
    int64_t sum = 0;
    for (unsigned m = 0; m < METER_COUNT; m++)
        if (meters >> m & 1 && __builtin_add_overflow(sum, g->qty[m], &sum))
            return INT64_MAX;
    return sum;
}

static void put_usage(struct page *p)
{
    enum usage_kind kind = p->query->kind;
    put(p, "{\"object\":\"organization.usage.%s.result\"", kinds[kind].name);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].kinds >> kind & 1)
            put(p, ",\"%s\":%" PRId64, fields[i].name,
                sum_of(&p->group, fields[i].meters) / fields[i].unit);
    put(p, ",\"num_model_requests\":%" PRId64, p->group.requests);
    put_name(p, "model", p->group.name[MODEL]);
    if (kind == USAGE_IMAGES)
        put(p, ",\"source\":null,\"size\":null");
    if (kind == USAGE_COMPLETIONS)
        put(p, ",\"batch\":null,\"service_tier\":null");
}

/* OpenAI's word for the unit, and how many of ours it is; a unit of our own has none. */
static const struct cost_unit {
    const char *ours, *theirs;
    int64_t unit;
} cost_units[] = {
    { "token", "tokens", 1 },
    { "image", "images", 1 },
    { "character", "characters", 1 },
    { "millisecond", "duration_seconds", 1000 },
};

static void put_quantity(struct page *p, enum meter meter)
{
    int64_t qty = p->group.qty[meter];
    const struct cost_unit *u = NULL;
    for (size_t i = 0; i < sizeof cost_units / sizeof *cost_units; i++)
        if (strcmp(cost_units[i].ours, meter_unit(meter)) == 0)
            u = &cost_units[i];
    if (u && u->unit > 1)
        put(p, ",\"quantity\":%" PRId64 ".%03" PRId64, qty / u->unit, qty % u->unit);
    else
        put(p, ",\"quantity\":%" PRId64, qty);
    put_name(p, "quantity_unit", u ? u->theirs : "");
}

static void put_cost(struct page *p)
{
    const struct group *g = &p->group;
    char owed[MONEY_TEXT_BYTES], covered[MONEY_TEXT_BYTES], item[NAME_BYTES + 64] = "";
    bool line = g->meter >= 0;
    put(p,
        "{\"object\":\"organization.costs.result\",\"amount\":{\"value\":%s,\"currency\":\"%s\"}",
        money_text((money_t){ g->atoms - g->covered }, 2, owed), p->currency);
    put(p, ",\"x_covered\":\"%s\"", money_text((money_t){ g->covered }, 2, covered));
    if (line) {
        snprintf(item, sizeof item, "%s, %s", g->name[MODEL], meter_name((enum meter)g->meter));
        put_quantity(p, (enum meter)g->meter);
    } else {
        put(p, ",\"quantity\":null,\"quantity_unit\":null");
    }
    put_name(p, "line_item", item);
}

static void end_group(struct page *p)
{
    if (p->results == 0)
        return;
    if (p->results > 1)
        put(p, ",");
    if (p->query->kind == USAGE_COSTS)
        put_cost(p);
    else
        put_usage(p);
    put_name(p, "project_id", p->group.name[PROJECT]);
    put_name(p, "user_id", "");
    put_name(p, "api_key_id", p->group.name[KEY]);
    put(p, "}");
}

/* ---- reading a bucket ---------------------------------------------------------------------- */

static bool same_group(const struct page *p, struct db_stmt *s)
{
    int64_t meter = db_col_null(s, LINE_METER) ? -1 : db_col_int(s, LINE_METER);
    for (int i = 0; i < GROUPS; i++) {
        const char *name = db_col_text(s, i, NULL);
        if (strcmp(p->group.name[i], name ? name : "") != 0)
            return false;
    }
    return p->results > 0 && p->group.meter == meter;
}

static void begin_group(struct page *p, struct db_stmt *s)
{
    end_group(p);
    p->results++;
    p->group =
        (struct group){ .meter = db_col_null(s, LINE_METER) ? -1 : db_col_int(s, LINE_METER) };
    for (int i = 0; i < GROUPS; i++) {
        const char *name = db_col_text(s, i, NULL);
        snprintf(p->group.name[i], NAME_BYTES, "%s", name ? name : "");
    }
}

static enum status add_row(struct page *p, struct db_stmt *s)
{
    const struct usage_page_query *q = p->query;
    const char *model = db_col_text(s, ANY_MODEL, NULL);
    int64_t meter = db_col_int(s, METER);
    struct group *g = &p->group;
    if (!model || meter < 0 || meter >= METER_COUNT)
        return STATUS_INTERNAL;
    if (q->kind != USAGE_COSTS && kind_of_model(q->catalog, model) != q->kind)
        return STATUS_OK;
    if (!same_group(p, s))
        begin_group(p, s);
    if (__builtin_add_overflow(g->qty[meter], db_col_int(s, QTY), &g->qty[meter]) ||
        __builtin_add_overflow(g->requests, db_col_int(s, REQUESTS), &g->requests) ||
        __builtin_add_overflow(g->atoms, db_col_int(s, ATOMS), &g->atoms) ||
        __builtin_add_overflow(g->covered, db_col_int(s, COVERED), &g->covered))
        return STATUS_BILLING_OVERFLOW;
    return p->results > RESULTS_MAX ? STATUS_TOO_LARGE_FOR_LIMIT
           : p->ok                  ? STATUS_OK
                                    : STATUS_NO_MEMORY;
}

static enum status read_bucket(struct db *db, struct page *p, int64_t from_us)
{
    const struct usage_page_query *q = p->query;
    struct db_stmt *s = db_prepare(db, sql_bucket);
    if (!s)
        return db_status(db);
    db_int(s, 1, from_us);
    db_int(s, 2, from_us + q->width_us);
    db_int(s, 3, q->project);
    db_text(s, 4, q->projects, -1);
    db_text(s, 5, q->keys, -1);
    db_text(s, 6, q->models, -1);
    db_int(s, 7, q->group);
    p->results = 0;
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = add_row(p, s);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    if (!status)
        end_group(p);
    return status;
}

static enum status put_bucket(struct db *db, struct page *p, int64_t from_us)
{
    int64_t first = p->query->first_us;
    put(p,
        "%s{\"object\":\"bucket\",\"start_time\":%" PRId64 ",\"end_time\":%" PRId64
        ",\"results\":[",
        from_us > first ? "," : "", from_us / 1000000, (from_us + p->query->width_us) / 1000000);
    enum status s = read_bucket(db, p, from_us);
    put(p, "]}");
    return s;
}

static enum status read_currency(struct db *db, struct page *p)
{
    struct db_stmt *s = db_prepare(db, sql_currency);
    if (!s)
        return db_status(db);
    enum db_row row = db_step(s);
    const char *text = row == DB_ROW ? db_col_text(s, 0, NULL) : NULL;
    for (size_t i = 0; text && text[i] && i + 1 < sizeof p->currency; i++)
        p->currency[i] = (char)tolower((unsigned char)text[i]);
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

enum status usage_page(struct db *db, const struct usage_page_query *q, struct buf *out)
{
    struct page p = { .query = q, .out = out, .ok = true };
    int64_t at_us = q->first_us;
    enum status s = read_currency(db, &p);
    put(&p, "{\"object\":\"page\",\"data\":[");
    for (int64_t n = 0; !s && n < q->buckets && at_us < q->to_us && out->len < PAGE_FULL_BYTES;
         n++) {
        s = put_bucket(db, &p, at_us);
        at_us += q->width_us;
    }
    bool more = at_us < q->to_us;
    put(&p, "],\"has_more\":%s,\"next_page\":", more ? "true" : "false");
    if (more)
        put(&p, "\"page_%" PRId64 "\"}", at_us / 1000000);
    else
        put(&p, "null}");
    return s ? s : p.ok ? STATUS_OK : STATUS_NO_MEMORY;
}
