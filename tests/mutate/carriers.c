/* tests/mutate/carriers.c -- the real carriers in one loop: a worker that is mutated, and one that is healthy.
 *
 * The mutated one has a conversation that makes sense, calls that start, stop, pause and end, and into it
 * falls one mutation after the other: bits of frames, lengths, types, slots and generations, frames said
 * twice, positions and published bytes of the ring, bytes of the stream.
 */
#include "tests/mutate/mutate.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { CALLS = 64, BODY_BYTES = 50000, EVENT_BYTES = 700 };

struct probe { /* a call as its caller sees it */
    struct backend_call *call;
    bool running;
    unsigned ends;
};

static uv_loop_t loop;
static int64_t now_ms = 1000000;
static struct dice *dice;
static bool shm, in_api, over;
static struct peer sick, well;
static struct session *sick_session, *well_session;
static struct probe probes[CALLS];
static uint64_t started, sessions_lost, well_calls, well_events;
static struct {
    struct backend_call *call;
    bool running;
    uint32_t said, heard;
} steady;

static int64_t now_ns(void *arg)
{
    (void)arg;
    return now_ms * 1000000;
}

static void some_bytes(void *arg, void *bytes, size_t len)
{
    (void)arg;
    memset(bytes, 3, len);
}

static const struct env env = { .mono_ns = now_ns, .random = some_bytes };

/* ---- the mutated worker's calls ---- */

static void on_data(void *arg, const struct backend_data *d)
{
    struct probe *p = arg;
    static uint8_t sum;
    assert(p->running && !in_api);
    for (size_t i = 0; i < d->len; i++)
        sum = (uint8_t)(sum + (uint8_t)d->bytes[i]); /* so that a sanitizer sees every byte */
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct probe *p = arg;
    assert(p->running && !in_api && end->status < STATUS_COUNT);
    p->running = false;
    p->ends++;
}

static void start(void)
{
    static const struct backend_events events = { on_data, on_end };
    static const char body[BODY_BYTES] = "{}";
    struct probe *p = &probes[dice_below(dice, CALLS)];
    if (p->running)
        return;
    struct backend_order o = { .rid = 1,
                               .capability = CAP_CHAT,
                               .model = "m",
                               .public_model = "p",
                               .stream = dice_below(dice, 4) > 0,
                               .any_format = dice_below(dice, 4) == 0,
                               .body = { body, dice_below(dice, 8) ? 40 : BODY_BYTES },
                               .first_byte_timeout_ms = 1000,
                               .chunk_timeout_ms = 500,
                               .total_timeout_ms = 5000 };
    *p = (struct probe){ .running = true };
    in_api = true;
    p->running = session_start(&sick_session->base, &o, &events, p, &p->call) == STATUS_OK;
    in_api = false;
    started += p->running;
}

static void cancel_or_pause(void)
{
    struct probe *p = &probes[dice_below(dice, CALLS)];
    uint64_t how = dice_below(dice, 3);
    if (!p->running)
        return;
    in_api = true;
    if (how == 0)
        session_cancel(p->call);
    else
        session_pause(p->call, how == 1);
    in_api = false;
}

/* ---- what it says ---- */

struct saying {
    struct wire_head h;
    uint8_t payload[PEER_FRAME_MAX];
};

/* An honest frame of a call that it has; false: it has none. */
static bool honest(struct saying *f)
{
    uint32_t slot = (uint32_t)dice_below(dice, PEER_SLOTS);
    struct peer_slot *s = &sick.slot[slot];
    if (!s->busy || !s->whole)
        return false;
    uint32_t more = (uint32_t)dice_below(dice, EVENT_BYTES);
    bool final = s->cancelled || dice_below(dice, 4) == 0 || s->credit < 16 + EVENT_BYTES;
    f->h = (struct wire_head){ .len = final ? sizeof(struct wire_final)
                                            : sizeof(struct wire_data) + more,
                               .type = final ? WIRE_FINAL : WIRE_DATA,
                               .flags = WIRE_USAGE,
                               .slot = slot,
                               .gen = s->gen };
    memset(f->payload, 'x', f->h.len);
    struct wire_data d = { .output_tokens = ++s->output };
    struct wire_final end = { .present = 1u << METER_OUTPUT_TEXT,
                              .qty[METER_OUTPUT_TEXT] = s->output };
    memcpy(f->payload, final ? (void *)&end : (void *)&d, final ? sizeof end : sizeof d);
    s->credit -= final ? 0 : f->h.len;
    s->busy = !final;
    return true;
}

