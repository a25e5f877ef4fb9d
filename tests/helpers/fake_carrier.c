/* tests/helpers/fake_carrier.c -- see the header. */
#include "tests/helpers/fake_carrier.h"
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

int64_t fake_now_ms = 1000000;
uint16_t fake_version_max = WIRE_VERSION;

static struct catalog_backend conf = {
    .name = "fake", .address = "fake", .secret_file = "", .ca_file = ""
};

static int64_t now_ns(void *arg)
{
    (void)arg;
    return fake_now_ms * 1000000;
}

static void no_random(void *arg, void *bytes, size_t len)
{
    (void)arg;
    memset(bytes, 7, len);
}

const struct env fake_env = { .mono_ns = now_ns, .random = no_random };

static void dial(struct session *s)
{
    session_connected(s, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

static bool accept_nothing(struct session *s, const struct wire_accept *a)
{
    (void)s;
    return a->slots > 0;
}

static void do_nothing(struct session *s)
{
    (void)s;
}

static bool rest(struct session *s)
{
    (void)s;
    return true;
}

static uint32_t room(struct session *s)
{
    const struct fake *f = (const struct fake *)s;
    size_t left = FAKE_OUT_BYTES - f->out_len;
    uint32_t most = f->small_room ? f->room_limit : WIRE_FRAME_MAX;
    return left < sizeof(struct wire_head) + most ? 0 : most;
}

static uint8_t *reserve(struct session *s, uint32_t len)
{
    struct fake *f = (struct fake *)s;
    assert(len <= room(s));
    return f->out + f->out_len + sizeof(struct wire_head);
}

static void commit(struct session *s, const struct wire_head *h)
{
    struct fake *f = (struct fake *)s;
    memcpy(f->out + f->out_len, h, sizeof *h);
    f->out_len += sizeof *h + h->len;
}

static void release(struct session *s)
{
    free(s);
}

static const struct carrier carrier_fake = {
    .dial = dial,
    .accept = accept_nothing,
    .readable = do_nothing,
    .drain = do_nothing,
    .wake = do_nothing,
    .rest = rest,
    .room = room,
    .reserve = reserve,
    .commit = commit,
    .last_words = do_nothing,
    .hang_up = do_nothing,
    .free = release,
};

static const struct backend_driver driver_fake = {
    .close = session_close,
    .start = session_start,
    .cancel = session_cancel,
    .pause = session_pause,
};

void fake_say(struct fake *f, struct wire_head h, const void *payload)
{
    uint8_t *copy = malloc(h.len ? h.len : 1);
    assert(copy);
    if (h.len)
        memcpy(copy, payload, h.len);
    if (f->session.state >= SESSION_HELLO && f->session.state <= SESSION_UP)
        session_frame(&f->session, &h, copy);
    free(copy);
}

void fake_handshake(struct fake *f, uint32_t slots)
{
    struct wire_hello hello = { .magic = WIRE_MAGIC,
                                .version_min = 1,
                                .version_max = fake_version_max,
                                .max_inflight = slots };
    fake_say(f, (struct wire_head){ .len = sizeof hello, .type = WIRE_HELLO }, &hello);
    fake_say(f, (struct wire_head){ .type = WIRE_READY }, NULL);
}

void fake_dialled(struct fake *f)
{
    uv_run(f->session.loop, UV_RUN_NOWAIT);
    while (f->session.state != SESSION_HELLO)
        uv_run(f->session.loop, UV_RUN_ONCE);
}

struct fake *fake_open(uv_loop_t *loop, uint32_t concurrency, uint32_t slots)
{
    struct fake *f = calloc(1, sizeof *f);
    conf.concurrency = concurrency;
    if (!f ||
        session_open(&f->session, &driver_fake, &carrier_fake, &conf, loop, &fake_env) != STATUS_OK)
        abort();
    fake_dialled(f);
    fake_handshake(f, slots);
    return f;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

void fake_close(struct fake *f)
{
    uv_loop_t *loop = f->session.loop;
    bool closed = false;
    session_close(&f->session.base, on_closed, &closed);
    while (!closed)
        uv_run(loop, UV_RUN_ONCE);
}

void fake_turn(struct fake *f)
{
    uv_run(f->session.loop, UV_RUN_NOWAIT);
}

bool fake_sent(const struct fake *f, size_t *at, struct wire_head *h, const uint8_t **payload)
{
    if (*at >= f->out_len)
        return false;
    memcpy(h, f->out + *at, sizeof *h);
    *payload = f->out + *at + sizeof *h;
    *at += sizeof *h + h->len;
    return true;
}

unsigned fake_count_sent(const struct fake *f, enum wire_type type)
{
    struct wire_head h;
    const uint8_t *payload;
    unsigned n = 0;
    for (size_t at = 0; fake_sent(f, &at, &h, &payload);)
        n += h.type == type;
    return n;
}
