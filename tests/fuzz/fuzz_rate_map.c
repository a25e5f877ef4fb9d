/* tests/fuzz/fuzz_rate_map.c -- whatever the headers of an answer say, nobody stays away for more
 * than an hour.  The first byte picks the map; lines are cut at LF. */
#include "backends/rate_map.h"
#include <assert.h>
#include <stdlib.h>

static int64_t wall_s(void *arg)
{
    (void)arg;
    return INT64_C(1790000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rates r = { 0 };
    if (size < 1)
        return 0;
    const struct rate_map *m = rate_map_find(data[0] % RATE_MAP_COUNT);
    const char *at = (const char *)data + 1, *end = (const char *)data + size;
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        size_t len = lf ? (size_t)(lf + 1 - at) : (size_t)(end - at);
        char *copy = malloc(len); /* exactly as long, so that reading beyond it is seen */
        memcpy(copy, at, len);
        rate_map_line(m, (struct span){ copy, len }, wall_s, NULL, &r);
        free(copy);
        assert(rates_wait_ms(&r) <= RATE_WAIT_MS_MAX);
        at += len;
    }
    for (unsigned i = 0; i < RATE_BUCKETS; i++)
        assert(r.left[i] >= 0 && r.reset_ms[i] >= 0 && r.reset_ms[i] <= RATE_WAIT_MS_MAX);
    return 0;
}
