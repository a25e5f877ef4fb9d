/* tests/mutate/peer.c -- see mutate.h: a worker that is called from the test's own loop. */
#include "tests/mutate/mutate.h"
#include "backends/ring_wake.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int type_of(const struct peer *p)
{
    return (p->shm ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
}

void peer_open(struct peer *p, bool shm, const char *name)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    *p = (struct peer){ .shm = shm, .fd = -1 };
    snprintf(p->address, sizeof p->address, "%s/tmp/maas-mutate-%d-%s",
             shm ? "" : "unix:", getpid(), name);
    snprintf(a.sun_path, sizeof a.sun_path, "%.100s", p->address + (shm ? 0 : 5));
    unlink(a.sun_path);
    p->door = socket(AF_UNIX, type_of(p), 0);
    if (p->door < 0 || bind(p->door, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(p->door, 16) < 0)
        abort();
}

void peer_hang_up(struct peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    if (p->g)
        munmap(p->g, RING_SIDE_BYTES + WIRE_RING_G_BYTES);
    if (p->w)
        munmap(p->w, RING_SIDE_BYTES + WIRE_RING_W_BYTES);
    p->g = p->w = NULL;
    p->fd = -1;
    p->up = false;
    p->in_len = 0;
    memset(p->slot, 0, sizeof p->slot);
}

void peer_close(struct peer *p)
{
    peer_hang_up(p);
    close(p->door);
    unlink(p->address + (p->shm ? 0 : 5));
}

/* ---- out ---- */

bool peer_say_raw(struct peer *p, const void *bytes, size_t len)
{
    return send(p->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

static bool say_in_one(struct peer *p, const struct wire_head *h, const void *payload)
{
    struct iovec io[] = { { (void *)(uintptr_t)h, sizeof *h },
                          { (void *)(uintptr_t)payload, h->len } };
    struct msghdr m = { .msg_iov = io, .msg_iovlen = h->len ? 2 : 1 };
    return sendmsg(p->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)(sizeof *h + h->len);
}

bool peer_say(struct peer *p, const struct wire_head *h, const void *payload)
{
    if (p->fd < 0)
        return false;
    if (!p->shm || !p->up)
        return say_in_one(p, h, payload);
    if (ring_room(&p->ring) <= h->len)
        return false;
    uint8_t *to = ring_reserve(&p->ring, h->len);
    if (h->len)
        memcpy(to, payload, h->len);
    ring_commit(&p->ring, h);
    return true;
}

void peer_ring(struct peer *p)
{
    if (p->up && p->shm)
        send(p->fd, "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- in ---- */

static void on_accept(struct peer *p, const uint8_t *payload, const int fds[2])
{
    struct wire_accept a;
    memcpy(&a, payload, sizeof a);
    if (p->shm) {
        p->g = mmap(NULL, RING_SIDE_BYTES + a.ring_bytes_g, PROT_READ, MAP_SHARED, fds[0], 0);
        p->w = mmap(NULL, RING_SIDE_BYTES + a.ring_bytes_w, PROT_READ | PROT_WRITE, MAP_SHARED,
                    fds[1], 0);
        if (p->g == MAP_FAILED || p->w == MAP_FAILED)
            abort();
        ring_init(&p->ring, p->w, p->g, a.ring_bytes_w, a.ring_bytes_g, a.frame_max);
        close(fds[0]);
        close(fds[1]);
    }
    peer_say(p, &(struct wire_head){ .type = WIRE_READY }, NULL);
    p->up = true;
}

static void on_request(struct peer *p, const struct wire_head *h, const uint8_t *payload)
{
    struct wire_request r;
    struct peer_slot *s = &p->slot[h->slot];
    memcpy(&r, payload, sizeof r);
    uint64_t body = h->len - sizeof r - r.model_len - r.public_model_len;
    *s = (struct peer_slot){ .busy = true,
                             .stream = h->flags & WIRE_STREAM,
                             .gen = h->gen,
                             .credit = WIRE_CREDIT_BYTES,
                             .left = r.body_len - body };
    s->whole = s->left == 0;
    p->requests++;
}

static void take_frame(struct peer *p, const struct wire_head *h, const uint8_t *payload)
{
    struct peer_slot *s = &p->slot[h->slot % PEER_SLOTS];
    struct wire_credit c;
    bool mine = s->busy && s->gen == h->gen;
    switch (h->type) {
    case WIRE_REQUEST:
        assert(h->slot < PEER_SLOTS && !(p->strict && s->busy)); /* not given out twice */
        on_request(p, h, payload);
        break;
    case WIRE_BODY:
        s->left -= mine ? h->len : 0;
        s->whole |= mine && s->left == 0;
        break;
    case WIRE_CREDIT:
        memcpy(&c, payload, sizeof c);
        s->credit += mine ? c.bytes : 0;
        break;
    case WIRE_CANCEL:
        s->cancelled |= mine;
        break;
    case WIRE_PING:
        p->pings++;
        peer_say(p, &(struct wire_head){ .type = WIRE_PONG, .gen = h->gen }, NULL);
        break;
    default:
        abort();
    }
}

static void take_ring(struct peer *p)
{
    struct wire_head h;
    int found;
    while ((found = ring_next(&p->ring, &h, p->payload)) == 1)
        take_frame(p, &h, p->payload);
    assert(found == 0); /* the gateway's own ring is never wrong */
    ring_release(&p->ring);
}

static void take_stream(struct peer *p)
{
    struct wire_head h;
    size_t at = 0;
    while (p->in_len - at >= sizeof h) {
        memcpy(&h, p->in + at, sizeof h);
        assert(h.len <= WIRE_FRAME_MAX);
        if (p->in_len - at < sizeof h + h.len)
            break;
        if (h.type == WIRE_ACCEPT)
            on_accept(p, p->in + at + sizeof h, NULL);
        else
            take_frame(p, &h, p->in + at + sizeof h);
        at += sizeof h + h.len;
    }
    memmove(p->in, p->in + at, p->in_len - at);
    p->in_len -= at;
}

/* The packet with the two memories. */
static void take_greeting(struct peer *p, ssize_t n, struct msghdr *m)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    int fds[2];
    if (n <= 0)
        return;
    assert(c && c->cmsg_len == CMSG_LEN(sizeof fds));
    memcpy(fds, CMSG_DATA(c), sizeof fds);
    on_accept(p, p->in + sizeof(struct wire_head), fds);
}

static void read_socket(struct peer *p)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    struct iovec io = { p->in + p->in_len, sizeof p->in - p->in_len };
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    ssize_t n = recvmsg(p->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        peer_hang_up(p);
    } else if (p->shm && !p->up) {
        take_greeting(p, n, &m);
    } else if (!p->shm && n > 0) {
        p->in_len += (size_t)n;
        take_stream(p);
    }
}

void peer_turn(struct peer *p)
{
    struct wire_hello hello = { .magic = WIRE_MAGIC,
                                .version_min = 1,
                                .version_max = WIRE_VERSION,
                                .max_inflight = PEER_SLOTS,
                                .name = "mutant" };
    if (p->fd < 0 && (p->fd = accept4(p->door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        peer_say(p, &(struct wire_head){ .len = sizeof hello, .type = WIRE_HELLO }, &hello);
    if (p->fd >= 0)
        read_socket(p);
    if (p->up && p->shm)
        take_ring(p);
}
