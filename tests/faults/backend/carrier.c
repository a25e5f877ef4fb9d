/* tests/faults/backend/carrier.c -- see carrier.h: a socket, or two rings and a doorbell. */
#include "tests/faults/backend/carrier.h"
#include "backends/ring_wake.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OUT_BYTES_MAX = 256 * 1024, TURNS_MAX = 64 };

static struct session *sessions;
static uv_prepare_t prepare;
static uv_idle_t idle;

struct session *session_first(void)
{
    return sessions;
}

/* ---- out ---- */

static bool ring_put(struct session *s, const struct wire_head *h, const void *payload)
{
    if (ring_room(&s->ring) < h->len)
        return false;
    uint8_t *to = ring_reserve(&s->ring, h->len);
    if (h->len)
        memcpy(to, payload, h->len);
    ring_commit(&s->ring, h);
    return true;
}

static void drop_front(struct buf *b, size_t n)
{
    memmove(b->at, b->at + n, b->len - n);
    b->len -= n;
}

static void flush_ring(struct session *s)
{
    struct wire_head h;
    while (s->out.len >= sizeof h) {
        memcpy(&h, s->out.at, sizeof h);
        if (!ring_put(s, &h, s->out.at + sizeof h))
            return;
        drop_front(&s->out, sizeof h + h.len);
    }
}