static void mutate_frame(struct saying *f)
{
    uint32_t *word[] = { &f->h.len, &f->h.slot, &f->h.gen };
    uint64_t which = dice_below(dice, 30);
    if (which < 3)
        *word[which] +=
            (uint32_t)(dice_below(dice, 2) ? dice_below(dice, 64) - 32 : dice_roll(dice));
    else if (which == 3)
        f->h.type = (uint16_t)(dice_below(dice, 2) ? dice_below(dice, 16) : dice_roll(dice));
    else if (which == 4)
        f->h.flags ^= (uint16_t)(1 << dice_below(dice, 16));
    else if (which == 5)
        ((uint8_t *)&f->h)[dice_below(dice, sizeof f->h)] ^= (uint8_t)(1 << dice_below(dice, 8));
    else /* the counters, the content type, the text */
        f->payload[dice_below(dice, which < 10 ? 24 : sizeof(struct wire_data) + EVENT_BYTES)] ^=
            (uint8_t)(1 << dice_below(dice, 8));
    f->h.len %= 2 * PEER_FRAME_MAX;
}

/* A length that lies: more than there is, less than follows. */
static void say(struct saying *f)
{
    if (f->h.len <= PEER_FRAME_MAX && peer_say(&sick, &f->h, f->payload))
        return;
    if (!shm && sick.fd >= 0 && peer_say_raw(&sick, &f->h, sizeof f->h))
        peer_say_raw(&sick, f->payload, PEER_FRAME_MAX);
}

static void mutate_ring(void)
{
    struct ring_side *side = (struct ring_side *)sick.w;
    uint64_t tail = sick.ring.tail,
             value = dice_below(dice, 2) ? dice_roll(dice) : 16 * dice_below(dice, 64);
    switch (dice_below(dice, 8)) {
    case 0:
        atomic_store(&side->tail, tail + value);
        break;
    case 1:
        atomic_store(&side->head, sick.ring.head + value);
        break;
    case 2:
        atomic_store(&side->armed, (uint32_t)value);
        break;
    default: /* what it published just now */
        sick.w[RING_SIDE_BYTES + ((tail - 1 - dice_below(dice, 256)) & (WIRE_RING_W_BYTES - 1))] ^=
            (uint8_t)(1 << dice_below(dice, 8));
    }
}

static void mutate_stream(void)
{
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = dice_below(dice, 3) ? 0 : (uint8_t)dice_roll(dice);
    peer_say_raw(&sick, bytes, 1 + dice_below(dice, sizeof bytes));
}

/* Of a call that it does not have any more, or what belongs to none. */
static void late(struct saying *f)
{
    static const struct wire_head some[] = { { .type = WIRE_DATA, .len = sizeof(struct wire_data) },
                                             { .type = WIRE_FINAL,
                                               .len = sizeof(struct wire_final) },
                                             { .type = WIRE_PONG },
                                             { .type = 0x8000 } };
    f->h = some[dice_below(dice, 4)];
    f->h.slot = (uint32_t)dice_below(dice, PEER_SLOTS);
    f->h.gen = sick.slot[f->h.slot].gen - (uint32_t)dice_below(dice, 4);
}

static void mutate(void)
{
    static struct saying f;
    uint64_t how = dice_below(dice, 24);
    for (uint64_t n = dice_below(dice, 6); n > 0 && honest(&f); n--)
        say(&f);
    if (how == 0) { /* the carrier itself */
        if (shm)
            mutate_ring();
        else
            mutate_stream();
    } else if (honest(&f)) {
        if (how > 1)
            mutate_frame(&f);
        say(&f);
        if (how == 1)
            say(&f); /* the same again */
    } else {
        late(&f);
        say(&f);
    }
    if (dice_below(dice, 2))
        peer_ring(&sick);
}

/* ---- the healthy worker: one stream after the other, each event with its number ---- */

static void on_steady_data(void *arg, const struct backend_data *d)
{
    char expected[32];
    (void)arg;
    int len = snprintf(expected, sizeof expected, "{\"n\":%u}", steady.heard++);
    assert(d->len == (size_t)len && memcmp(d->bytes, expected, d->len) == 0);
    assert(d->so_far->qty[METER_OUTPUT_TEXT] == steady.heard);
    well_events++;
}

static void on_steady_end(void *arg, const struct backend_end *end)
{
    (void)arg;
    assert(over || (end->status == STATUS_OK && steady.heard == steady.said));
    steady.running = false;
    well_calls += !over;
}

