/* tests/unit/test_backend_contract.c -- what backend.h promises, for every driver.
 *
 * A row of drivers x a row of scenarios, against a real worker process.  In all
 * of them on_end comes exactly once, never from inside start() or cancel(), and
 * the bytes are exactly those that the worker sent.
 */
#include "backends/session.h"
#include "tests/helpers/contract_worker.h"
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

static const struct {
    const char *name, *listen;
    enum transport transport;
} drivers[] = {
    { "shm", "shm", TRANSPORT_SHM },
    { "unix", "unix", TRANSPORT_SOCKET },
    { "tcp", "tcp", TRANSPORT_SOCKET },
};
enum { DRIVERS = sizeof drivers / sizeof *drivers };

enum { PATIENCE_MS = 120000 };

static struct peer peer;
static struct catalog_backend conf;
static uv_loop_t loop;
static struct backend *backend;
static bool gave_up, closed;

struct probe { /* one call as its caller sees it */
    struct backend_call *call;
    bool in_api;
    unsigned ends;
    size_t events, bytes;
    size_t stop_at; /* events after which `at_stop` runs; 0 never */
    void (*at_stop)(struct probe *p);
    char *text; /* all bytes in a row, when wanted */
    size_t text_size;
    bool counts;    /* events are {"n":0}, {"n":1}, ... */
    bool patterned; /* bytes are contract_byte() */
    struct backend_end end;
    uint64_t output_so_far;
};

static void check_bytes(struct probe *p, const struct backend_data *d)
{
    char expected[64];
    if (p->counts) {
        int len = snprintf(expected, sizeof expected, "{\"n\":%zu}", p->events);
        ck_assert_uint_eq(d->len, (size_t)len);
        ck_assert_int_eq(memcmp(d->bytes, expected, d->len), 0);
    }
    for (size_t i = 0; p->patterned && i < d->len; i++)
        if (d->bytes[i] != contract_byte(p->bytes + i))
            ck_abort_msg("byte %zu differs", p->bytes + i);
    if (p->text) {
        ck_assert_uint_le(p->bytes + d->len, p->text_size);
        memcpy(p->text + p->bytes, d->bytes, d->len);
    }
}

static void on_data(void *arg, const struct backend_data *d)
{
    struct probe *p = arg;
    ck_assert_uint_eq(p->ends, 0);
    ck_assert(!p->in_api);
    check_bytes(p, d);
    if (d->so_far) {
        ck_assert_uint_ge(d->so_far->qty[METER_OUTPUT_TEXT], p->output_so_far);
        p->output_so_far = d->so_far->qty[METER_OUTPUT_TEXT];
    }
    p->events++;
    p->bytes += d->len;
    if (p->stop_at && p->events == p->stop_at)
        p->at_stop(p);
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct probe *p = arg;
    ck_assert(!p->in_api);
    p->ends++;
    p->end = *end;
}

static const struct backend_events events = { on_data, on_end };

/* Time can be made to run faster, so that waiting for a stopped worker does not take long. */
static int64_t speed = 1;
static int64_t stands_at_ns; /* or stand still, so that a slow machine does not miss a limit */

static int64_t clock_ns(void *arg)
{
    return stands_at_ns ? stands_at_ns : speed * env_system.mono_ns(arg);
}

static void system_random(void *arg, void *bytes, size_t len)
{
    env_system.random(arg, bytes, len);
}

static const struct env test_env = { .mono_ns = clock_ns, .random = system_random };

/* ---- the loop ---- */

static void on_patience(uv_timer_t *t)
{
    (void)t;
    gave_up = true;
}

