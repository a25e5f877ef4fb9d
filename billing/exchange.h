/* billing/exchange.h -- an amount of a document in another currency (rule R12).
 *
 * Books are kept in the contract's currency; a document may show both amounts, by a
 * rate that is stored with it.  The rate is a fraction, so that "7.1234" is exactly
 * 71234/10000.  Pure arithmetic, any thread.
 */
#ifndef MAAS_EXCHANGE_H
#define MAAS_EXCHANGE_H
#include "base/status.h"
#include <stdint.h>

struct exchange_rate {
    int64_t num, den;           /* units of the other currency for one of ours; both > 0 */
    int from_digits, to_digits; /* digits after the point of each currency, 0 to 10 */
};

/* Minor units to minor units, half away from zero.  BAD_FIELD: no rate, or digits out of
 * range; BILLING_OVERFLOW: beyond what money can hold. */
MUST_CHECK enum status exchange(int64_t minor, const struct exchange_rate *rate, int64_t *ret);
#endif
