/* billing/line_requests.c -- see line_requests.h. */
#include "billing/line_requests.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/file.h"
#include "base/usage.h"
#include "billing/decimal.h"
#include "billing/document_inside.h"
#include "billing/minutes.h"
#include "billing/period.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SCAN_MAX = 100000, ARCHIVE_DEADLINE_MS = 5000 };

static const char sql_period[] =
    "SELECT d.organization, p.starts_us, p.ends_us, coalesce(a.month, ''), o.reseller IS NOT NULL"
    " FROM document d JOIN organization o ON o.id = d.organization"
    " JOIN billing_period p ON p.id = d.period LEFT JOIN archive a ON a.id = p.archive"
    " WHERE d.number = ?1 AND d.type = 380";
static const char sql_digest[] = "SELECT lower(hex(sha256)) FROM price_version WHERE id = ?1";
static const char sql_scan_end[] =
    "SELECT coalesce((SELECT rid FROM settlement WHERE rid >= ?1 AND rid < ?2 ORDER BY rid"
    " LIMIT 1 OFFSET ?3), ?2)";

/* ?1, ?2: ids; ?3: the organization; ?4, ?5: the period.  `of` is the leg that is told. */
#define ROWS_SQL(of, join)                                                                    \
    "SELECT s.rid, s.settled_us, p.slug, coalesce(k.name, ''), s.endpoint, s.outcome,"        \
    " s.evidence, n.name, " of ".price_version, l.value ->> 0, l.value ->> 1, l.value ->> 2," \
    " coalesce(l.value ->> 3, 0), coalesce(l.value ->> 4, 0) FROM settlement s" join          \
    " CROSS JOIN project p ON p.id = " of ".project AND p.organization = ?3"                  \
    " CROSS JOIN name n ON n.id = " of ".model CROSS JOIN json_each(" of ".lines) l"          \
    " LEFT JOIN api_key k ON k.id = s.key WHERE s.rid >= ?1 AND s.rid < ?2"                   \
    " AND s.settled_us >= ?4 AND s.settled_us < ?5 AND l.type = 'array'"                      \
    " AND (l.value ->> 1 > 0 OR l.value ->> 2 > 0) ORDER BY s.rid, l.key"

static const char sql_rows[] = ROWS_SQL("s", "");
static const char sql_resold_rows[] = ROWS_SQL("x", " CROSS JOIN resale x ON x.rid = s.rid");

struct work {
    struct db *db, *source; /* the store, and where the requests are: it, or an archive's */
    struct db *archive;     /* owned; NULL: not needed */
    const struct line_requests_query *q;
    json_t *document, *lines, *data; /* owned */
    int64_t organization, from_us, to_us;
    char month[16]; /* of the archive; "": none */
    bool resold;
    rid_t from, to, next; /* next: where the page after this one begins; 0: there is none */
    char *err;
};

static void work_clear(struct work *w)
{
    db_close(w->archive);
    json_decref(w->document);
    json_decref(w->lines);
    json_decref(w->data);
}

/* ---- the invoice --------------------------------------------------------------------------- */

static enum status read_period(struct work *w)
{
    struct db_stmt *s = db_prepare(w->db, sql_period);
    if (!s)
        return db_status(w->db);
    db_text(s, 1, w->q->number, -1);
    enum db_row row = db_step(s);
    if (row == DB_ROW) {
        w->organization = db_col_int(s, 0);
        w->from_us = db_col_int(s, 1);
        w->to_us = db_col_int(s, 2);
        snprintf(w->month, sizeof w->month, "%s", db_col_text(s, 3, NULL));
        w->resold = db_col_int(s, 4) != 0;
    }
    enum status status = row == DB_FAILED ? db_status(w->db) : STATUS_OK;
    db_reset(s);
    if (status || row == DB_ROW)
        return status;
    snprintf(w->err, 256, "'%.60s' is no invoice: only those have lines of usage", w->q->number);
    return STATUS_BAD_FIELD;
}

/* The digest of the book that the line's price is from. */
static enum status add_digest(const struct work *w, json_t *line)
{
    struct db_stmt *s = db_prepare(w->db, sql_digest);
    if (!s)
        return db_status(w->db);
    db_int(s, 1, json_integer_value(json_object_get(line, "price_version")));
    enum db_row row = db_step(s);
    enum status status = row == DB_FAILED ? db_status(w->db) : STATUS_OK;
    if (row == DB_ROW &&
        json_object_set_new(line, "price_sha256", json_string(db_col_text(s, 0, NULL))))
        status = STATUS_NO_MEMORY;
    db_reset(s);
    return status;
}

