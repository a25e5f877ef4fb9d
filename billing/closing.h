/* billing/closing.h -- what a period costs beside usage, once it has ended: the fee of a
 * subscription, reserved capacity, what is missing to a minimum.
 *
 * Computed from the contracts of the period, each for the days that it was in force
 * (rule R10).  A draft shows it; issuing writes it as charges.
 */
#ifndef MAAS_CLOSING_H
#define MAAS_CLOSING_H
#include "billing/contract.h"
#include "billing/zone.h"

enum { CLOSING_CHARGES_MAX = 64, CLOSING_TEXT_BYTES = 200 };

struct closing_charge {
    const char *kind;              /* static: subscription, reserved, minimum */
    char text[CLOSING_TEXT_BYTES]; /* with the numbers that it comes to */
    int64_t atoms;
    bool deferred; /* a year's fee */
};

struct closing {
    struct closing_charge charge[CLOSING_CHARGES_MAX];
    unsigned count;
};

/* used_atoms: what was used in the period, rated, whoever paid for it.
 * BAD_FIELD: more contracts and capacities than a period can have. */
MUST_CHECK enum status closing_compute(struct db *db, int64_t organization, const struct zone *z,
                                       int64_t from_us, int64_t to_us, int64_t used_atoms,
                                       struct closing *ret);
/* Writes them as charges of the period's last instant, and what of deferred fees the period has
 * earned.  Inside the call that closes the period. */
MUST_CHECK enum status closing_write(struct db *db, int64_t organization, const struct zone *z,
                                     int64_t from_us, int64_t to_us, const struct closing *c,
                                     int64_t now_us);
#endif
