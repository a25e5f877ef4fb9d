/* billing/share.h -- what of a line belongs to whom: the base's vendor, the builder of
 * the industry model, the house (rule R9, vector V11).
 *
 * Amounts in minor units, shares in basis points.  Pure arithmetic, any thread.
 */
#ifndef MAAS_SHARE_H
#define MAAS_SHARE_H
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

enum { SHARE_WHOLE_BASIS_POINTS = 10000 };

/* The parts of one invoiced line; they add up to it exactly.  Whoever stands first gets
 * the unit that a tie leaves over.  BAD_FIELD: the shares, the house's own among them,
 * are not 10000 in all, or one is negative. */
MUST_CHECK enum status share_split(int64_t minor, const int64_t *basis_points, size_t count,
                                   int64_t *part);

/* A credit note takes shares back in the proportion in which they are still held: no
 * party ever returns more than it has, and when all of a line is credited, nothing is
 * left.  held: of each party, shared and not yet returned.  BAD_FIELD: the credit is
 * negative or more than all that is held; OK with zeros for a credit of 0. */
MUST_CHECK enum status share_return(int64_t credit_minor, const int64_t *held, size_t count,
                                    int64_t *part);
#endif