#define RUN_UNTIL(condition)                                        \
    do {                                                            \
        uv_timer_t patience_;                                       \
        gave_up = false;                                            \
        uv_timer_init(&loop, &patience_);                           \
        uv_timer_start(&patience_, on_patience, PATIENCE_MS, 0);    \
        while (!(condition) && !gave_up)                            \
            uv_run(&loop, UV_RUN_ONCE);                             \
        uv_close((uv_handle_t *)&patience_, NULL);                  \
        uv_run(&loop, UV_RUN_NOWAIT);                               \
        ck_assert_msg(!gave_up, "waited too long for " #condition); \
    } while (0)

static void run_ms(uint64_t ms)
{
    uint64_t until = uv_hrtime() + ms * 1000000;
    while (uv_hrtime() < until) {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
}

static void on_closed(void *arg)
{
    (void)arg;
    closed = true;
}

static void open_backend(int row)
{
    const struct backend_driver *d =
        drivers[row].transport == TRANSPORT_SHM ? &backend_shm_driver : &backend_socket_driver;
    speed = 1;
    contract_worker_start(drivers[row].listen, &peer);
    conf = (struct catalog_backend){ .name = "w",
                                     .transport = drivers[row].transport,
                                     .address = peer.address,
                                     .secret_file = "",
                                     .ca_file = "",
                                     .concurrency = 256 };
    uv_loop_init(&loop);
    ck_assert_int_eq(d->open(&conf, &loop, &test_env, &backend), STATUS_OK);
    RUN_UNTIL(backend->stats.up);
}

static void close_backend(void)
{
    closed = false;
    backend->driver->close(backend, on_closed, NULL);
    RUN_UNTIL(closed);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    contract_worker_stop(&peer);
}

static enum status start_text(struct probe *p, const char *model, bool stream, struct span body)
{
    struct backend_order o = { .rid = 7,
                               .capability = CAP_CHAT,
                               .model = model,
                               .public_model = "base/test",
                               .stream = stream,
                               .body = body,
                               .first_byte_timeout_ms = 100000,
                               .chunk_timeout_ms = 100000,
                               .total_timeout_ms = 600000 };
    if (strcmp(model, "silent") == 0)
        o.first_byte_timeout_ms = 3000;
    p->in_api = true;
    enum status status = backend->driver->start(backend, &o, &events, p, &p->call);
    p->in_api = false;
    return status;
}

static void start(struct probe *p, const char *model, bool stream, const char *body)
{
    ck_assert_int_eq(start_text(p, model, stream, (struct span){ body, strlen(body) }), STATUS_OK);
}

static void cancel(struct probe *p)
{
    p->in_api = true;
    backend->driver->cancel(p->call);
    p->in_api = false;
}

/* The driver still works, and nothing of an earlier call arrives in the next. */
static void still_works(void)
{
    struct probe p = { .counts = true };
    RUN_UNTIL(backend->stats.up);
    start(&p, "count", true, "10");
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_OK);
    ck_assert_uint_eq(p.events, 10);
    ck_assert_uint_eq(backend->stats.running, 0);
}

/* ---- scenarios ---- */

static void plain(void)
{
    struct probe p = { .text = calloc(1, 64), .text_size = 64 };
    start(&p, "echo", false, "{\"say\":\"hello\"}");
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_OK);
    ck_assert_str_eq(p.text, "{\"say\":\"hello\"}");
    ck_assert_uint_eq(p.end.usage.qty[METER_INPUT_UNCACHED], 15);
    ck_assert_uint_eq(p.end.usage.qty[METER_OUTPUT_TEXT], 15);
    ck_assert(!usage_has(&p.end.usage, METER_IMAGES));
    free(p.text);
}

static void stream_of_100(void)
{
    struct probe p = { .counts = true };
    start(&p, "count", true, "100");
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_OK);
    ck_assert_uint_eq(p.events, 100);
    ck_assert_uint_eq(p.output_so_far, 100);
    ck_assert_uint_eq(p.end.usage.qty[METER_OUTPUT_TEXT], 100);
}

static void big_body(void)
{
    size_t len = 5 << 20;
    char *body = malloc(len);
    struct probe p = { .patterned = true };
    for (size_t i = 0; i < len; i++)
        body[i] = contract_byte(i);
    ck_assert_int_eq(start_text(&p, "echo", false, (struct span){ body, len }), STATUS_OK);
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_OK);
    ck_assert_uint_eq(p.bytes, len);
    free(body);
}

static void big_answer(void)
{
    struct probe p = { .patterned = true }, small = { .counts = true };
    start(&p, "big", false, "5242880");
    start(&small, "count", true, "1000");
    RUN_UNTIL(p.ends && small.ends);
    ck_assert_int_eq(p.end.status, STATUS_OK);
    ck_assert_uint_eq(p.bytes, 5242880);
    ck_assert_uint_eq(small.events, 1000);
}

static void long_event(void)
{
    struct probe p = { .patterned = true };
    start(&p, "long", true, "700000");
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_OK);
    ck_assert_uint_eq(p.events, 1);
    ck_assert_uint_eq(p.bytes, 700000);
}

static void refused(void)
{
    struct probe p = { .counts = true };
    start(&p, "refuse", true, "{}");
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_BAD_REQUEST);
    ck_assert_str_eq(p.end.message, "no ? such thing");
}

static void cancel_at_once(void)
{
    struct probe p = { .counts = true };
    start(&p, "count", true, "100");
    cancel(&p);
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_CLIENT_GONE);
    ck_assert_uint_eq(p.events, 0);
}

