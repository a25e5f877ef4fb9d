/* backends/workertest/link.c -- see link.h. */
#include "backends/workertest/link.h"
#include "backends/ring_wake.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

bool link_fail(struct link *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(l->why, sizeof l->why, fmt, args);
    va_end(args);
    return false;
}

int64_t link_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- dialling ---- */

static int dial_path(const char *path, int type)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(path) >= sizeof a.sun_path)
        return fd;
    memcpy(a.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    close(fd);
    return -1;
}

/* "host:port" or "[v6]:port". */
static int dial_host(const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t bracket = *text == '[', len = colon ? (size_t)(colon - text) - 2 * bracket : 0;
    char host[256];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    if (!colon || len >= sizeof host)
        return -1;
    memcpy(host, text + bracket, len);
    host[len] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
        return -1;
    int fd = -1;
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

static bool after(const char *text, const char *prefix, const char **ret)
{
    size_t len = strlen(prefix);
    *ret = text + len;
    return strncmp(text, prefix, len) == 0;
}

static int dial(struct link *l, const char *address)
{
    const char *rest;
    l->shm = true;
    if (*address == '/')
        return dial_path(address, SOCK_SEQPACKET);
    if (after(address, "shm:", &rest))
        return dial_path(rest, SOCK_SEQPACKET);
    l->shm = false;
    if (after(address, "unix:", &rest))
        return dial_path(rest, SOCK_STREAM);
    return dial_host(after(address, "tcp:", &rest) ? rest : address);
}

static bool judge_hello(struct link *l)
{
    if (l->head.type != WIRE_HELLO || l->head.len != sizeof l->hello)
        return link_fail(l, "its first frame has type %u and %u bytes; HELLO is type 1 with 64",
                         l->head.type, l->head.len);
    memcpy(&l->hello, l->payload, sizeof l->hello);
    const struct wire_hello *h = &l->hello;
    if (h->magic != WIRE_MAGIC)
        return link_fail(l, "the magic in HELLO is 0x%08x", h->magic);
    if (h->version_min > h->version_max || h->version_max < WIRE_VERSION_MIN ||
        h->version_min > WIRE_VERSION)
        return link_fail(l, "HELLO offers the versions %u to %u; this is about %d to %d",
                         h->version_min, h->version_max, WIRE_VERSION_MIN, WIRE_VERSION);
    if (h->max_inflight < 1 || h->max_inflight > WIRE_SLOTS_MAX)
        return link_fail(l, "max_inflight in HELLO is %u; 1 to %d are possible", h->max_inflight,
                         WIRE_SLOTS_MAX);
    for (size_t i = strnlen(h->name, sizeof h->name); i < sizeof h->name; i++)
        if (h->name[i])
            return link_fail(l, "the name in HELLO is not padded with NULs");
    return true;
}

bool link_dial(struct link *l, const char *address, int patience_ms)
{
    l->memory = (struct ring_memory){ .fd_g = -1, .fd_w = -1 };
    l->fd = dial(l, address);
    if (l->fd < 0)
        return link_fail(l, "nobody listens at %.150s: %s", address, strerror(errno));
    enum link_got got = link_read(l, patience_ms);
    if (got == LINK_QUIET)
        return link_fail(l, "no HELLO came within %d ms", patience_ms);
    return got == LINK_FRAME && judge_hello(l);
}

void link_close(struct link *l)
{
    if (l->fd > 0)
        close(l->fd);
    if (l->memory.g)
        ring_memory_free(&l->memory);
    l->fd = -1;
    l->up = false;
}

/* ---- ACCEPT and READY ---- */

static bool send_accept(struct link *l)
{
    struct wire_head h = { .len = sizeof l->accept, .type = WIRE_ACCEPT };
    struct iovec io[] = { { &h, sizeof h }, { &l->accept, sizeof l->accept } };
    int fds[2] = { l->memory.fd_g, l->memory.fd_w };
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fds)] = { 0 };
    struct msghdr m = { .msg_iov = io, .msg_iovlen = 2 };
    if (l->shm) {
        m.msg_control = control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fds);
        memcpy(CMSG_DATA(c), fds, sizeof fds);
    }
    return sendmsg(l->fd, &m, MSG_NOSIGNAL) == (ssize_t)(sizeof h + sizeof l->accept);
}