static enum status add_line(struct work *w, const json_t *line)
{
    static const char *const keys[] = { "line",    "model",         "meter",      "item",
                                        "unit",    "unit_price",    "price_book", "quantity",
                                        "covered", "price_version", "exact" };
    json_t *told = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(line, keys[i]))
            json_object_set(told, keys[i], json_object_get(line, keys[i]));
    if (json_array_append_new(w->lines, told))
        return STATUS_NO_MEMORY;
    return add_digest(w, told);
}

static enum status choose_lines(struct work *w)
{
    size_t i;
    json_t *line;
    enum status s = STATUS_OK;
    json_array_foreach (json_object_get(w->document, "lines"), i, line) {
        const char *category = json_string_value(json_object_get(line, "category"));
        int64_t number = json_integer_value(json_object_get(line, "line"));
        if (!s && category && strcmp(category, "usage") == 0 &&
            (!w->q->line || w->q->line == number))
            s = add_line(w, line);
    }
    if (s || !w->q->line || json_array_size(w->lines) > 0)
        return s;
    snprintf(w->err, 256, "%.60s has no line %" PRId64 " of usage: no requests are behind it",
             w->q->number, w->q->line);
    return STATUS_BAD_FIELD;
}

/* ---- where its requests are ---------------------------------------------------------------- */

static enum status open_source(struct work *w)
{
    char dir[FILE_PATH_BYTES], path[FILE_PATH_BYTES], name[32], why[256] = "its path is too long";
    w->source = w->db;
    if (!*w->month)
        return STATUS_OK;
    snprintf(name, sizeof name, "%s.db", w->month);
    bool fits = file_path(dir, w->q->state_dir, "archive") && file_path(path, dir, name);
    enum status s = fits ? db_open(path, DB_READER, &w->archive, why) : STATUS_STORE_FAILED;
    if (s) {
        snprintf(w->err, 256, "its requests are in archive/%.32s of the state_dir, and: %.160s",
                 name, why);
        return STATUS_STORE_FAILED;
    }
    db_deadline(w->archive, ARCHIVE_DEADLINE_MS);
    w->source = w->archive;
    return STATUS_OK;
}

static enum status find_ids(struct work *w)
{
    rid_t first = 0, end = 0;
    enum status s = minutes_ids(w->source, w->from_us - w->from_us % MINUTE_US,
                                w->to_us + MINUTE_US - 1, &first, &end);
    w->from = first;
    if (!s && w->q->after && !rid_parse(w->q->after, &w->from)) {
        snprintf(w->err, 256, "'%.40s' is not the next_page of an earlier answer", w->q->after);
        return STATUS_BAD_FIELD;
    }
    if (w->from < first)
        w->from = first;
    struct db_stmt *scan = s ? NULL : db_prepare(w->source, sql_scan_end);
    if (!scan)
        return s ? s : db_status(w->source);
    db_int(scan, 1, w->from);
    db_int(scan, 2, end);
    db_int(scan, 3, SCAN_MAX);
    s = db_first_int(w->source, scan, &w->to);
    w->next = w->to < end ? w->to : 0;
    return s;
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* 0: of none that is asked for. */
static int64_t line_of(const struct work *w, struct db_stmt *s)
{
    size_t i;
    json_t *line;
    int64_t meter = db_col_int(s, 9);
    json_array_foreach (w->lines, i, line) {
        const char *model = json_string_value(json_object_get(line, "model"));
        const char *name = json_string_value(json_object_get(line, "meter"));
        if (json_integer_value(json_object_get(line, "price_version")) == db_col_int(s, 8) &&
            json_integer_value(json_object_get(line, "item")) == db_col_int(s, 12) && model &&
            strcmp(model, db_col_text(s, 7, NULL)) == 0 && name &&
            (int64_t)meter_find(name) == meter)
            return json_integer_value(json_object_get(line, "line"));
    }
    return 0;
}

static json_t *row_json(struct db_stmt *s, int64_t line)
{
    char id[RID_TEXT_BYTES], at[PERIOD_TEXT_BYTES], amount[DECIMAL_TEXT_BYTES];
    json_t *row = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "request",
        rid_text(db_col_int(s, 0), id), "settled_at", period_instant_text(db_col_int(s, 1), at),
        "project", db_col_text(s, 2, NULL), "key", db_col_text(s, 3, NULL), "endpoint",
        db_col_text(s, 4, NULL), "outcome", db_col_text(s, 5, NULL), "evidence",
        db_col_text(s, 6, NULL), "line", (json_int_t)line, "quantity",
        (json_int_t)db_col_int(s, 10), "amount", decimal_exact(db_col_int(s, 11), amount));
    if (db_col_int(s, 13) > 0)
        json_object_set_new(row, "before", json_integer(db_col_int(s, 13)));
    return row;
}

