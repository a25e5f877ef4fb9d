/* base/usage.c -- names and units of the meters. */
#include "base/usage.h"
#include <assert.h>
#include <string.h>

static const struct {
    const char *name, *unit;
} meters[METER_COUNT] = {
#define X(id, NAME, name, unit) [id] = { name, unit },
    METER_MAP(X)
#undef X
};

_Static_assert(METER_COUNT <= 32, "usage.present has a bit per meter");

uint64_t usage_sum(const struct usage *u, uint32_t set)
{
    uint64_t sum = 0;
    for (uint32_t left = u->present & set; left; left &= left - 1)
        if (__builtin_add_overflow(sum, u->qty[__builtin_ctz(left)], &sum) || sum > INT64_MAX)
            return INT64_MAX;
    return sum;
}

const char *meter_name(enum meter m)
{
    assert((unsigned)m < METER_COUNT);
    return meters[m].name;
}

const char *meter_unit(enum meter m)
{
    assert((unsigned)m < METER_COUNT);
    return meters[m].unit;
}

enum meter meter_find(const char *name)
{
    for (int i = 0; i < METER_COUNT; i++)
        if (strcmp(meters[i].name, name) == 0)
            return (enum meter)i;
    return METER_COUNT;
}
