/* base/env.c -- the real clock and the real generator. */
#include "base/env.h"
#include "base/digest.h"
#include <assert.h>
#include <time.h>

static int64_t read_clock(clockid_t id, int64_t ticks_per_second)
{
    struct timespec t;
    int failed = clock_gettime(id, &t);
    assert(!failed); /* both clocks exist on every Linux */
    return t.tv_sec * ticks_per_second + t.tv_nsec / (1000000000 / ticks_per_second);
}

static int64_t system_mono_ns(void *arg)
{
    (void)arg;
    return read_clock(CLOCK_MONOTONIC, 1000000000);
}

static int64_t system_wall_us(void *arg)
{
    (void)arg;
    return read_clock(CLOCK_REALTIME, 1000000);
}

static void system_random(void *arg, void *bytes, size_t len)
{
    (void)arg;
    digest_random(bytes, len);
}

const struct env env_system = { system_mono_ns, system_wall_us, system_random, NULL };
