/* billing/rollup.h -- what a batch adds to usage_rollup, gathered before it is
 * written: one write per batch and key, not one per request.  No allocation. */
#ifndef MAAS_ROLLUP_H
#define MAAS_ROLLUP_H
#include "base/status.h"
#include <stdint.h>

struct db;

enum { ROLLUP_SLOTS = 2048, ROLLUP_ROWS = 1024 }; /* half full at most */

struct rollup_key {
    int64_t project, key, model, meter, price_version, item, period;
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
