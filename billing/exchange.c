/* billing/exchange.c -- see exchange.h. */
#include "billing/exchange.h"
#include "base/ratio.h"
#include <stdbool.h>

enum { DIGITS_MAX = 10 };

static bool scale(int64_t *value, int digits)
{
    for (; digits > 0; digits--)
        if (__builtin_mul_overflow(*value, 10, value))
            return false;
    return true;
}

enum status exchange(int64_t minor, const struct exchange_rate *rate, int64_t *ret)
{
    int from = rate->from_digits, to = rate->to_digits;
    if (rate->num <= 0 || rate->den <= 0 || from < 0 || from > DIGITS_MAX || to < 0 ||
        to > DIGITS_MAX)
        return STATUS_BAD_FIELD;
    int64_t num = rate->num, den = rate->den;
    if (!scale(&num, to - from) || !scale(&den, from - to))
        return STATUS_BILLING_OVERFLOW;
    return ratio_half_up(minor, num, den, ret);
}
