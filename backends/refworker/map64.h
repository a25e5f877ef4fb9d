/* backends/refworker/map64.h -- 64-bit keys to 32-bit values; filled once, then only read.
 * The key 0 and the value 0 do not exist: 0 is "not there". */
#ifndef REFWORKER_MAP64_H
#define REFWORKER_MAP64_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map64_slot {
    uint64_t key;
    uint32_t value;
};

struct map64 {
    struct map64_slot *slots;
    size_t mask, used;
};

MUST_CHECK bool map64_init(struct map64 *m, size_t expected); /* false: no memory */
void map64_free(struct map64 *m);
/* Grows as needed; false: no memory.  The key must not be there yet. */
MUST_CHECK bool map64_put(struct map64 *m, uint64_t key, uint32_t value);
uint32_t map64_find(const struct map64 *m, uint64_t key);
#endif
