/* base/allowance.h -- a sum of bytes that many holders share, on any thread.
 *
 * Small holders are not counted: their number is bounded otherwise.  The rest count in
 * steps, so that a holder that grows does not meet the others at every byte.
 */
#ifndef MAAS_ALLOWANCE_H
#define MAAS_ALLOWANCE_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ALLOWANCE_STEP_BYTES = 64 << 10 };

struct allowance {
    _Atomic uint64_t used;
};

/* One holder, of whose bytes *held are covered, needs `need` in all.  False: that would be more than
 * `most` of all holders; what was covered stays covered. */
static inline bool allowance_cover(struct allowance *a, uint64_t most, size_t need, size_t *held)
{
    if (need <= ALLOWANCE_STEP_BYTES || need <= *held)
        return true;
    size_t whole = (need + ALLOWANCE_STEP_BYTES - 1) / ALLOWANCE_STEP_BYTES * ALLOWANCE_STEP_BYTES;
    uint64_t more = whole - *held;
    if (atomic_fetch_add_explicit(&a->used, more, memory_order_relaxed) + more > most) {
        atomic_fetch_sub_explicit(&a->used, more, memory_order_relaxed);
        return false;
    }
    *held = whole;
    return true;
}

static inline void allowance_give_back(struct allowance *a, size_t *held)
{
    if (*held)
        atomic_fetch_sub_explicit(&a->used, *held, memory_order_relaxed);
    *held = 0;
}
#endif
