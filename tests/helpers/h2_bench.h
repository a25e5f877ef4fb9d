/* tests/helpers/h2_bench.h -- an HTTP backend on a scripted HTTP/2 upstream. */
#ifndef MAAS_H2_BENCH_H
#define MAAS_H2_BENCH_H
#include "tests/helpers/http_rig.h"
#include "tests/helpers/stub_h2.h"

struct h2_bench {
    struct rig rig;
    struct stub_h2 *stub;
};

void h2_bench_open(struct h2_bench *b, const struct stub_h2_step *steps, size_t count,
                   const struct stub_h2_how *how);
void h2_bench_close(struct h2_bench *b);
void h2_bench_expect_ok(struct h2_bench *b); /* a call is answered with "{}" */
void h2_bench_wait(struct h2_bench *b, unsigned streams);

#endif