static void flush_socket(struct session *s)
{
    if (!s->out.len)
        return;
    ssize_t n = send(s->fd, s->out.at, s->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        drop_front(&s->out, (size_t)n);
    else if (errno != EAGAIN)
        session_end(s, false);
}

static bool says_by_ring(const struct session *s)
{
    return s->shm && s->up;
}

/* During the handshake over shm each frame is one packet. */
void session_send(struct session *s, const struct wire_head *h, const void *payload)
{
    if (s->dead)
        return;
    if (s->shm && !s->up) {
        struct iovec io[] = { { (void *)(uintptr_t)h, sizeof *h },
                              { (void *)(uintptr_t)payload, h->len } };
        struct msghdr m = { .msg_iov = io, .msg_iovlen = h->len ? 2 : 1 };
        sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        return;
    }
    if (says_by_ring(s) && !s->out.len && ring_put(s, h, payload))
        return;
    if (!buf_add(&s->out, h, sizeof *h) || !buf_add(&s->out, payload, h->len))
        abort();
}

void session_raw(struct session *s, const void *bytes, size_t len)
{
    if (s->dead)
        return;
    if (s->shm)
        send(s->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    else if (!buf_add(&s->out, bytes, len))
        abort();
}

bool session_room(struct session *s)
{
    bool ok = s->out.len < OUT_BYTES_MAX && (!says_by_ring(s) || !s->out.len);
    s->blocked |= !ok;
    return ok;
}

/* ---- in ---- */

static void take_frames(struct session *s)
{
    struct wire_head h;
    size_t at = 0;
    while (!s->dead && s->in.len - at >= sizeof h) {
        memcpy(&h, s->in.at + at, sizeof h);
        if (s->in.len - at < sizeof h + h.len)
            break;
        worker_frame(s, &h, (const uint8_t *)s->in.at + at + sizeof h);
        at += sizeof h + h.len;
    }
    drop_front(&s->in, at);
}

static void keep_descriptors(struct session *s, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(2 * sizeof(int)))
            memcpy(s->fds, CMSG_DATA(c), 2 * sizeof(int));
}

static void read_socket(struct session *s)
{
    static char bytes[65536];
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec io = { bytes, sizeof bytes };
    struct msghdr m = { .msg_iov = &io,
                        .msg_iovlen = 1,
                        .msg_control = control.room,
                        .msg_controllen = sizeof control.room };
    ssize_t n = recvmsg(s->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        session_end(s, false);
        return;
    }
    if (n < 0 || says_by_ring(s)) /* a doorbell says nothing but that */
        return;
    keep_descriptors(s, &m);
    if (!buf_add(&s->in, bytes, (size_t)n))
        abort();
    take_frames(s);
}

bool session_accept(struct session *s, const struct wire_accept *a)
{
    s->map_g_bytes = RING_SIDE_BYTES + a->ring_bytes_g;
    s->map_w_bytes = RING_SIDE_BYTES + a->ring_bytes_w;
    s->map_g = mmap(NULL, s->map_g_bytes, PROT_READ, MAP_SHARED, s->fds[0], 0);
    s->map_w = mmap(NULL, s->map_w_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fds[1], 0);
    if (s->map_g == MAP_FAILED || s->map_w == MAP_FAILED)
        return false;
    struct ring_side *mine = s->map_w;
    mine->magic = WIRE_MAGIC;
    mine->version = WIRE_VERSION;
    mine->session = a->session;
    ring_init(&s->ring, mine, s->map_g, a->ring_bytes_w, a->ring_bytes_g, a->frame_max);
    return true;
}

static void drain_ring(struct session *s)
{
    struct wire_head h;
    int rc = 0;
    ring_disarm(&s->ring);
    while (!s->dead && !s->starved && (rc = ring_next(&s->ring, &h, s->payload)) == 1)
        worker_frame(s, &h, s->payload);
    if (rc < 0)
        session_end(s, false);
}

/* True: there is nothing to do before the gateway rings. */
static bool ring_turn(struct session *s)
{
    for (int i = 0; i < TURNS_MAX && !s->dead; i++) {
        drain_ring(s);
        if (s->dead)
            return true;
        flush_ring(s);
        ring_release(&s->ring);
        if (ring_bell_due(&s->ring))
            send(s->fd, "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (s->blocked && !s->out.len) {
            s->blocked = false;
            worker_room(s);
            continue;
        }
        if (ring_arm(&s->ring, s->out.len > 0))
            return true;
    }
    return s->dead;
}

/* ---- life ---- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct session *s = poll->data;
    (void)status, (void)events;
    if (!s->dead && s->starved)
        uv_poll_stop(&s->poll);
    else if (!s->dead)
        read_socket(s);
}

static void on_closed(uv_handle_t *h)
{
    struct session *s = h->data;
    for (int i = 0; i < 2; i++)
        if (s->fds[i] >= 0)
            close(s->fds[i]);
    if (s->map_g && s->map_g != MAP_FAILED)
        munmap(s->map_g, s->map_g_bytes);
    if (s->map_w && s->map_w != MAP_FAILED)
        munmap(s->map_w, s->map_w_bytes);
    buf_free(&s->in);
    buf_free(&s->out);
    script_unref(s->script);
    free(s->calls);
    free(s);
}

/* Calls still point to it: it is freed in the turn after they have been told. */
static void bury(struct session **at)
{
    struct session *s = *at;
    *at = s->next;
    worker_gone(s);
    uv_close((uv_handle_t *)&s->poll, on_closed);
    close(s->fd);
}

void session_end(struct session *s, bool reset)
{
    if (s->dead)
        return;
    s->dead = true;
    if (reset)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    shutdown(s->fd, SHUT_RDWR);
}

static void on_idle(uv_idle_t *h)
{
    (void)h; /* only keeps the poll from sleeping */
}

static void on_prepare(uv_prepare_t *h)
{
    bool sleeps = true;
    (void)h;
    for (struct session **at = &sessions; *at;) {
        struct session *s = *at;
        if (!s->dead && s->starved && !s->out.len) {
            at = &s->next;
            continue;
        }
        if (!s->dead && says_by_ring(s)) {
            sleeps &= ring_turn(s);
        } else if (!s->dead) {
            flush_socket(s);
            if (!s->dead && s->blocked && s->out.len < OUT_BYTES_MAX / 2) {
                s->blocked = false;
                worker_room(s);
                flush_socket(s);
            }
            if (!s->dead && !s->starved)
                uv_poll_start(&s->poll, UV_READABLE | (s->out.len ? UV_WRITABLE : 0), on_poll);
        }
        if (s->dead)
            bury(at);
        else
            at = &s->next;
    }
    if (sleeps)
        uv_idle_stop(&idle);
    else
        uv_idle_start(&idle, on_idle);
}

struct session *session_new(int fd, bool shm)
{
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->fd = fd;
    s->shm = shm;
    s->fds[0] = s->fds[1] = -1;
    s->number = next_connection();
    s->script = current_script();
    buf_init(&s->in, 1 << 20);
    buf_init(&s->out, 128 << 20);
    uv_poll_init(loop(), &s->poll, fd);
    s->poll.data = s;
    uv_poll_start(&s->poll, UV_READABLE, on_poll);
    s->next = sessions;
    sessions = s;
    return s;
}

void carrier_start(void)
{
    if (prepare.data)
        return;
    prepare.data = &sessions;
    uv_prepare_init(loop(), &prepare);
    uv_prepare_start(&prepare, on_prepare);
    uv_idle_init(loop(), &idle);
}
