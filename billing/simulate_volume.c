/* billing/simulate_volume.c -- a simulated month is closed on both sides: what volume prices gave back
 * of what was charged, and what those of the other book would give back. */
#include "base/db.h"
#include "billing/simulate_inside.h"
#include "billing/volume.h"
#include <stdlib.h>
#include <string.h>

static const char sql_line[] = "SELECT v.text, n.name FROM price_version v JOIN name n"
                               " WHERE v.id = ?1 AND n.id = ?2";

enum { ORGANIZATION, PERIOD, MODEL, METER, VERSION, ITEM };

enum status simulate_charged(struct simulate *s, const struct simulate_request *r, int64_t meter,
                             int64_t item, int64_t qty, int64_t atoms)
{
    const struct tally_row *then =
        tally_find(&s->then, (int64_t[TALLY_KEYS]){ r->version, r->billed });
    if (!then || !(then->sum[2] >> meter & 1))
        return STATUS_OK;
    struct tally_row *row =
        tally_row(&s->volume, (int64_t[TALLY_KEYS]){ r->organization, r->period, r->billed, meter,
                                                     r->version, item });
    if (!row)
        return STATUS_NO_MEMORY;
    row->sum[0] += qty;
    row->sum[1] += atoms;
    return STATUS_OK;
}

static enum status note_then(struct simulate *s, const struct tally_row *row, struct volume *v)
{
    struct pricebook_line line;
    struct db_stmt *find = db_prepare(s->db, sql_line);
    if (!find)
        return db_status(s->db);
    db_int(find, 1, row->key[VERSION]);
    db_int(find, 2, row->key[MODEL]);
    enum status status = db_step(find) == DB_ROW ? STATUS_OK : STATUS_INTERNAL;
    if (!status && !pricebook_find(db_col_text(find, 0, NULL), db_col_text(find, 1, NULL),
                                   (enum meter)row->key[METER], (unsigned)row->key[ITEM], &line))
        status = STATUS_INTERNAL;
    if (!status)
        status = volume_note(v, &line, row->key[VERSION], row->sum[0], row->sum[1], 0, 0);
    db_reset(find);
    return status;
}

static enum status note_now(struct simulate *s, const struct tally_row *row, struct volume *v)
{
    const struct catalog_model *m =
        &simulate_book(s, row->key[ORGANIZATION])->models[row->key[MODEL]];
    struct pricebook_line line = { .model = { m->id, strlen(m->id) } };
    line.item = m->sheet->items[row->key[METER]]; /* here it is the item's place */
    memcpy(line.tiers, line.item.tiers, line.item.tier_count * sizeof *line.tiers);
    return volume_note(v, &line, 0, row->sum[0], row->sum[1], 0, 0);
}

static int64_t given_back(const struct volume *v)
{
    int64_t sum = 0;
    for (size_t i = 0; i < v->count; i++)
        sum += v->part[i].charged - v->part[i].due;
    return sum;
}

/* All rows of one organization, period and model, from the first of them on. */
static enum status close_group(struct simulate *s, struct tally *rows, size_t first,
                               enum status (*note)(struct simulate *s, const struct tally_row *row,
                                                   struct volume *v),
                               int64_t *ret)
{
    struct volume v = { NULL, 0, 0 };
    enum status status = STATUS_OK;
    const int64_t *key = rows->rows[first].key;
    for (size_t i = first; i < rows->room && !status; i++) {
        struct tally_row *row = &rows->rows[i];
        if (!row->used || row->seen || memcmp(row->key, key, (PERIOD + 2) * sizeof *key) != 0)
            continue;
        row->seen = true;
        status = note(s, row, &v);
    }
    if (!status)
        status = volume_close(&v);
    *ret = given_back(&v);
    volume_free(&v);
    return status;
}

static bool is_volume(const struct simulate *s, const struct tally_row *row)
{
    const struct price_sheet *sheet =
        simulate_book(s, row->key[ORGANIZATION])->models[row->key[MODEL]].sheet;
    return sheet->items[row->key[METER]].kind == PRICE_VOLUME;
}

enum status simulate_close_periods(struct simulate *s,
                                   enum status (*take)(void *arg, const struct simulate_back *b),
                                   void *arg)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < s->volume.room && !status; i++) {
        const struct tally_row *row = &s->volume.rows[i];
        struct simulate_back b = { row->key[ORGANIZATION], row->key[MODEL], 0, 0 };
        if (!row->used || row->seen)
            continue;
        status = close_group(s, &s->volume, i, note_then, &b.then);
        if (!status)
            status = take(arg, &b);
    }
    for (size_t i = 0; i < s->counts.room && !status; i++) {
        const struct tally_row *row = &s->counts.rows[i];
        if (!row->used || row->seen || !is_volume(s, row))
            continue;
        struct simulate_back b = { row->key[ORGANIZATION],
                                   s->books->book->models[row->key[MODEL]].db_id, 0, 0 };
        status = close_group(s, &s->counts, i, note_now, &b.now);
        if (!status)
            status = take(arg, &b);
    }
    return status;
}
