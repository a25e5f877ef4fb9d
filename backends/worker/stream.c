/* backends/worker/stream.c -- the carrier over a unix or TCP byte stream: the same frames in a row.
 *
 * Frames are looked at where they were read; output gathers in one bounded buffer
 * and leaves with one send a turn.
 */
#include "backends/worker/internal.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    FRAME_BYTES_MAX = sizeof(struct wire_head) + WIRE_FRAME_MAX,
    IN_BYTES = 4 * FRAME_BYTES_MAX,
    OUT_BYTES = 8 * FRAME_BYTES_MAX,
};

static bool buffer_ready(struct wk_buffer *b, size_t size)
{
    if (!b->at) {
        b->at = malloc(size);
        b->size = b->at ? size : 0;
    }
    return b->at;
}

/* Moves what is there to the beginning, so that all free space is behind it. */
static void buffer_pack(struct wk_buffer *b)
{
    if (!b->begin)
        return;
    memmove(b->at, b->at + b->begin, b->end - b->begin);
    b->end -= b->begin;
    b->begin = 0;
}

static uint32_t stream_room(struct wk_session *s)
{
    size_t room = s->out.size - (s->out.end - s->out.begin);
    size_t most = room > sizeof(struct wire_head) ? room - sizeof(struct wire_head) : 0;
    return most < s->frame_max ? (uint32_t)most : s->frame_max;
}

static uint8_t *stream_reserve(struct wk_session *s, uint32_t len)
{
    if (s->out.size - s->out.end < sizeof(struct wire_head) + len)
        buffer_pack(&s->out);
    return s->out.at + s->out.end + sizeof(struct wire_head);
}

static void stream_commit(struct wk_session *s, const struct wire_head *h)
{
    memcpy(s->out.at + s->out.end, h, sizeof *h);
    s->out.end += sizeof *h + h->len;
}

/* EPOLLOUT is asked for only while the socket is full. */
static void poll_write(struct wk_session *s, bool on)
{
    if (s->polls_write != on && !wk_watch(s->worker, s->fd, s, on))
        s->dead = true;
    s->polls_write = on;
}

static void stream_flush(struct wk_session *s)
{
    struct wk_buffer *b = &s->out;
    if (b->begin == b->end)
        return;
    ssize_t n = send(s->fd, b->at + b->begin, b->end - b->begin, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        s->dead = true;
        return;
    }
    b->begin += n > 0 ? (size_t)n : 0;
    if (b->begin == b->end)
        b->begin = b->end = 0;
    poll_write(s, b->begin != b->end);
}

static bool stream_say(struct wk_session *s, const struct wire_head *h, const void *payload)
{
    if (!buffer_ready(&s->in, IN_BYTES) || !buffer_ready(&s->out, OUT_BYTES))
        return false;
    uint8_t *to = stream_reserve(s, h->len);
    if (h->len)
        memcpy(to, payload, h->len);
    stream_commit(s, h);
    return true;
}

static bool stream_accept(struct wk_session *s, const struct wire_accept *a)
{
    int one = 1;
    (void)a;
    /* Fails on a unix socket, which has no delay to turn off. */
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return true;
}

static void stream_drain(struct wk_session *s)
{
    struct wk_buffer *b = &s->in;
    struct wire_head h;
    for (unsigned i = 0; i < WK_FRAMES_PER_TURN && !s->dead && b->end - b->begin >= sizeof h; i++) {
        memcpy(&h, b->at + b->begin, sizeof h);
        if (h.len > s->frame_max) {
            s->dead = true;
            return;
        }
        if (b->end - b->begin < sizeof h + h.len)
            return;
        const uint8_t *payload = b->at + b->begin + sizeof h;
        b->begin += sizeof h + h.len;
        wk_frame(s, &h, payload);
    }
}

static void stream_readable(struct wk_session *s)
{
    struct wk_buffer *b = &s->in;
    buffer_pack(b);
    if (b->end < b->size) {
        ssize_t n = recv(s->fd, b->at + b->end, b->size - b->end, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            s->dead = true;
        b->end += n > 0 ? (size_t)n : 0;
    }
    stream_drain(s);
}

/* Sleep only when no whole frame waits in the buffer. */
static bool stream_arm(struct wk_session *s)
{
    struct wire_head h;
    size_t have = s->in.end - s->in.begin;
    if (have < sizeof h)
        return !s->blocked || s->polls_write;
    memcpy(&h, s->in.at + s->in.begin, sizeof h);
    return have < sizeof h + h.len && (!s->blocked || s->polls_write);
}

static void stream_disarm(struct wk_session *s)
{
    (void)s;
}

static void stream_release(struct wk_session *s)
{
    free(s->in.at);
    free(s->out.at);
}

const struct wk_carrier wk_carrier_stream = {
    .accept = stream_accept,
    .say = stream_say,
    .readable = stream_readable,
    .drain = stream_drain,
    .room = stream_room,
    .reserve = stream_reserve,
    .commit = stream_commit,
    .flush = stream_flush,
    .arm = stream_arm,
    .disarm = stream_disarm,
    .release = stream_release,
};
