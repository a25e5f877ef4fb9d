/* base/ratio.h -- a * b / d in whole numbers: the one place where money is rounded.
 *
 * The product is exact (128 bits).  Ties go to the even neighbour (billing rule R1,
 * usage lines) or away from zero (R6, documents); everything else to the nearest.
 * BAD_FIELD: d is not positive.  BILLING_OVERFLOW: the result is beyond
 * RATIO_MAX.  A function that fails leaves its output untouched.  Pure, any thread.
 */
#ifndef MAAS_RATIO_H
#define MAAS_RATIO_H
#include "base/status.h"
#include <stdint.h>

#define RATIO_MAX INT64_C(9000000000000000000)

MUST_CHECK enum status ratio_half_even(int64_t a, int64_t b, int64_t d, int64_t *ret);
MUST_CHECK enum status ratio_half_up(int64_t a, int64_t b, int64_t d, int64_t *ret);
/* Towards plus infinity: how many packages of d hold a * b. */
MUST_CHECK enum status ratio_ceiling(int64_t a, int64_t b, int64_t d, int64_t *ret);
#endif
