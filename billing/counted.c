/* billing/counted.c -- see counted.h. */
#include "billing/counted.h"
#include "base/db.h"
#include "billing/pricebook.h"
#include "billing/tally.h"
#include <assert.h>
#include <stdlib.h>

/* A period has at most 31 days: the hours before that need not be looked at. */
static const char sql_used[] =
    "SELECT p.organization, r.model, r.price_version, r.meter, r.item, p.starts_us, sum(r.qty)"
    " FROM usage_rollup r JOIN billing_period p ON p.id = r.period"
    " WHERE r.hour_us >= ?1 - 2764800000000 AND p.starts_us <= ?1 AND p.ends_us > ?1"
    " GROUP BY 1, 2, 3, 4, 5";
static const char sql_books[] = "SELECT id, text FROM price_version WHERE id IN (SELECT DISTINCT"
                                " r.price_version FROM usage_rollup r"
                                " WHERE r.hour_us >= ?1 - 2764800000000)";
static const char sql_model[] = "SELECT id FROM name WHERE name = ?1";

/* ---- the table ----------------------------------------------------------------------------- */

static size_t hash(const struct counted_key *k)
{
    uint64_t h = k->series ^ (uint64_t)k->organization * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ (uint64_t)k->model) * UINT64_C(0xFF51AFD7ED558CCD);
    return (size_t)(h >> 32);
}

static struct counted_row *slot_for(struct counted_row *rows, size_t room,
                                    const struct counted_key *k)
{
    size_t i = hash(k) & (room - 1);
    while (rows[i].key.organization &&
           (rows[i].key.organization != k->organization || rows[i].key.model != k->model ||
            rows[i].key.series != k->series))
        i = (i + 1) & (room - 1);
    return &rows[i];
}

static bool grow(struct counted *c)
{
    size_t room = c->room ? c->room * 2 : 64;
    struct counted_row *rows = calloc(room, sizeof *rows);
    if (!rows)
        return false;
    for (size_t i = 0; i < c->room; i++)
        if (c->rows[i].key.organization)
            *slot_for(rows, room, &c->rows[i].key) = c->rows[i];
    free(c->rows);
    c->rows = rows;
    c->room = room;
    return true;
}

void counted_free(struct counted *c)
{
    free(c->rows);
    *c = (struct counted){ 0 };
}

bool counted_reserve(struct counted *c, const struct counted_key *k)
{
    assert(k->organization > 0);
    if (c->count * 2 >= c->room && !grow(c))
        return false;
    struct counted_row *row = slot_for(c->rows, c->room, k);
    if (!row->key.organization) {
        row->key = *k;
        c->count++;
    }
    return true;
}

int64_t counted_units(const struct counted *c, const struct counted_key *k, int64_t period_from_us)
{
    const struct counted_row *row = c->room ? slot_for(c->rows, c->room, k) : NULL;
    bool now = row && row->key.organization && row->period_from_us == period_from_us;
    return now ? row->units : 0;
}

void counted_add(struct counted *c, const struct counted_key *k, int64_t period_from_us,
                 int64_t units)
{
    struct counted_row *row = slot_for(c->rows, c->room, k);
    assert(row->key.organization);
    if (row->period_from_us != period_from_us) {
        row->period_from_us = period_from_us;
        row->units = 0;
    }
    bool overflow = __builtin_add_overflow(row->units, units, &row->units);
    assert(!overflow); /* the evaluator has added the same two */
}

void counted_take_back(struct counted *c, const struct counted_key *k, int64_t period_from_us,
                       int64_t units)
{
    struct counted_row *row = slot_for(c->rows, c->room, k);
    if (row->key.organization && row->period_from_us == period_from_us)
        row->units -= units;
}

/* ---- from the rows ------------------------------------------------------------------------- */

static enum status model_id(struct db *db, struct span model, int64_t *ret)
{
    struct db_stmt *s = db_prepare(db, sql_model);
    if (!s)
        return db_status(db);
    db_text(s, 1, model.at, (ptrdiff_t)model.len);
    return db_first_int(db, s, ret);
}

/* The prices of a book that are counted: (version, model, meter, item) -> series. */
static enum status read_book(struct db *db, int64_t version, const char *text, struct tally *series)
{
    struct pricebook_line line = { .number = 0 };
    bool bad;
    while (pricebook_next(&text, &line, &bad)) {
        int64_t model = 0;
        if (!price_item_periodic(&line.item))
            continue;
        enum status s = model_id(db, line.model, &model);
        struct tally_row *row = tally_row(
            series, (int64_t[TALLY_KEYS]){ version, model, line.item.meter, line.number });
        if (s || !row)
            return s ? s : STATUS_NO_MEMORY;
        row->sum[0] = (int64_t)price_series(&line.item);
    }
    return STATUS_OK; /* what cannot be read, the audit tells */
}

static enum status read_books(struct db *db, int64_t now_us, struct tally *series)
{
    struct db_stmt *s = db_prepare(db, sql_books);
    if (!s)
        return db_status(db);
    db_int(s, 1, now_us);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = read_book(db, db_col_int(s, 0), db_col_text(s, 1, NULL), series);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

static enum status take_used(struct counted *c, struct db_stmt *s, const struct tally *series)
{
    const struct tally_row *counts =
        tally_find(series, (int64_t[TALLY_KEYS]){ db_col_int(s, 2), db_col_int(s, 1),
                                                  db_col_int(s, 3), db_col_int(s, 4) });
    if (!counts)
        return STATUS_OK;
    const struct counted_key k = { db_col_int(s, 0), db_col_int(s, 1), (uint64_t)counts->sum[0] };
    if (!counted_reserve(c, &k))
        return STATUS_NO_MEMORY;
    counted_add(c, &k, db_col_int(s, 5), db_col_int(s, 6));
    return STATUS_OK;
}

enum status counted_load(struct counted *c, struct db *db, int64_t now_us)
{
    struct tally series = { 0 };
    enum status status = read_books(db, now_us, &series);
    struct db_stmt *s = status ? NULL : db_prepare(db, sql_used);
    if (!status && !s)
        status = db_status(db);
    if (s)
        db_int(s, 1, now_us);
    enum db_row row = DB_DONE;
    while (s && !status && (row = db_step(s)) == DB_ROW)
        status = take_used(c, s, &series);
    if (row == DB_FAILED)
        status = db_status(db);
    if (s)
        db_reset(s);
    tally_free(&series);
    return status;
}
