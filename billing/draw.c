/* billing/draw.c -- see draw.h. */
#include "billing/draw.h"
#include <stdlib.h>
#include <string.h>

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* What never expires comes after all that does. */
static int64_t expiry(const struct fund *f)
{
    return f->expires_us ? f->expires_us : INT64_MAX;
}

static int in_order(const void *a, const void *b)
{
    const struct fund *x = a, *y = b;
    const int steps[] = {
        compare(x->class, y->class),   compare(x->priority, y->priority),
        compare(expiry(x), expiry(y)), compare(x->created_us, y->created_us),
        compare(x->id, y->id),
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i])
            return steps[i];
    return 0;
}

void draw_sort(struct fund *funds, size_t count)
{
    if (count)
        qsort(funds, count, sizeof *funds, in_order);
}

static bool can_be_drawn(const struct fund *funds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (funds[i].left < 0 || (i && in_order(&funds[i - 1], &funds[i]) > 0))
            return false;
    return true;
}

static bool pays(const struct fund *f, int64_t now_us)
{
    return f->applies && now_us < expiry(f);
}

enum status draw_take(const struct fund *funds, size_t count, int64_t amount, int64_t now_us,
                      int64_t *taken, int64_t *ret_short)
{
    if (amount < 0 || !can_be_drawn(funds, count))
        return STATUS_BAD_FIELD;
    for (size_t i = 0; i < count; i++) {
        int64_t can = pays(&funds[i], now_us) ? funds[i].left : 0;
        taken[i] = amount < can ? amount : can;
        amount -= taken[i];
    }
    *ret_short = amount;
    return STATUS_OK;
}

enum status draw_shortfall(int64_t committed, int64_t used, int64_t *ret)
{
    if (committed < 0 || used < 0)
        return STATUS_BAD_FIELD;
    *ret = used < committed ? committed - used : 0;
    return STATUS_OK;
}
