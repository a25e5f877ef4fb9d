/* billing/rollup.c -- a small hash table with a dense list of rows behind it, so
 * that emptying it costs what was in it. */
#include "billing/rollup.h"
#include "base/db.h"
#include <assert.h>
#include <string.h>

/* Nearly every row is there already, and an upsert would run the trigger and the foreign key of a new
 * one for it, and keep a journal of its own for them; so the period is looked at by itself. */
static const char sql_closed[] = "SELECT closed_us FROM billing_period WHERE id = ?1";
static const char sql_add[] =
    "UPDATE usage_rollup SET qty = qty + ?12, requests = requests + ?13, atoms = atoms + ?14,"
    " covered_atoms = covered_atoms + ?15 WHERE hour_us = ?1 AND project = ?2 AND key = ?3"
    " AND model = ?4 AND meter = ?5 AND price_version = ?6 AND item = ?7 AND period = ?8"
    " AND endpoint = ?9 AND tier = ?10 AND long_context = ?11";
static const char sql_new[] =
    "INSERT INTO usage_rollup VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)";

const char *rollup_tier_name(enum rollup_tier t)
{
    static const char *const names[TIER_COUNT] = { "standard", "flex", "priority" };
    assert((unsigned)t < TIER_COUNT);
    return names[t];
}

static unsigned hash(const struct rollup_key *k)
{
    uint64_t h = (uint64_t)k->project;
    const int64_t more[] = { k->key,  k->model,  k->meter, k->price_version,
                             k->item, k->period, k->how };
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

static enum status run(struct db_stmt *s, int64_t hour_us, const struct rollup_row *row)
{
    db_int(s, 1, hour_us);
    db_int(s, 2, row->key.project);
    db_int(s, 3, row->key.key);
    db_int(s, 4, row->key.model);
    db_int(s, 5, row->key.meter);
    db_int(s, 6, row->key.price_version);
    db_int(s, 7, row->key.item);
    db_int(s, 8, row->key.period);
    db_text(s, 9, endpoint_name((enum endpoint)(row->key.how & 0xff)), -1);
    db_text(s, 10, rollup_tier_name((enum rollup_tier)(row->key.how >> 8 & 0xff)), -1);
    db_int(s, 11, row->key.how >> 16);
    db_int(s, 12, row->qty);
    db_int(s, 13, row->requests);
    db_int(s, 14, row->atoms);
    db_int(s, 15, row->covered);
    return db_run(s);
}

static enum status add(struct db *db, struct db_stmt *to, int64_t hour_us,
                       const struct rollup_row *row)
{
    enum status s = run(to, hour_us, row);
    if (s || db_changes(db) > 0)
        return s;
    to = db_prepare(db, sql_new);
    return to ? run(to, hour_us, row) : db_status(db);
}

/* BAD_FIELD: the period is closed, as the trigger of a new row says. */
static enum status check_open(struct db *db, int64_t period)
{
    struct db_stmt *s = db_prepare(db, sql_closed);
    if (!s)
        return db_status(db);
    int64_t closed_us;
    db_int(s, 1, period);
    enum status status = db_first_int(db, s, &closed_us);
    return !status && closed_us ? STATUS_BAD_FIELD : status;
}

enum status rollup_write(struct rollup *r, struct db *db, int64_t hour_us)
{
    struct db_stmt *to = r->rows ? db_prepare(db, sql_add) : NULL;
    enum status s = r->rows && !to ? db_status(db) : STATUS_OK;
    int64_t open = 0; /* the period that was looked at last: rows of one stand together */
    for (unsigned i = 0; i < r->rows && !s; i++) {
        const struct rollup_row *row = &r->row[i];
        if (row->key.period != open)
            s = check_open(db, open = row->key.period);
        if (!s)
            s = add(db, to, hour_us, row);
    }
    rollup_clear(r);
    return s;
}

void rollup_clear(struct rollup *r)
{
    /* Newest first: a row was put behind older ones only, so its way to its slot is still whole. */
    while (r->rows > 0)
        *slot_for(r, &r->row[--r->rows].key) = 0;
}
