/* billing/prorate.h -- the part of a price that a part of a period costs (rule R10).
 *
 * Lengths are in whatever the contract counts: days for subscriptions, seconds for
 * technical capacity.  Pure arithmetic, any thread.  BAD_FIELD: a length that is
 * negative, a period of nothing, a part longer than its period, a negative price;
 * BILLING_OVERFLOW as elsewhere.  Output is untouched on failure.
 */
#ifndef MAAS_PRORATE_H
#define MAAS_PRORATE_H
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

/* price * used / period, half away from zero. */
MUST_CHECK enum status prorate(int64_t price, int64_t used, int64_t period, int64_t *ret);

/* A price over parts that follow one another and fill the period: their sum is the
 * price, so the last part is what the others left.  What is rounded is the price up to
 * the end of each part, so that no part is ever negative, however many there are. */
MUST_CHECK enum status prorate_parts(int64_t price, const int64_t *length, size_t count,
                                     int64_t *part);
#endif