static void steady_turn(void)
{
    static const struct backend_events events = { on_steady_data, on_steady_end };
    struct backend_order o = { .rid = 2,
                               .capability = CAP_CHAT,
                               .model = "m",
                               .public_model = "p",
                               .stream = true,
                               .body = SPAN("{}"),
                               .first_byte_timeout_ms = INT32_MAX,
                               .chunk_timeout_ms = INT32_MAX,
                               .total_timeout_ms = INT32_MAX };
    struct peer_slot *s = &well.slot[0];
    char event[64];
    if (!steady.running) {
        memset(&steady, 0, sizeof steady);
        steady.running = true;
        enum status status = session_start(&well_session->base, &o, &events, NULL, &steady.call);
        assert(status == STATUS_OK);
    } else if (s->busy && steady.said < 20) {
        struct wire_data d = { .output_tokens = steady.said + 1 };
        memcpy(event, &d, sizeof d);
        int len = snprintf(event + sizeof d, sizeof event - sizeof d, "{\"n\":%u}", steady.said++);
        bool said = peer_say(&well,
                             &(struct wire_head){ .len = (uint32_t)(sizeof d) + (uint32_t)len,
                                                  .type = WIRE_DATA,
                                                  .flags = WIRE_USAGE,
                                                  .gen = s->gen },
                             event);
        assert(said);
    } else if (s->busy) {
        struct wire_final f = { 0 };
        peer_say(&well, &(struct wire_head){ .len = sizeof f, .type = WIRE_FINAL, .gen = s->gen },
                 &f);
        s->busy = false;
    }
    peer_ring(&well);
}

/* ---- the loop ---- */

static void check_slots(const struct session *s)
{
    uint32_t used = 0, is_free = 0;
    for (uint32_t i = 0; i < s->call_count; i++)
        used += s->calls[i].state != CALL_FREE;
    for (const struct backend_call *c = s->free_calls; c; c = c->next_free)
        is_free += c->state == CALL_FREE;
    assert(used == s->in_use && (s->state != SESSION_UP || used + is_free == s->slots));
}

/* The back-off is skipped: there are many sessions to lose. */
static void connect_again(struct session *s, struct peer *p)
{
    for (int i = 0; s->state != SESSION_UP; i++) {
        assert(i < 1000);
        if (s->state == SESSION_DOWN)
            uv_timer_start(&s->retry, s->retry.timer_cb, 0, 0);
        uv_run(&loop, UV_RUN_NOWAIT);
        peer_turn(p);
    }
}

static void step(void)
{
    for (uint64_t n = dice_below(dice, 3); n > 0; n--)
        start();
    if (dice_below(dice, 4) == 0)
        cancel_or_pause();
    peer_turn(&sick);
    if (sick.up)
        mutate();
    steady_turn();
    now_ms += (int64_t)dice_below(dice, 20);
    uv_run(&loop, UV_RUN_NOWAIT);
    if (sick_session->state == SESSION_UP)
        session_calls_clock(sick_session);
    session_calls_clock(well_session);
    uv_run(&loop, UV_RUN_NOWAIT);
    peer_turn(&well);
    check_slots(sick_session);
    assert(well_session->state == SESSION_UP);
    if (sick_session->state == SESSION_UP)
        return;
    sessions_lost++;
    peer_hang_up(&sick);
    connect_again(sick_session, &sick);
}

static struct session *open_session(struct peer *p, bool of_shm, const char *name,
                                    struct catalog_backend *conf)
{
    const struct backend_driver *driver = of_shm ? &backend_shm_driver : &backend_socket_driver;
    struct backend *b;
    peer_open(p, of_shm, name);
    *conf = (struct catalog_backend){ .name = name,
                                      .transport = driver->transport,
                                      .address = p->address,
                                      .secret_file = "",
                                      .ca_file = "",
                                      .concurrency = 8 };
    if (driver->open(conf, &loop, &env, &b) != STATUS_OK)
        abort();
    return (struct session *)b;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void close_session(struct session *s, struct peer *p)
{
    bool closed = false;
    session_close(&s->base, on_closed, &closed);
    while (!closed)
        uv_run(&loop, UV_RUN_ONCE);
    peer_close(p);
}

void mutate_carrier(struct dice *d, uint64_t count, bool of_shm)
{
    static struct catalog_backend sick_conf, well_conf;
    dice = d;
    shm = of_shm;
    over = false;
    started = sessions_lost = well_calls = well_events = 0;
    memset(&steady, 0, sizeof steady);
    memset(probes, 0, sizeof probes);
    uv_loop_init(&loop);
    sick_session = open_session(&sick, shm, "sick", &sick_conf);
    well_session = open_session(&well, shm, "well", &well_conf);
    well.strict = true;
    connect_again(sick_session, &sick);
    connect_again(well_session, &well);
    for (uint64_t i = 0; i < count; i++)
        step();
    over = true;
    close_session(sick_session, &sick);
    close_session(well_session, &well);
    for (size_t i = 0; i < CALLS; i++)
        assert(!probes[i].running && probes[i].ends <= 1);
    int busy = uv_loop_close(&loop);
    assert(busy == 0);
    printf("mutate: %-7s %" PRIu64 " mutations, %" PRIu64 " calls, %" PRIu64
           " sessions ended for them; the healthy "
           "worker beside it: %" PRIu64 " calls, %" PRIu64 " events, all right\n",
           shm ? "shm" : "socket", count, started, sessions_lost, well_calls, well_events);
}
