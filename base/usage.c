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
