/* tests/fuzz/fuzz_sse.c -- however the bytes are cut, the same events and the same verdict.
 * The first byte seeds the cuts. */
#include "backends/sse.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

enum { EVENT_MAX = 300 };

struct seen { /* a digest of all events is enough to compare */
    uint64_t hash;
    unsigned events;
};

static void mix(struct seen *seen, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        seen->hash = (seen->hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    seen->hash = (seen->hash ^ len) * UINT64_C(1099511628211);
}

static bool on_event(void *arg, const char *name, struct span data)
{
    struct seen *seen = arg;
    assert(data.len <= EVENT_MAX);
    assert(!memchr(data.at, '\r', data.len));
    mix(seen, name, strlen(name));
    mix(seen, data.at, data.len);
    seen->events++;
    return true;
}

static enum status run(const char *bytes, size_t len, unsigned seed, struct seen *seen)
{
    struct sse s;
    enum status status = STATUS_OK;
    sse_init(&s, EVENT_MAX);
    for (size_t at = 0, n; at < len && status == STATUS_OK; at += n) {
        seed = seed * 1103515245 + 12345;
        n = seen->events % 3 || seed % 4 ? 1 + seed / 65536 % 40 : 1;
        if (n > len - at)
            n = len - at;
        status = sse_feed(&s, (struct span){ bytes + at, n }, on_event, seen);
    }
    if (status == STATUS_OK)
        status = sse_finish(&s, on_event, seen);
    sse_clear(&s);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole = { 0 }, cut = { 0 };
    struct sse s;
    if (size < 2)
        return 0;
    const char *bytes = (const char *)data + 1;
    sse_init(&s, EVENT_MAX);
    enum status expect = sse_feed(&s, (struct span){ bytes, size - 1 }, on_event, &whole);
    if (expect == STATUS_OK)
        expect = sse_finish(&s, on_event, &whole);
    sse_clear(&s);
    assert(run(bytes, size - 1, data[0], &cut) == expect);
    assert(cut.hash == whole.hash && cut.events == whole.events);
    return 0;
}
