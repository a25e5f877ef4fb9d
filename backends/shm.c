/* backends/shm.c -- the carrier over shared memory: rings, and a socket that is only a doorbell.
 *
 * The socket carries the handshake and then single bytes; frames are in the rings.
 * A doorbell is sent at most once for each sleep of the worker, at the end of a
 * turn, so that all that a turn produced shares one wake-up.
 */
#include "backends/ring_memory.h"
#include "backends/ring_wake.h"
#include "backends/session.h"
#include "backends/session_explain.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct shm {
    struct session session; /* first */
    struct ring_memory memory;
    struct ring ring;
    uint64_t head_at_bell;           /* how far the worker had read at its last doorbell */
    uint8_t payload[WIRE_FRAME_MAX]; /* the private copy that is judged */
};

static struct shm *shm_of(struct session *s)
{
    return (struct shm *)s;
}

/* ---- handshake ---- */

static void shm_dial(struct session *s)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    memcpy(a.sun_path, s->base.conf->address, strlen(s->base.conf->address) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
        session_connected(s, fd);
        return;
    }
    const char *why = session_explain_dial(errno);
    if (fd >= 0)
        close(fd);
    session_lost(s, why);
}

static bool send_accept(int fd, const struct wire_accept *a, const struct ring_memory *m)
{
    struct wire_head h = { .len = sizeof *a, .type = WIRE_ACCEPT };
    struct iovec io[] = { { &h, sizeof h }, { (void *)(uintptr_t)a, sizeof *a } };
    int fds[2] = { m->fd_g, m->fd_w };
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fds)] = { 0 };
    struct msghdr msg = {
        .msg_iov = io, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof control
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)(sizeof h + sizeof *a);
}

static bool shm_accept(struct session *s, const struct wire_accept *a)
{
    struct shm *m = shm_of(s);
    struct wire_accept with_rings = *a;
    with_rings.ring_bytes_g = WIRE_RING_G_BYTES;
    with_rings.ring_bytes_w = WIRE_RING_W_BYTES;
    if (!ring_memory_make(&m->memory, a->session))
        return false;
    ring_init(&m->ring, m->memory.g, m->memory.w, WIRE_RING_G_BYTES, WIRE_RING_W_BYTES,
              WIRE_FRAME_MAX);
    bool sent = send_accept(session_watch_fd(s->socket), &with_rings, &m->memory);
    ring_memory_close_fds(&m->memory);
    return sent;
}

/* ---- the socket ---- */

static void shm_drain(struct session *s)
{
    struct shm *m = shm_of(s);
    struct wire_head h;
    while (s->state == SESSION_UP && s->budget > 0) {
        int found = ring_next(&m->ring, &h, m->payload);
        if (found < 0)
            session_broken(s, "the worker's ring is corrupt");
        if (found <= 0)
            break;
        s->budget--;
        session_frame(s, &h, m->payload);
    }
    if (s->state == SESSION_UP)
        ring_release(&m->ring);
}

static void shm_last_words(struct session *s)
{
    s->budget = WIRE_RING_W_BYTES / sizeof(struct wire_head);
    shm_drain(s);
}

/* The rings are looked at in this turn anyway.  A bell for room comes without frames, but not
 * without room. */
static void on_doorbell(struct session *s)
{
    struct shm *m = shm_of(s);
    uint64_t head = atomic_load_explicit(&m->memory.w->head, memory_order_relaxed);
    if (!s->blocked || head == m->head_at_bell)
        session_useless(s);
    m->head_at_bell = head;
}

static void shm_readable(struct session *s)
{
    struct {
        struct wire_head head;
        uint8_t payload[sizeof(struct wire_hello)];
    } packet;
    ssize_t n = recv(session_watch_fd(s->socket), &packet, sizeof packet, MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        session_gone(s, "the worker hung up");
    else if (s->state == SESSION_UP)
        on_doorbell(s);
    else if ((size_t)n < sizeof packet.head || (size_t)n > sizeof packet ||
             (size_t)n - sizeof packet.head != packet.head.len)
        session_broken(s, "a packet of the handshake is malformed");
    else
        session_frame(s, &packet.head, packet.payload);
}

/* ---- the rings ---- */

static void shm_wake(struct session *s)
{
    ring_disarm(&shm_of(s)->ring);
}

static bool shm_rest(struct session *s)
{
    struct shm *m = shm_of(s);
    if (m->ring.broken) {
        session_broken(s, "the worker has read what was never written");
        return false;
    }
    if (ring_bell_due(&m->ring) &&
        send(session_watch_fd(s->socket), "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
        errno != EAGAIN && errno != EINTR) {
        session_gone(s, "the worker hung up");
        return false;
    }
    return ring_arm(&m->ring, s->blocked);
}

static uint32_t shm_room(struct session *s)
{
    return ring_room(&shm_of(s)->ring);
}

static uint8_t *shm_reserve(struct session *s, uint32_t len)
{
    return ring_reserve(&shm_of(s)->ring, len);
}

static void shm_commit(struct session *s, const struct wire_head *h)
{
    ring_commit(&shm_of(s)->ring, h);
}

static void shm_hang_up(struct session *s)
{
    ring_memory_free(&shm_of(s)->memory);
}

static void shm_free(struct session *s)
{
    free(shm_of(s));
}

static const struct carrier carrier_shm = {
    .dial = shm_dial,
    .accept = shm_accept,
    .readable = shm_readable,
    .drain = shm_drain,
    .wake = shm_wake,
    .rest = shm_rest,
    .room = shm_room,
    .reserve = shm_reserve,
    .commit = shm_commit,
    .last_words = shm_last_words,
    .hang_up = shm_hang_up,
    .free = shm_free,
};

/* ---- driver ---- */

static enum status shm_open_backend(const struct catalog_backend *conf, uv_loop_t *loop,
                                    const struct env *env, struct backend **ret)
{
    if (strlen(conf->address) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return STATUS_BAD_FIELD;
    struct shm *m = calloc(1, sizeof *m);
    if (!m)
        return STATUS_NO_MEMORY;
    m->memory = (struct ring_memory){ .fd_g = -1, .fd_w = -1 };
    enum status status =
        session_open(&m->session, &backend_shm_driver, &carrier_shm, conf, loop, env);
    if (status == STATUS_OK)
        *ret = &m->session.base;
    else
        free(m);
    return status;
}

const struct backend_driver backend_shm_driver = {
    .transport = TRANSPORT_SHM,
    .open = shm_open_backend,
    .close = session_close,
    .start = session_start,
    .cancel = session_cancel,
    .pause = session_pause,
    .explain = session_explain,
};
