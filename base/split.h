/* base/split.h -- a whole cut into parts by weight, to the last unit (billing rule R9).
 *
 * Each part is first whole * weight / sum of weights, cut off towards zero; what is
 * then left goes, one unit each, to the parts that lost most, among equals to the
 * lowest index.  The parts always add up to the whole.  A negative whole is cut as
 * its size is, and every part is negative.
 */
#ifndef MAAS_SPLIT_H
#define MAAS_SPLIT_H
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

enum { SPLIT_PARTS_MAX = 1 << 20 };

/* `count` weights, none negative, not all 0; `part` has room for as many.
 * BAD_FIELD: not so, or whole is INT64_MIN; NO_MEMORY: more parts than fit the stack. */
MUST_CHECK enum status split_whole(int64_t whole, const int64_t *weight, size_t count,
                                   int64_t *part);
#endif
