/* gateway/desk.c -- see desk.h. */
#include "gateway/desk.h"

bool desk_available(const struct backend *b, int64_t now_ms)
{
    return b && atomic_load_explicit(&b->stats.up, memory_order_relaxed) &&
           health_available(&desk_of(b)->health, now_ms);
}
