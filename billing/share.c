/* billing/share.c -- see share.h. */
#include "billing/share.h"
#include "base/split.h"
#include <stdbool.h>
#include <string.h>

static bool sum(const int64_t *values, size_t count, int64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < count; i++)
        if (values[i] < 0 || __builtin_add_overflow(*ret, values[i], ret))
            return false;
    return true;
}

enum status share_split(int64_t minor, const int64_t *basis_points, size_t count, int64_t *part)
{
    int64_t whole;
    if (!sum(basis_points, count, &whole) || whole != SHARE_WHOLE_BASIS_POINTS)
        return STATUS_BAD_FIELD;
    return split_whole(minor, basis_points, count, part);
}

enum status share_return(int64_t credit_minor, const int64_t *held, size_t count, int64_t *part)
{
    int64_t all;
    if (!sum(held, count, &all) || credit_minor < 0 || credit_minor > all)
        return STATUS_BAD_FIELD;
    if (credit_minor == 0) {
        memset(part, 0, count * sizeof *part);
        return STATUS_OK;
    }
    return split_whole(credit_minor, held, count, part);
}
