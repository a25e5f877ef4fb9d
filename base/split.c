/* base/split.c -- see split.h. */
#include "base/split.h"
#include "base/cleanup.h"
#include <stdbool.h>
#include <stdlib.h>

__extension__ typedef __int128 wide;

enum { ON_STACK = 32 };

struct loss { /* what cutting off took from a part, as a numerator over the sum of weights */
    wide rest;
    size_t index;
};

static int by_loss(const void *a, const void *b)
{
    const struct loss *x = a, *y = b;
    if (x->rest != y->rest)
        return x->rest > y->rest ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static bool sum_weights(const int64_t *weight, size_t count, wide *ret)
{
    *ret = 0; /* a million times 2^63 fits easily */
    for (size_t i = 0; i < count; i++) {
        if (weight[i] < 0)
            return false;
        *ret += weight[i];
    }
    return *ret > 0;
}

/* The size of the whole is below 2^63, so a product fits 126 bits. */
static void cut(uint64_t size, const int64_t *weight, size_t count, wide sum, int64_t *part,
                struct loss *losses)
{
    uint64_t left = size;
    for (size_t i = 0; i < count; i++) {
        wide product = (wide)size * weight[i];
        part[i] = (int64_t)(product / sum);
        losses[i] = (struct loss){ product % sum, i };
        left -= (uint64_t)part[i];
    }
    if (left)
        qsort(losses, count, sizeof *losses, by_loss);
    for (size_t i = 0; i < left; i++) /* fewer than there are parts with a rest */
        part[losses[i].index]++;
}

enum status split_whole(int64_t whole, const int64_t *weight, size_t count, int64_t *part)
{
    struct loss few[ON_STACK];
    wide sum;
    if (whole == INT64_MIN || count > SPLIT_PARTS_MAX || !sum_weights(weight, count, &sum))
        return STATUS_BAD_FIELD;
    AUTO(free_ptr) struct loss *many = count > ON_STACK ? malloc(count * sizeof *many) : NULL;
    if (count > ON_STACK && !many)
        return STATUS_NO_MEMORY;
    uint64_t size = whole < 0 ? (uint64_t)-whole : (uint64_t)whole;
    cut(size, weight, count, sum, part, many ? many : few);
    for (size_t i = 0; i < count && whole < 0; i++)
        part[i] = -part[i];
    return STATUS_OK;
}
