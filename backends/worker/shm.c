/* backends/worker/shm.c -- the carrier over shared memory: rings made by the gateway, a doorbell socket.
 *
 * The memories are accepted only when they are sealed against shrinking, so that
 * the gateway cannot take the pages away under this process.
 */
#include "backends/ring_wake.h"
#include "backends/worker/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RING_BYTES_MIN = 64 << 10, RING_BYTES_MAX = 64 << 20 };

static bool shm_say(struct wk_session *s, const struct wire_head *h, const void *payload)
{
    struct iovec io[] = { { (void *)(uintptr_t)h, sizeof *h },
                          { (void *)(uintptr_t)payload, h->len } };
    struct msghdr m = { .msg_iov = io, .msg_iovlen = h->len ? 2 : 1 };
    return sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)(sizeof *h + h->len);
}

static void *map(int fd, uint32_t ring_bytes, int protection, size_t *ret_size)
{
    struct stat st;
    size_t size = RING_SIDE_BYTES + (size_t)ring_bytes;
    int seals = fcntl(fd, F_GET_SEALS);
    if (ring_bytes < RING_BYTES_MIN || ring_bytes > RING_BYTES_MAX ||
        (ring_bytes & (ring_bytes - 1)) || seals < 0 || !(seals & F_SEAL_SHRINK) ||
        fstat(fd, &st) < 0 || st.st_size != (off_t)size)
        return NULL;
    void *at = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return NULL;
    *ret_size = size;
    return at;
}

static bool shm_accept(struct wk_session *s, const struct wire_accept *a)
{
    if (s->fds[0] < 0 || s->fds[1] < 0 ||
        a->ring_bytes_w / 4 < a->frame_max + sizeof(struct wire_head))
        return false;
    s->map_g = map(s->fds[0], a->ring_bytes_g, PROT_READ, &s->map_g_bytes);
    s->map_w = map(s->fds[1], a->ring_bytes_w, PROT_READ | PROT_WRITE, &s->map_w_bytes);
    s->payload = malloc(a->frame_max);
    if (!s->map_g || !s->map_w || !s->payload)
        return false;
    struct ring_side *mine = s->map_w;
    mine->magic = WIRE_MAGIC;
    mine->version = WIRE_RING_VERSION;
    mine->session = a->session;
    ring_init(&s->ring, mine, s->map_g, a->ring_bytes_w, a->ring_bytes_g, a->frame_max);
    return true;
}

/* Keeps the first two descriptors of a packet and closes any other. */
static void take_fds(struct wk_session *s, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd, *slot = s->fds[0] < 0 ? &s->fds[0] : &s->fds[1];
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (*slot < 0)
                *slot = fd;
            else
                close(fd);
        }
    }
}

static void read_handshake(struct wk_session *s)
{
    struct {
        struct wire_head head;
        uint8_t payload[sizeof(struct wire_accept)];
    } packet;
    alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
    struct iovec io = { &packet, sizeof packet };
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    ssize_t n = recvmsg(s->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        take_fds(s, &m);
    if (n < (ssize_t)sizeof packet.head || (size_t)n != sizeof packet.head + packet.head.len ||
        (m.msg_flags & MSG_TRUNC))
        s->dead = true;
    else
        wk_frame(s, &packet.head, packet.payload);
}

static void shm_readable(struct wk_session *s)
{
    char bell[16];
    if (!s->up) {
        read_handshake(s);
        return;
    }
    ssize_t n = recv(s->fd, bell, sizeof bell, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        s->dead = true;
}

static void shm_drain(struct wk_session *s)
{
    struct wire_head h;
    int found = 1;
    for (unsigned i = 0; i < WK_FRAMES_PER_TURN && !s->dead; i++) {
        found = ring_next(&s->ring, &h, s->payload);
        if (found <= 0)
            break;
        wk_frame(s, &h, s->payload);
    }
    ring_release(&s->ring);
    if (found < 0)
        s->dead = true;
}

static uint32_t shm_room(struct wk_session *s)
{
    uint32_t room = ring_room(&s->ring);
    if (s->ring.broken)
        s->dead = true;
    return room;
}

static uint8_t *shm_reserve(struct wk_session *s, uint32_t len)
{
    return ring_reserve(&s->ring, len);
}

static void shm_commit(struct wk_session *s, const struct wire_head *h)
{
    ring_commit(&s->ring, h);
}

static void shm_flush(struct wk_session *s)
{
    if (!s->up || !ring_bell_due(&s->ring))
        return;
    /* EAGAIN: the gateway has doorbells it has not even looked at, so it will wake. */
    if (send(s->fd, "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != EINTR)
        s->dead = true;
}

static bool shm_arm(struct wk_session *s)
{
    return ring_arm(&s->ring, s->blocked);
}

static void shm_disarm(struct wk_session *s)
{
    ring_disarm(&s->ring);
}

static void shm_release(struct wk_session *s)
{
    for (int i = 0; i < 2; i++)
        if (s->fds[i] >= 0)
            close(s->fds[i]);
    if (s->map_g)
        munmap(s->map_g, s->map_g_bytes);
    if (s->map_w)
        munmap(s->map_w, s->map_w_bytes);
    free(s->payload);
}

const struct wk_carrier wk_carrier_shm = {
    .accept = shm_accept,
    .say = shm_say,
    .readable = shm_readable,
    .drain = shm_drain,
    .room = shm_room,
    .reserve = shm_reserve,
    .commit = shm_commit,
    .flush = shm_flush,
    .arm = shm_arm,
    .disarm = shm_disarm,
    .release = shm_release,
};
