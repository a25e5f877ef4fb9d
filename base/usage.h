/* base/usage.h -- what was used, as disjoint buckets.
 *
 * Each provider token lies in exactly one bucket; vendor totals (prompt_tokens,
 * total_tokens) are derived, never stored.  A bucket that is present with 0 is a
 * value; an absent bucket is unknown.  Ids are stored on disk: append only.
 */
#ifndef MAAS_USAGE_H
#define MAAS_USAGE_H
#include <stdbool.h>
#include <stdint.h>

/*    id  name                        unit */
#define METER_MAP(X)                                             \
    X(0, REQUESTS, "requests", "request")                        \
    X(1, INPUT_UNCACHED, "input_uncached_tokens", "token")       \
    X(2, INPUT_CACHED, "input_cached_tokens", "token")           \
    X(3, INPUT_CACHE_WRITE, "input_cache_write_tokens", "token") \
    X(4, OUTPUT_TEXT, "output_text_tokens", "token")             \
    X(5, OUTPUT_REASONING, "output_reasoning_tokens", "token")   \
    X(6, IMAGES, "images", "image")                              \
    X(7, CHARACTERS, "characters", "character")                  \
    X(8, AUDIO_MS, "audio_ms", "millisecond")                    \
    X(9, COMPUTE_MS, "compute_ms", "millisecond")                \
    X(10, TENSOR_ELEMENTS, "tensor_elements", "element")

enum meter {
#define X(id, NAME, name, unit) METER_##NAME = id,
    METER_MAP(X)
#undef X
        METER_COUNT
};

struct usage {
    uint64_t qty[METER_COUNT];
    uint32_t present; /* bit per meter */
};

static inline void usage_set(struct usage *u, enum meter m, uint64_t qty)
{
    u->qty[m] = qty;
    u->present |= UINT32_C(1) << m;
}

static inline bool usage_has(const struct usage *u, enum meter m)
{
    return u->present >> m & 1;
}

const char *meter_name(enum meter m);
const char *meter_unit(enum meter m);
/* METER_COUNT when the name is not known. */
enum meter meter_find(const char *name);
#endif
