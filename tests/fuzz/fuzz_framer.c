/* tests/fuzz/fuzz_framer.c -- however the bytes are cut, the same events and the same verdict, for
 * every framer.  The first byte picks one and seeds the cuts. */
#include "backends/framer.h"
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
    mix(seen, name, strlen(name));
    mix(seen, data.at, data.len);
    return ++seen->events % 50 != 0; /* now and then no more is wanted */
}

/* seed 0: in one piece. */
static enum status run(enum framer_id id, struct span all, unsigned seed, struct seen *seen)
{
    struct framing f;
    enum status status = STATUS_OK;
    framing_init(&f, id, EVENT_MAX);
    for (size_t at = 0, n; at < all.len && status == STATUS_OK; at += n) {
        n = all.len - at;
        if (seed && n > 1 + (seed = seed * 1103515245 + 12345) / 65536 % 40)
            n = 1 + seed / 65536 % 40;
        char *copy = malloc(n); /* exactly as long, so that reading beyond it is seen */
        memcpy(copy, all.at + at, n);
        status = f.framer->feed(&f, (struct span){ copy, n }, on_event, seen);
        free(copy);
    }
    if (status == STATUS_OK)
        status = f.framer->finish(&f, on_event, seen);
    f.framer->clear(&f);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole = { 0 }, cut = { 0 };
    if (size < 2)
        return 0;
    enum framer_id id = data[0] % FRAMER_COUNT;
    struct span all = { (const char *)data + 1, size - 1 };
    enum status expect = run(id, all, 0, &whole);
    enum status got = run(id, all, data[0] + 1u, &cut);
    assert(got == expect);
    assert(cut.hash == whole.hash && cut.events == whole.events);
    return 0;
}
