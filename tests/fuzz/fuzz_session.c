/* tests/fuzz/fuzz_session.c -- any frames at any time, among calls that start, stop and pause.
 *
 * Checked: each call ends exactly once, nothing reaches it after its end, and
 * slots are neither lost nor given out twice.
 */
#include "tests/helpers/fake_carrier.h"
#include <stdlib.h>

enum { CALLS_MAX = 64, SLOTS = 4 };

struct input {
    const uint8_t *at;
    size_t left;
};

struct probe {
    struct backend_call *call;
    bool in_use, ended;
};

static uv_loop_t loop;
static struct probe probes[CALLS_MAX];
static size_t probe_count;
static bool in_api;

static uint64_t number(struct input *in, size_t bytes)
{
    uint64_t n = 0;
    if (bytes > in->left)
        bytes = in->left;
    memcpy(&n, in->at, bytes);
    in->at += bytes;
    in->left -= bytes;
    return n;
}

static void on_data(void *arg, const struct backend_data *d)
{
    struct probe *p = arg;
    static uint8_t sum;
    assert(p->in_use && !p->ended && !in_api);
    for (size_t i = 0; i < d->len; i++)
        sum = (uint8_t)(sum + (uint8_t)d->bytes[i]); /* so that a sanitizer sees every byte */
    assert(!d->format || strlen(d->format->content_type) <= WIRE_CONTENT_TYPE_MAX);
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct probe *p = arg;
    assert(p->in_use && !p->ended && !in_api);
    assert(end->status < STATUS_COUNT && memchr(end->message, 0, sizeof end->message));
    p->ended = true;
}

static const struct backend_events events = { on_data, on_end };

static void start(struct fake *f, struct input *in)
{
    static const char body[70000] = "{}";
    struct probe *p = &probes[probe_count];
    if (probe_count == CALLS_MAX)
        return;
    uint64_t how = number(in, 1);
    struct backend_order o = { .rid = 1,
                               .model = "m",
                               .public_model = "p",
                               .stream = how & 1,
                               .any_format = how & 2,
                               .format = { how & 4 ? "a/b" : NULL, how & 8, 0 },
                               .body = { body, number(in, 2) },
                               .first_byte_timeout_ms = 1000,
                               .chunk_timeout_ms = 500,
                               .total_timeout_ms = 5000 };
    *p = (struct probe){ .in_use = true };
    in_api = true;
    if (session_start(&f->session.base, &o, &events, p, &p->call) == STATUS_OK)
        probe_count++;
    in_api = false;
}

static struct probe *some_call(struct input *in)
{
    struct probe *p = probe_count ? &probes[number(in, 1) % probe_count] : NULL;
    return p && !p->ended ? p : NULL;
}

static void cancel_or_pause(struct input *in)
{
    struct probe *p = some_call(in);
    uint64_t how = number(in, 1);
    in_api = true;
    if (p && how % 3 == 0)
        session_cancel(p->call);
    else if (p)
        session_pause(p->call, how & 1);
    in_api = false;
}

/* Mostly about a slot and generation that exist, with a payload as long as it says. */
static void say(struct fake *f, struct input *in)
{
    static const uint16_t types[] = { WIRE_DATA,  WIRE_DATA,  WIRE_FINAL, WIRE_PONG,
                                      WIRE_HELLO, WIRE_READY, 0x8000,     0 };
    uint8_t payload[1024] = { 0 };
    uint64_t how = number(in, 1);
    struct wire_head h = { .type = types[how % 8], .flags = (uint16_t)number(in, 1) };
    h.slot = (uint32_t)number(in, 1) % (SLOTS + (how >> 7));
    h.gen = f->session.calls[h.slot % SLOTS].gen - (how & 0x40 ? (uint32_t)number(in, 1) : 0);
    h.len = h.type == WIRE_FINAL   ? sizeof(struct wire_final)
            : h.type == WIRE_HELLO ? 64
                                   : sizeof(struct wire_data);
    if (h.type >= 0x8000 || h.type == WIRE_PONG || h.type == WIRE_READY)
        h.len = 0;
    h.len += how & 0x20 ? (uint32_t)number(in, 1) : 0;
    for (uint32_t i = 0, n = (uint32_t)number(in, 1); i < n && i < h.len; i++)
        payload[i] = (uint8_t)number(in, 1);
    fake_say(f, h, payload);
}

static void check_slots(const struct session *s)
{
    uint32_t used = 0, is_free = 0;
    for (uint32_t i = 0; i < s->call_count; i++)
        used += s->calls[i].state != CALL_FREE;
    for (const struct backend_call *c = s->free_calls; c; c = c->next_free)
        is_free += c->state == CALL_FREE;
    assert(used == s->in_use && (s->state != SESSION_UP || used + is_free == s->slots));
}

static void step(struct fake *f, struct input *in)
{
    switch (number(in, 1) % 8) {
    case 0:
    case 1:
        start(f, in);
        break;
    case 2:
        cancel_or_pause(in);
        break;
    case 3:
        fake_now_ms += (int64_t)number(in, 2);
        if (f->session.state == SESSION_UP)
            session_calls_clock(&f->session);
        break;
    case 4:
        f->out_len = 0;
        fake_turn(f);
        break;
    case 5:
        f->small_room = number(in, 1) & 1;
        f->room_limit = (uint32_t)number(in, 2) % WIRE_FRAME_MAX;
        break;
    default:
        say(f, in);
    }
    check_slots(&f->session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    probe_count = 0;
    uv_loop_init(&loop);
    struct fake *f = fake_open(&loop, SLOTS, SLOTS);
    while (in.left > 0)
        step(f, &in);
    fake_close(f);
    for (size_t i = 0; i < probe_count; i++)
        assert(probes[i].ended);
    uv_run(&loop, UV_RUN_DEFAULT);
    int busy = uv_loop_close(&loop);
    assert(busy == 0);
    return 0;
}