static uint32_t or_else(uint32_t asked, uint32_t otherwise)
{
    return asked ? asked : otherwise;
}

static bool offer(struct link *l, const struct link_manners *m)
{
    uint16_t newest = l->hello.version_max < WIRE_VERSION ? l->hello.version_max : WIRE_VERSION;
    l->accept = (struct wire_accept){
        .magic = or_else(m->magic, WIRE_MAGIC),
        .version = m->version ? m->version : newest,
        .session = (uint64_t)link_now_ms() << 20 | (uint64_t)getpid(),
        .slots = or_else(m->slots, l->hello.max_inflight < 16 ? l->hello.max_inflight : 16),
        .credit_bytes = or_else(m->credit_bytes, WIRE_CREDIT_BYTES),
        .frame_max = or_else(m->frame_max, WIRE_FRAME_MAX),
        .ring_bytes_g = l->shm ? WIRE_RING_G_BYTES : 0,
        .ring_bytes_w = l->shm ? WIRE_RING_W_BYTES : 0,
    };
    if (l->shm && !ring_memory_make(&l->memory, l->accept.session))
        return link_fail(l, "(there is no memory for the rings here)");
    bool sent = send_accept(l);
    ring_memory_close_fds(&l->memory);
    return sent || link_fail(l, "it hung up before ACCEPT");
}

bool link_accept(struct link *l, const struct link_manners *m, int patience_ms)
{
    if (!offer(l, m))
        return false;
    enum link_got got = link_read(l, patience_ms);
    if (got == LINK_QUIET)
        return link_fail(l, "no READY came within %d ms", patience_ms);
    if (got != LINK_FRAME)
        return false;
    if (l->head.type != WIRE_READY || l->head.len != 0)
        return link_fail(l,
                         "it answered ACCEPT with type %u and %u bytes; READY is type 3 with none",
                         l->head.type, l->head.len);
    if (l->shm)
        ring_init(&l->ring, l->memory.g, l->memory.w, WIRE_RING_G_BYTES, WIRE_RING_W_BYTES,
                  WIRE_FRAME_MAX);
    l->up = true;
    return true;
}

/* ---- out ---- */

