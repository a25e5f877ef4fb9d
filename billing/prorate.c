/* billing/prorate.c -- see prorate.h. */
#include "billing/prorate.h"
#include "base/ratio.h"
#include <stdbool.h>

enum status prorate(int64_t price, int64_t used, int64_t period, int64_t *ret)
{
    if (price < 0 || used < 0 || used > period)
        return STATUS_BAD_FIELD;
    return ratio_half_up(price, used, period, ret);
}

static bool sum_lengths(const int64_t *length, size_t count, int64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < count; i++)
        if (length[i] < 0 || __builtin_add_overflow(*ret, length[i], ret))
            return false;
    return *ret > 0;
}

enum status prorate_parts(int64_t price, const int64_t *length, size_t count, int64_t *part)
{
    int64_t period, end = 0, before = 0, up_to;
    if (!sum_lengths(length, count, &period))
        return STATUS_BAD_FIELD;
    enum status s =
        prorate(price, period, period, &up_to); /* what fails, fails before any output */
    for (size_t i = 0; !s && i < count; i++) {
        end += length[i];
        s = prorate(price, end, period, &up_to);
        part[i] = up_to - before;
        before = up_to;
    }
    return s;
}