static void cancel_before_data(void)
{
    struct probe p = { .counts = true };
    start(&p, "silent", true, "12345");
    run_ms(50);
    stands_at_ns = clock_ns(NULL);
    cancel(&p);
    RUN_UNTIL(p.ends);
    stands_at_ns = 0;
    ck_assert_int_eq(p.end.status, STATUS_CLIENT_GONE);
    ck_assert(!p.end.untouched);
    ck_assert_uint_eq(p.end.usage.qty[METER_INPUT_UNCACHED],
                      5); /* what the worker itself counted */
    ck_assert_uint_eq(p.events, 0);
}

static void cancel_in_stream(void)
{
    struct probe p = { .counts = true, .stop_at = 5, .at_stop = cancel };
    start(&p, "trickle", true, "1");
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_CLIENT_GONE);
    ck_assert_uint_eq(p.events, 5);
    ck_assert_uint_ge(p.end.usage.qty[METER_OUTPUT_TEXT], 5);
    run_ms(20);
    ck_assert_uint_eq(p.ends, 1);
}

static void kill_worker(struct probe *p)
{
    (void)p;
    kill(peer.pid, SIGKILL);
}

static void killed_before_data(void)
{
    struct probe p = { .counts = true };
    start(&p, "silent", true, "1");
    run_ms(50);
    kill_worker(&p);
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_BACKEND_FAILED);
    ck_assert(!p.end.untouched && !backend->stats.up);
}

static void killed_in_stream(void)
{
    struct probe p = { .counts = true, .stop_at = 3, .at_stop = kill_worker };
    start(&p, "trickle", true, "1");
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_BACKEND_CUT);
    ck_assert_uint_ge(p.events, 3);
    ck_assert_int_eq(start_text(&p, "echo", false, SPAN("{}")), STATUS_NO_BACKEND);
}

static void stopped(void)
{
    struct probe p = { .counts = true }, again = { .counts = true };
    speed = 10;
    kill(peer.pid, SIGSTOP);
    start(&p, "silent", true, "1");
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_DEADLINE);
    RUN_UNTIL(!backend->stats.up);
    ck_assert_int_eq(start_text(&again, "echo", false, SPAN("{}")), STATUS_NO_BACKEND);
    kill(peer.pid, SIGCONT);
    still_works();
    ck_assert_uint_eq(p.ends, 1);
    ck_assert_uint_eq(p.events, 0);
}

static void orphaned(void)
{
    struct probe p = { .counts = true };
    if (strncmp(peer.address, "127.", 4) == 0)
        return; /* over TCP the kernel does not know the worker's process */
    start(&p, "fork", true, "1");
    uint64_t before = uv_hrtime();
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_BACKEND_FAILED);
    ck_assert_uint_lt((uv_hrtime() - before) / 1000000, 20000); /* not the time-out of the call */
}

static void garbage(void)
{
    struct probe bad = { .counts = true };
    start(&bad, "garbage", true, "1");
    RUN_UNTIL(bad.ends);
    ck_assert_int_eq(bad.end.status, STATUS_BACKEND_FAILED);
    ck_assert_uint_eq(backend->stats.protocol_errors, 1);
    still_works();
}

static void hold(struct probe *p)
{
    p->in_api = true;
    backend->driver->pause(p->call, true);
    p->in_api = false;
}

static void pause_and_resume(void)
{
    struct probe p = { .counts = true, .stop_at = 1, .at_stop = hold }, other = { .counts = true };
    start(&p, "count", true, "100000");
    start(&other, "count", true, "20000");
    RUN_UNTIL(other.ends); /* one slow reader does not hold back another */
    run_ms(50);
    size_t held = p.bytes;
    ck_assert_uint_lt(held, WIRE_CREDIT_BYTES);
    run_ms(50);
    ck_assert_uint_eq(p.bytes, held);
    backend->driver->pause(p.call, false);
    RUN_UNTIL(p.ends);
    ck_assert_int_eq(p.end.status, STATUS_OK);
    ck_assert_uint_eq(p.events, 100000);
}

static void many_at_once(void)
{
    static struct probe p[256];
    unsigned ended = 0;
    memset(p, 0, sizeof p);
    for (int i = 0; i < 256; i++) {
        p[i].counts = true;
        start(&p[i], "count", true, "200");
    }
    struct probe extra = { .counts = true };
    ck_assert_int_eq(start_text(&extra, "count", true, SPAN("1")), STATUS_OVERLOADED);
    RUN_UNTIL(({
                  ended = 0;
                  for (int i = 0; i < 256; i++)
                      ended += p[i].ends;
                  ended;
              }) == 256);
    for (int i = 0; i < 256; i++) {
        ck_assert_int_eq(p[i].end.status, STATUS_OK);
        ck_assert_uint_eq(p[i].events, 200);
    }
}

