/* backends/refworker/mix64.h -- one 64-bit mixing step, for hashing and for the dice.
 * Quick and well spread; nothing here withstands an attacker who chooses the input. */
#ifndef REFWORKER_MIX64_H
#define REFWORKER_MIX64_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MIX64_STEP UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t mix64(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline uint64_t mix64_bytes(uint64_t seed, const void *bytes, size_t len)
{
    const char *at = bytes;
    uint64_t h = seed + MIX64_STEP * (len + 1);
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        h = mix64(h ^ word) + MIX64_STEP;
    }
    uint64_t rest = 0;
    if (len > 0)
        memcpy(&rest, at, len);
    return mix64(h ^ rest);
}

/* The next throw; `state` is all there is to it, so equal states give equal answers. */
static inline uint64_t mix64_next(uint64_t *state)
{
    return mix64(*state += MIX64_STEP);
}
#endif
