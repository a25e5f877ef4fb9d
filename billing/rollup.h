/* billing/rollup.h -- what a batch adds to usage_rollup, gathered before it is
 * written: one write per batch and key, not one per request.  No allocation. */
#ifndef MAAS_ROLLUP_H
#define MAAS_ROLLUP_H
#include "base/status.h"
#include "billing/names.h"
#include <stdbool.h>
#include <stdint.h>

struct db;

enum { ROLLUP_SLOTS = 2048, ROLLUP_ROWS = 1024 }; /* half full at most */

enum rollup_tier { TIER_STANDARD, TIER_FLEX, TIER_PRIORITY, TIER_COUNT };
const char *rollup_tier_name(enum rollup_tier t); /* as stored */
enum { ROLLUP_LONG_CONTEXT = 200000 }; /* a request with more input tokens has a long context */

/* How a model was called, in one number. */
static inline int64_t rollup_how(enum endpoint e, enum rollup_tier t, bool long_context)
{
    return (int64_t)e | (int64_t)t << 8 | (int64_t)long_context << 16;
}

struct rollup_key {
    int64_t project, key, model, meter, price_version, item, period, how;
};

struct rollup {
    struct rollup_row {
        struct rollup_key key;
        int64_t qty, requests, atoms, covered;
    } row[ROLLUP_ROWS];
    unsigned rows;
    uint16_t slot[ROLLUP_SLOTS]; /* index into row, plus 1; 0: empty */
};

/* The row to add to, new ones with zeros; NULL: full, rollup_write first. */
struct rollup_row *rollup_row(struct rollup *r, const struct rollup_key *key);
/* Adds all rows to the store's hour and empties the table; it is emptied also when that fails. */
MUST_CHECK enum status rollup_write(struct rollup *r, struct db *db, int64_t hour_us);
void rollup_clear(struct rollup *r);
#endif