static void ring_the_bell(struct link *l)
{
    if (ring_bell_due(&l->ring))
        send(l->fd, "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Room for a frame that long; 0 says that not even an empty one fits. */
static bool has_room(struct link *l, uint32_t len)
{
    uint32_t room = ring_room(&l->ring);
    return room > 0 && room >= len;
}

static bool say_in_ring(struct link *l, const struct wire_head *h, const void *payload,
                        int patience_ms)
{
    for (int64_t end = link_now_ms() + patience_ms; !has_room(l, h->len); usleep(200)) {
        if (l->ring.broken)
            return link_fail(l,
                             "the head in its memory says that it has read what was not written");
        if (link_now_ms() > end)
            return link_fail(l, "it did not take in what was sent for %d ms", patience_ms);
    }
    uint8_t *to = ring_reserve(&l->ring, h->len);
    if (h->len)
        memcpy(to, payload, h->len);
    ring_commit(&l->ring, h);
    ring_the_bell(l);
    return true;
}

bool link_raw(struct link *l, const void *bytes, size_t len, int patience_ms)
{
    struct pollfd p = { .fd = l->fd, .events = POLLOUT };
    for (size_t at = 0; at < len;) {
        if (poll(&p, 1, patience_ms) != 1)
            return link_fail(l, "it did not take in what was sent for %d ms", patience_ms);
        ssize_t n = send(l->fd, (const char *)bytes + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return link_fail(l, "it hung up");
        at += n > 0 ? (size_t)n : 0;
    }
    return true;
}

bool link_say(struct link *l, struct wire_head h, const void *payload, int patience_ms)
{
    if (l->shm)
        return say_in_ring(l, &h, payload, patience_ms);
    return link_raw(l, &h, sizeof h, patience_ms) &&
           (!h.len || link_raw(l, payload, h.len, patience_ms));
}

/* ---- in ---- */

static enum link_got gone(struct link *l)
{
    link_fail(l, "it hung up");
    return LINK_GONE;
}

/* A packet of the handshake, or a doorbell. */
static enum link_got read_packet(struct link *l)
{
    struct iovec io[] = { { &l->head, sizeof l->head }, { l->payload, WIRE_FRAME_MAX } };
    struct msghdr m = { .msg_iov = io, .msg_iovlen = 2 };
    ssize_t n = recvmsg(l->fd, &m, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return LINK_QUIET;
    if (n <= 0)
        return gone(l);
    if (l->up)
        return LINK_QUIET;
    if ((size_t)n >= sizeof l->head && (size_t)n == sizeof l->head + l->head.len)
        return LINK_FRAME;
    link_fail(l, "a packet of the handshake has %zd bytes, which is not what its head says", n);
    return LINK_WRONG;
}

static enum link_got read_ring(struct link *l)
{
    int found = ring_next(&l->ring, &l->head, l->payload);
    if (found < 0) {
        link_fail(l, "its ring is corrupt: tail %llu, read up to %llu",
                  (unsigned long long)atomic_load(&l->memory.w->tail),
                  (unsigned long long)l->ring.head);
        return LINK_WRONG;
    }
    ring_release(&l->ring);
    ring_the_bell(l);
    return found ? LINK_FRAME : LINK_QUIET;
}

static enum link_got cut_frame(struct link *l)
{
    size_t have = l->in_len - l->in_at;
    if (have < sizeof l->head)
        return LINK_QUIET;
    memcpy(&l->head, l->in + l->in_at, sizeof l->head);
    if (l->head.len > WIRE_FRAME_MAX) {
        link_fail(l, "a frame of type %u says that it has %u bytes", l->head.type, l->head.len);
        return LINK_WRONG;
    }
    if (have < sizeof l->head + l->head.len)
        return LINK_QUIET;
    memcpy(l->payload, l->in + l->in_at + sizeof l->head, l->head.len);
    l->in_at += sizeof l->head + l->head.len;
    return LINK_FRAME;
}

static enum link_got read_stream(struct link *l)
{
    enum link_got got = cut_frame(l);
    if (got != LINK_QUIET)
        return got;
    memmove(l->in, l->in + l->in_at, l->in_len - l->in_at);
    l->in_len -= l->in_at;
    l->in_at = 0;
    ssize_t n = recv(l->fd, l->in + l->in_len, sizeof l->in - l->in_len, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        return gone(l);
    l->in_len += n > 0 ? (size_t)n : 0;
    return cut_frame(l);
}

/* The bells first, or they would keep the poll from sleeping. */
static enum link_got look(struct link *l)
{
    if (!l->shm)
        return read_stream(l);
    enum link_got got = read_packet(l);
    if (!l->up || got == LINK_WRONG)
        return got;
    enum link_got ring = read_ring(l); /* what was published before it hung up counts */
    return ring == LINK_QUIET ? got : ring;
}

enum link_got link_read(struct link *l, int patience_ms)
{
    struct pollfd p = { .fd = l->fd, .events = POLLIN };
    for (int64_t end = link_now_ms() + patience_ms;;) {
        enum link_got got = look(l);
        if (got != LINK_QUIET)
            return got;
        int64_t left = end - link_now_ms();
        if (left <= 0)
            return LINK_QUIET;
        if (!l->shm || !l->up || ring_arm(&l->ring, false))
            poll(&p, 1, (int)left);
        if (l->shm && l->up)
            ring_disarm(&l->ring);
    }
}

bool link_arm(struct link *l)
{
    return ring_arm(&l->ring, false);
}

bool link_woken(struct link *l, int patience_ms)
{
    struct pollfd p = { .fd = l->fd, .events = POLLIN };
    bool woken = poll(&p, 1, patience_ms) == 1;
    ring_disarm(&l->ring);
    return woken;
}
