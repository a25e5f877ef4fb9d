/* billing/rollup.c -- a small hash table with a dense list of rows behind it, so
 * that emptying it costs what was in it. */
#include "billing/rollup.h"
#include "base/db.h"
#include <assert.h>
#include <string.h>

static const char sql_add[] =
    "INSERT INTO usage_rollup VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)"
    " ON CONFLICT DO UPDATE SET qty = qty + excluded.qty, requests = requests + excluded.requests,"
    " atoms = atoms + excluded.atoms, covered_atoms = covered_atoms + excluded.covered_atoms";

static unsigned hash(const struct rollup_key *k)
{
    uint64_t h = (uint64_t)k->project;
    const int64_t more[] = { k->key, k->model, k->meter, k->price_version, k->item, k->period };
    for (unsigned i = 0; i < sizeof more / sizeof *more; i++)
        h = (h ^ (uint64_t)more[i]) * UINT64_C(0x9E3779B97F4A7C15);
    return (unsigned)(h >> 48) % ROLLUP_SLOTS;
}

static uint16_t *slot_for(struct rollup *r, const struct rollup_key *key)
{
    unsigned i = hash(key);
    while (r->slot[i] && memcmp(&r->row[r->slot[i] - 1].key, key, sizeof *key) != 0)
        i = (i + 1) % ROLLUP_SLOTS;
    return &r->slot[i];
}

struct rollup_row *rollup_row(struct rollup *r, const struct rollup_key *key)
{
    uint16_t *slot = slot_for(r, key);
    if (!*slot) {
        if (r->rows == ROLLUP_ROWS)
            return NULL;
        r->row[r->rows] = (struct rollup_row){ .key = *key };
        *slot = (uint16_t)++r->rows;
    }
    return &r->row[*slot - 1];
}

static enum status add(struct db_stmt *s, int64_t hour_us, const struct rollup_row *row)
{
    db_int(s, 1, hour_us);
    db_int(s, 2, row->key.project);
    db_int(s, 3, row->key.key);
    db_int(s, 4, row->key.model);
    db_int(s, 5, row->key.meter);
    db_int(s, 6, row->key.price_version);
    db_int(s, 7, row->key.item);
    db_int(s, 8, row->key.period);
    db_int(s, 9, row->qty);
    db_int(s, 10, row->requests);
    db_int(s, 11, row->atoms);
    db_int(s, 12, row->covered);
    return db_run(s);
}

enum status rollup_write(struct rollup *r, struct db *db, int64_t hour_us)
{
    struct db_stmt *s = r->rows ? db_prepare(db, sql_add) : NULL;
    enum status status = r->rows && !s ? db_status(db) : STATUS_OK;
    for (unsigned i = 0; i < r->rows && !status; i++)
        status = add(s, hour_us, &r->row[i]);
    rollup_clear(r);
    return status;
}

void rollup_clear(struct rollup *r)
{
    /* Newest first: a row was put behind older ones only, so its way to its slot is still whole. */
    while (r->rows > 0)
        *slot_for(r, &r->row[--r->rows].key) = 0;
}