/* ---- slots that are used again and again, cancelled at any point ---- */

enum { CANARIES = 64, CANARY_CALLS = 4000 };

struct canary {
    struct backend_call *call;
    char body[32];
    size_t len;
    unsigned seen, cancel_at;
};

static struct canary canaries[CANARIES];
static unsigned canary_number, canary_ended;

static void canary_start(struct canary *c);

static void canary_data(void *arg, const struct backend_data *d)
{
    struct canary *c = arg;
    if (d->len != c->len || memcmp(d->bytes, c->body, c->len) != 0)
        ck_abort_msg("bytes of another call");
    if (++c->seen == c->cancel_at)
        backend->driver->cancel(c->call);
}

static void canary_end(void *arg, const struct backend_end *end)
{
    struct canary *c = arg;
    ck_assert(end->status == STATUS_OK || end->status == STATUS_CLIENT_GONE);
    ck_assert(end->status != STATUS_OK || c->seen == 20);
    canary_ended++;
    canary_start(c);
}

static const struct backend_events canary_events = { canary_data, canary_end };

static void canary_start(struct canary *c)
{
    struct backend_order o = { .rid = 7,
                               .capability = CAP_CHAT,
                               .model = "repeat",
                               .public_model = "p",
                               .stream = true,
                               .first_byte_timeout_ms = 100000,
                               .chunk_timeout_ms = 100000,
                               .total_timeout_ms = 600000 };
    if (canary_number == CANARY_CALLS)
        return;
    unsigned n = canary_number++;
    c->len = (size_t)snprintf(c->body, sizeof c->body, "%u tenant %u", n, n % 7);
    c->seen = 0;
    /* Those that do not end by themselves are cancelled, of the rest some. */
    c->cancel_at = n % 3 == 0 || n % 5 == 0 ? 1 + n * 2654435761u % 20 : 0;
    o.body = (struct span){ c->body, c->len };
    ck_assert_int_eq(backend->driver->start(backend, &o, &canary_events, c, &c->call), STATUS_OK);
    if (n % 11 == 0)
        backend->driver->cancel(c->call);
}

static void canaries_in_reused_slots(void)
{
    canary_number = canary_ended = 0;
    for (int i = 0; i < CANARIES; i++)
        canary_start(&canaries[i]);
    RUN_UNTIL(canary_ended == CANARY_CALLS);
    ck_assert_uint_eq(backend->stats.protocol_errors, 0);
}

static void close_with_calls(void)
{
    static struct probe p;
    p = (struct probe){ .counts = true };
    start(&p, "silent", true, "1");
    run_ms(20);
}

static const struct {
    const char *name;
    void (*run)(void);
    bool worker_survives;
} scenarios[] = {
    { "plain answer", plain, true },
    { "stream of 100 events", stream_of_100, true },
    { "body of 5 MiB", big_body, true },
    { "answer of 5 MiB", big_answer, true },
    { "one event of 700 kB", long_event, true },
    { "refused by the worker", refused, true },
    { "cancel at once", cancel_at_once, true },
    { "cancel before data", cancel_before_data, true },
    { "cancel in a stream", cancel_in_stream, true },
    { "killed before data", killed_before_data, false },
    { "killed in a stream", killed_in_stream, false },
    { "killed, a child holds its socket", orphaned, false },
    { "stopped", stopped, true },
    { "garbage", garbage, true },
    { "pause and resume", pause_and_resume, true },
    { "256 streams at once", many_at_once, true },
    { "cancelled anywhere, slots used again", canaries_in_reused_slots, true },
    { "closed with a call in flight", close_with_calls, false },
};
enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

START_TEST(test_contract)
{
    int row = _i / SCENARIOS, scenario = _i % SCENARIOS;
    open_backend(row);
    scenarios[scenario].run();
    if (scenarios[scenario].worker_survives)
        still_works();
    close_backend();
}
END_TEST

Suite *backend_contract_suite(void);
Suite *backend_contract_suite(void)
{
    Suite *s = suite_create("backend_contract");
    TCase *t = tcase_create("every driver, every scenario");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_contract, 0, DRIVERS * SCENARIOS);
    suite_add_tcase(s, t);
    return s;
}
