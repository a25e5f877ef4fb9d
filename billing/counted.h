/* billing/counted.h -- how many units of each price an organisation has used in its period,
 * for the prices that depend on it (tiers, packages, what is included: rule R4).
 *
 * The ledger thread's alone; rebuilt from the roll-ups at start.  A price keeps its count
 * when another version of the book changes its amounts (rule R5): price_series.
 */
#ifndef MAAS_COUNTED_H
#define MAAS_COUNTED_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

struct counted_key {
    int64_t organization, model; /* row ids */
    uint64_t series;
};

struct counted { /* open addressing; a key without organisation is an empty slot */
    struct counted_row {
        struct counted_key key;
        int64_t period_from_us; /* which period the units are of */
        int64_t units;
    } * rows;
    size_t room, count;
};

void counted_free(struct counted *c);
/* What was used in the periods that now_us lies in; once, into an empty table. */
MUST_CHECK enum status counted_load(struct counted *c, struct db *db, int64_t now_us);
/* 0 when nothing was used in that period. */
int64_t counted_units(const struct counted *c, const struct counted_key *k, int64_t period_from_us);
/* Room for a key, so that counted_add cannot fail.  False: no memory. */
MUST_CHECK bool counted_reserve(struct counted *c, const struct counted_key *k);
/* A reserved key; another period than before begins at 0. */
void counted_add(struct counted *c, const struct counted_key *k, int64_t period_from_us,
                 int64_t units);
void counted_take_back(struct counted *c, const struct counted_key *k, int64_t period_from_us,
                       int64_t units);
#endif
