/* base/ratio.c -- see ratio.h.  A product of 64 bits, which nearly all are, is divided by
 * the processor; a longer one by the compiler's 128-bit routine, at ten times the cost. */
#include "base/ratio.h"
#include <stdbool.h>

__extension__ typedef __int128 wide;

struct quotient { /* of n / d, towards zero; rest has the sign of n */
    wide whole;
    int64_t rest;
};

static bool divide(int64_t a, int64_t b, int64_t d, struct quotient *ret)
{
    int64_t product;
    if (d <= 0)
        return false;
    if (__builtin_mul_overflow(a, b, &product)) {
        wide n = (wide)a * b;
        *ret = (struct quotient){ n / d, (int64_t)(n % d) };
    } else
        *ret = (struct quotient){ product / d, product % d };
    return true;
}

/* How the rest compares with half of d: below, on it, above. */
static int against_half(int64_t rest, int64_t d)
{
    int64_t size = rest < 0 ? -rest : rest, left = d - size;
    return (size > left) - (size < left);
}

static enum status put(wide value, int64_t *ret)
{
    if (value < -RATIO_MAX || value > RATIO_MAX)
        return STATUS_BILLING_OVERFLOW;
    *ret = (int64_t)value;
    return STATUS_OK;
}

enum status ratio_half_even(int64_t a, int64_t b, int64_t d, int64_t *ret)
{
    struct quotient q;
    if (!divide(a, b, d, &q))
        return STATUS_BAD_FIELD;
    int half = against_half(q.rest, d);
    bool away = half > 0 || (half == 0 && (q.whole & 1));
    return put(q.whole + (away ? q.rest < 0 ? -1 : 1 : 0), ret);
}

enum status ratio_half_up(int64_t a, int64_t b, int64_t d, int64_t *ret)
{
    struct quotient q;
    if (!divide(a, b, d, &q))
        return STATUS_BAD_FIELD;
    bool away = against_half(q.rest, d) >= 0;
    return put(q.whole + (away ? q.rest < 0 ? -1 : 1 : 0), ret);
}

enum status ratio_ceiling(int64_t a, int64_t b, int64_t d, int64_t *ret)
{
    struct quotient q;
    if (!divide(a, b, d, &q))
        return STATUS_BAD_FIELD;
    return put(q.whole + (q.rest > 0), ret);
}
