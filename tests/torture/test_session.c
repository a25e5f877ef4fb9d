/* tests/torture/test_session.c -- sessions without memory: a status, never a crash, nothing left behind. */
#include "tests/helpers/fake_carrier.h"
#include "tests/helpers/fault.h"
#include <check.h>
#include <stdlib.h>

static uv_loop_t loop;

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static const struct {
    const struct backend_driver *driver;
    const char *address;
} drivers[] = {
    { &backend_shm_driver, "/nonexistent/worker.sock" },
    { &backend_socket_driver, "unix:/nonexistent/worker.sock" },
};

START_TEST(test_open)
{
    uv_loop_init(&loop);
    for (unsigned nth = 0; fault_next(&nth);) {
        struct catalog_backend conf = { .name = "w",
                                        .address = drivers[_i].address,
                                        .concurrency = 4 };
        struct backend *b = NULL;
        bool closed = false;
        enum status status = drivers[_i].driver->open(&conf, &loop, &fake_env, &b);
        fault_arm(0);
        ck_assert_int_eq(status, fault_fired() ? STATUS_NO_MEMORY : STATUS_OK);
        if (status != STATUS_OK)
            continue;
        uv_run(&loop, UV_RUN_NOWAIT);
        drivers[_i].driver->close(b, on_closed, &closed);
        while (!closed)
            uv_run(&loop, UV_RUN_ONCE);
    }
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

static void on_data(void *arg, const struct backend_data *d)
{
    (void)arg;
    (void)d;
    ck_abort_msg("half an event");
}

static void on_end(void *arg, const struct backend_end *end)
{
    *(enum status *)arg = end->status;
}

/* An event in pieces for which there is no memory ends its own call and no other. */
START_TEST(test_event_in_pieces)
{
    static const struct backend_events events = { on_data, on_end };
    struct backend_order o = { .rid = 1,
                               .model = "m",
                               .public_model = "p",
                               .stream = true,
                               .body = SPAN("{}"),
                               .first_byte_timeout_ms = 1000,
                               .chunk_timeout_ms = 1000,
                               .total_timeout_ms = 1000 };
    enum status first = STATUS_COUNT, second = STATUS_COUNT;
    struct backend_call *call[2];
    uint8_t payload[sizeof(struct wire_data) + 1] = { 0 };
    uv_loop_init(&loop);
    struct fake *f = fake_open(&loop, 4, 4);
    ck_assert_int_eq(session_start(&f->session.base, &o, &events, &first, &call[0]), STATUS_OK);
    ck_assert_int_eq(session_start(&f->session.base, &o, &events, &second, &call[1]), STATUS_OK);
    fake_turn(f);
    struct wire_head h = { sizeof payload, WIRE_DATA, WIRE_MORE, call[0]->slot, call[0]->gen };
    fault_arm(1);
    session_frame(&f->session, &h, payload);
    fault_arm(0);
    ck_assert(fault_fired());
    ck_assert_int_eq(first, STATUS_NO_MEMORY);
    ck_assert_int_eq(second, STATUS_COUNT);
    fake_turn(f);
    ck_assert_uint_eq(fake_count_sent(f, WIRE_CANCEL), 1);
    fake_close(f);
    ck_assert_int_eq(second, STATUS_CLIENT_GONE);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

Suite *session_suite(void);
Suite *session_suite(void)
{
    Suite *s = suite_create("session");
    TCase *t = tcase_create("without memory");
    tcase_add_loop_test(t, test_open, 0, sizeof drivers / sizeof *drivers);
    tcase_add_test(t, test_event_in_pieces);
    suite_add_tcase(s, t);
    return s;
}
