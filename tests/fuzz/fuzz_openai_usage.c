/* tests/fuzz/fuzz_openai_usage.c -- whatever an upstream reports, the meters stay believable. */
#include "backends/openai_usage.h"
#include <assert.h>
#include <stdlib.h>

/* Each bucket is bounded, and so is what their sums can be: the totals they were split from. */
static void check(const struct usage *u)
{
    assert(usage_sum(u, METERS_TOKENS_IN) <= (uint64_t)OPENAI_USAGE_MAX);
    assert(usage_sum(u, METERS_TOKENS_OUT) <= (uint64_t)OPENAI_USAGE_MAX);
    for (enum meter m = 0; m < METER_COUNT; m++)
        assert(usage_has(u, m) || u->qty[m] == 0);
    assert(!usage_has(u, METER_INPUT_CACHED) || usage_has(u, METER_INPUT_UNCACHED));
    assert(!usage_has(u, METER_OUTPUT_REASONING) || usage_has(u, METER_OUTPUT_TEXT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jfield field[] = { { .key = "usage" }, { .key = "data" } };
    struct jscan_error at;
    struct usage total = { 0 };
    struct span text = { (const char *)data, size };
    if (jscan_object(text, field, 2, &at) != STATUS_OK)
        return 0;
    struct openai_usage u = openai_usage_read(&field[0]);
    check(&u.usage);
    openai_usage_images(&field[1], &u);
    assert(u.usage.qty[METER_IMAGES] <= size);
    bool first = openai_usage_advance(&total, &u.usage);
    bool again = openai_usage_advance(&total, &u.usage);
    assert(first && again);
    assert(total.present == u.usage.present);
    return 0;
}
