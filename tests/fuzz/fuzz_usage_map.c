/* tests/fuzz/fuzz_usage_map.c -- whatever an upstream reports, the meters stay believable.  The
 * first byte picks the map and what was asked. */
#include "backends/usage_map.h"
#include <assert.h>
#include <stdlib.h>

/* Each bucket is bounded, and so is what their sums can be: the totals they were split from. */
static void check(const struct usage *u)
{
    assert(usage_sum(u, METERS_TOKENS_IN) <= (uint64_t)USAGE_QTY_MAX);
    assert(usage_sum(u, METERS_TOKENS_OUT) <= (uint64_t)USAGE_QTY_MAX);
    for (enum meter m = 0; m < METER_COUNT; m++) {
        assert(usage_has(u, m) || u->qty[m] == 0);
        assert(u->qty[m] <= (uint64_t)USAGE_QTY_MAX);
    }
    assert(!usage_has(u, METER_INPUT_CACHED) || usage_has(u, METER_INPUT_UNCACHED));
    assert(!usage_has(u, METER_OUTPUT_REASONING) || usage_has(u, METER_OUTPUT_TEXT));
}

static void check_twice(const struct usage *u)
{
    struct usage total = { 0 };
    bool first = usage_advance(&total, u), again = usage_advance(&total, u);
    assert(first && again);
    assert(total.present == u->present);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jfield fields[USAGE_FIELDS_MAX];
    struct jscan_error at;
    if (size < 1)
        return 0;
    const struct usage_map *m = usage_map_find(data[0] % USAGE_MAP_COUNT);
    enum capability cap = 1 << data[0] / USAGE_MAP_COUNT % CAPABILITY_COUNT;
    struct span text = { (const char *)data + 1, size - 1 };
    for (int whole = 0; whole < 2; whole++) {
        size_t n = usage_map_fields(m, whole, fields);
        if (jscan_object(text, fields, n, &at) != STATUS_OK)
            return 0;
        struct usage_reading u = usage_map_read(m, cap, whole, fields);
        check(&u.usage);
        check_twice(&u.usage);
        usage_map_request(m, text, &u);
        check(&u.usage);
    }
    return 0;
}