/* Up to the limit, and the rest of the last request. */
static enum status read_rows(struct work *w)
{
    struct db_stmt *s = db_prepare(w->source, w->resold ? sql_resold_rows : sql_rows);
    if (!s)
        return db_status(w->source);
    const int64_t values[] = { w->from, w->to, w->organization, w->from_us, w->to_us };
    for (int i = 0; i < 5; i++)
        db_int(s, i + 1, values[i]);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    rid_t last = 0;
    while (!status && (row = db_step(s)) == DB_ROW) {
        int64_t line = line_of(w, s);
        if (!line)
            continue;
        rid_t rid = db_col_int(s, 0);
        if ((int64_t)json_array_size(w->data) >= w->q->limit && rid != last) {
            w->next = rid;
            break;
        }
        last = rid;
        if (json_array_append_new(w->data, row_json(s, line)))
            status = STATUS_NO_MEMORY;
    }
    if (row == DB_FAILED)
        status = db_status(w->source);
    db_reset(s);
    return status;
}

static enum status read_page(struct work *w)
{
    enum status s = open_source(w);
    if (!s)
        s = find_ids(w);
    if (!s)
        s = read_rows(w);
    if (s && w->archive && !*w->err)
        snprintf(w->err, 256, "its requests are in the archive of %.16s, which cannot be read",
                 w->month);
    return s;
}

enum status line_requests(struct db *db, const struct line_requests_query *q, json_t **ret,
                          char err[static 256])
{
    AUTO(work_clear)
    struct work w = { .db = db, .q = q, .lines = json_array(), .data = json_array(), .err = err };
    char next[RID_TEXT_BYTES];
    *err = '\0';
    enum status s = document_find(db, q->number, &w.document);
    if (!s)
        s = read_period(&w);
    if (!s)
        s = choose_lines(&w);
    if (!s)
        s = read_page(&w);
    if (s)
        return s;
    *ret = json_pack("{s:s, s:s, s:O, s:O, s:O, s:b, s:s?}", "object", "list", "document",
                     q->number, "currency", json_object_get(w.document, "currency"), "lines",
                     w.lines, "data", w.data, "has_more", w.next != 0, "next_page",
                     w.next ? rid_text(w.next, next) : NULL);
    return *ret ? STATUS_OK : STATUS_NO_MEMORY;
}

/* ---- for a spreadsheet --------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool of_line; /* else of the request */
} columns[] = {
    { "request", false },      { "settled_at", false }, { "project", false },
    { "key", false },          { "endpoint", false },   { "outcome", false },
    { "evidence", false },     { "line", false },       { "model", true },
    { "meter", true },         { "unit", true },        { "unit_price", true },
    { "price_version", true }, { "price_book", true },  { "price_sha256", true },
    { "before", false },       { "quantity", false },   { "amount", false },
};
enum { COLUMNS = sizeof columns / sizeof *columns, CSV_BYTES_MAX = 16 << 20 };

static const json_t *line_named(const json_t *page, int64_t number)
{
    size_t i;
    const json_t *line;
    json_array_foreach (json_object_get(page, "lines"), i, line)
        if (json_integer_value(json_object_get(line, "line")) == number)
            return line;
    return NULL;
}

char *line_requests_csv(const json_t *page)
{
    AUTO(buf_free) struct buf b;
    buf_init(&b, CSV_BYTES_MAX);
    bool fits = true;
    for (size_t c = 0; c < COLUMNS; c++)
        fits = fits && document_csv_cell(&b, columns[c].name, c == 0);
    fits = fits && buf_text(&b, "\r\n");
    size_t i;
    const json_t *row;
    json_array_foreach (json_object_get(page, "data"), i, row) {
        int64_t number = json_integer_value(json_object_get(row, "line"));
        const json_t *line = line_named(page, number);
        for (size_t c = 0; c < COLUMNS; c++)
            fits = fits &&
                   document_csv_value(&b, columns[c].of_line ? line : row, columns[c].name, c == 0);
        fits = fits && buf_text(&b, "\r\n");
    }
    return fits ? buf_take(&b, NULL) : NULL;
}
