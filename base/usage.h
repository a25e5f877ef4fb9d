/* base/usage.h -- what was used, as disjoint buckets.
 *
 * Each provider token lies in exactly one bucket; vendor totals (prompt_tokens,
 * total_tokens) are derived, never stored.  A bucket that is present with 0 is a
 * value; an absent bucket is unknown.  Ids are stored on disk: append only.
 *
 * Input tokens of a modality other than text are those that came from no cache;
 * when a vendor does not say what was cached, text was (billing rules, 2.2).
 * Cache writes that name no life are those of five minutes.  The worker protocol
 * has a place for ids below 16 (backends/wire.h).
 */
#ifndef MAAS_USAGE_H
#define MAAS_USAGE_H
#include <stdbool.h>
#include <stdint.h>

/*    id  name                        unit */
#define METER_MAP(X)                                                    \
    X(0, REQUESTS, "requests", "request")                               \
    X(1, INPUT_UNCACHED, "input_uncached_tokens", "token")              \
    X(2, INPUT_CACHED, "input_cached_tokens", "token")                  \
    X(3, INPUT_CACHE_WRITE, "input_cache_write_tokens", "token")        \
    X(4, OUTPUT_TEXT, "output_text_tokens", "token")                    \
    X(5, OUTPUT_REASONING, "output_reasoning_tokens", "token")          \
    X(6, IMAGES, "images", "image")                                     \
    X(7, CHARACTERS, "characters", "character")                         \
    X(8, AUDIO_MS, "audio_ms", "millisecond")                           \
    X(9, COMPUTE_MS, "compute_ms", "millisecond")                       \
    X(10, TENSOR_ELEMENTS, "tensor_elements", "element")                \
    X(11, INPUT_AUDIO, "input_audio_tokens", "token")                   \
    X(12, OUTPUT_AUDIO, "output_audio_tokens", "token")                 \
    X(13, INPUT_IMAGE, "input_image_tokens", "token")                   \
    X(14, OUTPUT_IMAGE, "output_image_tokens", "token")                 \
    X(15, VIDEO_MS, "video_ms", "millisecond")                          \
    X(16, INPUT_CACHE_WRITE_1H, "input_cache_write_1h_tokens", "token") \
    X(17, INPUT_VIDEO, "input_video_tokens", "token")

enum meter {
#define X(id, NAME, name, unit) METER_##NAME = id,
    METER_MAP(X)
#undef X
        METER_COUNT
};

#define METER_BIT(NAME) (UINT32_C(1) << METER_##NAME)
/* What a request's context consists of, and what it made: sets of meters, as in `present`. */
#define METERS_TOKENS_IN                                                                  \
    (METER_BIT(INPUT_UNCACHED) | METER_BIT(INPUT_CACHED) | METER_BIT(INPUT_CACHE_WRITE) | \
     METER_BIT(INPUT_CACHE_WRITE_1H) | METER_BIT(INPUT_AUDIO) | METER_BIT(INPUT_IMAGE) |  \
     METER_BIT(INPUT_VIDEO))
#define METERS_TOKENS_OUT                                                             \
    (METER_BIT(OUTPUT_TEXT) | METER_BIT(OUTPUT_REASONING) | METER_BIT(OUTPUT_AUDIO) | \
     METER_BIT(OUTPUT_IMAGE))
#define METERS_TOKENS (METERS_TOKENS_IN | METERS_TOKENS_OUT)

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

/* What is present of a set of meters, added up; INT64_MAX when it is more. */
uint64_t usage_sum(const struct usage *u, uint32_t set);

const char *meter_name(enum meter m);
const char *meter_unit(enum meter m);
/* METER_COUNT when the name is not known. */
enum meter meter_find(const char *name);
#endif
