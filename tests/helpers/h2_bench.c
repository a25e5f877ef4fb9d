/* tests/helpers/h2_bench.c -- see h2_bench.h. */
#include "tests/helpers/h2_bench.h"
#include <check.h>

void h2_bench_open(struct h2_bench *b, const struct stub_h2_step *steps, size_t count,
                   const struct stub_h2_how *how)
{
    b->stub = stub_h2_start(steps, count, how);
    b->rig.h2 = true;
    b->rig.conf.ca_file = stub_h2_ca_file(b->stub);
    rig_open_at(&b->rig, stub_h2_url(b->stub), "/v1");
}

void h2_bench_close(struct h2_bench *b)
{
    rig_close(&b->rig);
    stub_h2_stop(b->stub);
}

void h2_bench_expect_ok(struct h2_bench *b)
{
    struct call c;
    rig_chat(&b->rig, &c, false);
    ck_assert_msg(c.end.status == STATUS_OK, "%s %s", status_info(c.end.status)->name,
                  b->rig.backend->trouble);
    ck_assert_str_eq(c.data, "{};");
}

void h2_bench_wait(struct h2_bench *b, unsigned streams)
{
    while (stub_h2_streams(b->stub) < streams)
        uv_run(&b->rig.loop, UV_RUN_ONCE);
}
