/* base/env.h -- time and randomness come in from outside, so that limits, holds
 * and periods are tested in microseconds with a clock moved by hand. */
#ifndef MAAS_ENV_H
#define MAAS_ENV_H
#include <stddef.h>
#include <stdint.h>

struct env {
    int64_t (*mono_ns)(void *arg);                      /* CLOCK_MONOTONIC, nanoseconds */
    int64_t (*wall_us)(void *arg);                      /* Unix time UTC, microseconds */
    void (*random)(void *arg, void *bytes, size_t len); /* cryptographic; dies on failure */
    void *arg;
};

/* The real clock and OpenSSL's generator. */
extern const struct env env_system;
#endif
