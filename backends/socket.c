/* backends/socket.c -- the carrier over a byte stream: "unix:/path" or "host:port".
 *
 * The same frames in a row.  Input is judged where it was read, for it is already
 * ours; output gathers in one bounded buffer and leaves with one send a turn.
 */
#include "backends/session.h"
#include "backends/session_explain.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    FRAME_BYTES_MAX = sizeof(struct wire_head) + WIRE_FRAME_MAX,
    IN_BYTES = 4 * FRAME_BYTES_MAX,
    OUT_BYTES = 8 * FRAME_BYTES_MAX,
    HOST_BYTES = 256,
    LAST_READS = 64, /* more than a kernel keeps for a connection that has ended */
    ADDRESSES_MAX = 8,
};

struct bytes { /* [begin, end) of `at` is in use */
    size_t begin, end;
};

struct sock {
    struct session session; /* first */
    char host[HOST_BYTES], port[16];
    uv_getaddrinfo_t lookup;
    unsigned attempts;
    bool looking;
    bool polls_write;
    struct bytes in, out;
    uint8_t in_bytes[IN_BYTES], out_bytes[OUT_BYTES];
};

static struct sock *sock_of(struct session *s)
{
    return (struct sock *)s;
}

/* ---- dialling ---- */

/* Connecting may go on in the background: the worker speaks first, or the socket becomes an error. */
static void sock_connect(struct session *s, const struct sockaddr *a, socklen_t len)
{
    int one = 1, fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        session_lost(s, session_explain_dial(errno));
        return;
    }
    if (a->sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, a, len) == 0 || errno == EINPROGRESS) {
        session_connected(s, fd);
        return;
    }
    const char *why = session_explain_dial(errno);
    close(fd);
    session_lost(s, why);
}

/* Of the addresses that egress allows, each attempt takes the next.  NULL: none; *why says it. */
static const struct addrinfo *next_address(struct sock *k, const struct addrinfo *list,
                                           const char **why)
{
    const struct egress *egress = k->session.base.conf->egress;
    const struct addrinfo *allowed[ADDRESSES_MAX];
    unsigned count = 0;
    struct ip ip;
    for (; list && count < ADDRESSES_MAX; list = list->ai_next) {
        const char *refusal = ip_of_sockaddr(list->ai_addr, &ip) ? egress_refusal(egress, &ip)
                                                                 : "it is no IP address";
        if (refusal)
            *why = refusal;
        else
            allowed[count++] = list;
    }
    return count ? allowed[k->attempts++ % count] : NULL;
}

static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct sock *k = req->data;
    struct session *s = &k->session;
    const char *why = "the worker's host name is not known";
    k->looking = false;
    const struct addrinfo *ai = status == 0 ? next_address(k, list, &why) : NULL;
    if (s->state == SESSION_DIALS && ai)
        sock_connect(s, ai->ai_addr, ai->ai_addrlen);
    else if (s->state == SESSION_DIALS)
        session_lost(s, why);
    uv_freeaddrinfo(list);
    session_handle_closed(s);
}

static void sock_dial_host(struct session *s)
{
    struct sock *k = sock_of(s);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    k->lookup.data = k;
    if (k->looking ||
        uv_getaddrinfo(s->loop, &k->lookup, on_lookup, k->host, k->port, &hints) < 0) {
        session_lost(s, "the worker's host name cannot be looked up");
        return;
    }
    k->looking = true;
    s->handles++; /* the memory stays until the answer has come */
}

static const char *unix_path(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

static void sock_dial(struct session *s)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    const char *path = unix_path(s->base.conf->address);
    if (!path) {
        sock_dial_host(s);
        return;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    sock_connect(s, (struct sockaddr *)&a, sizeof a);
}

/* ---- input ---- */

static bool whole_frame(const struct sock *k, struct wire_head *h)
{
    size_t have = k->in.end - k->in.begin;
    if (have < sizeof *h)
        return false;
    memcpy(h, k->in_bytes + k->in.begin, sizeof *h);
    return h->len > WIRE_FRAME_MAX || have >= sizeof *h + h->len;
}

static void sock_drain(struct session *s)
{
    struct sock *k = sock_of(s);
    struct wire_head h;
    while (s->state >= SESSION_HELLO && s->state <= SESSION_UP && s->budget > 0 &&
           whole_frame(k, &h)) {
        if (h.len > WIRE_FRAME_MAX) {
            session_broken(s, "a frame that is too long");
            return;
        }
        const uint8_t *payload = k->in_bytes + k->in.begin + sizeof h;
        k->in.begin += sizeof h + h.len;
        s->budget--;
        session_frame(s, &h, payload);
    }
}

static void pack(uint8_t *at, struct bytes *b)
{
    if (!b->begin)
        return;
    memmove(at, at + b->begin, b->end - b->begin);
    b->end -= b->begin;
    b->begin = 0;
}

/* Reads once.  False: the worker has hung up. */
static bool sock_read(struct session *s)
{
    struct sock *k = sock_of(s);
    pack(k->in_bytes, &k->in);
    if (k->in.end == IN_BYTES)
        return true; /* it waits for the next turn's budget */
    ssize_t n = recv(session_watch_fd(s->socket), k->in_bytes + k->in.end, IN_BYTES - k->in.end,
                     MSG_DONTWAIT);
    k->in.end += n > 0 ? (size_t)n : 0;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void sock_last_words(struct session *s)
{
    struct sock *k = sock_of(s);
    bool more = true;
    for (int i = 0; i <= LAST_READS && s->state == SESSION_UP; i++) {
        s->budget = IN_BYTES / sizeof(struct wire_head);
        sock_drain(s);
        if (!more || s->state != SESSION_UP)
            return;
        size_t before = k->in.end - k->in.begin;
        more = sock_read(s) && k->in.end - k->in.begin > before;
    }
}

/* Connecting may have gone on in the background: its error comes with the first read. */
static void hung_up(struct session *s, int error)
{
    bool unreachable = error == EHOSTUNREACH || error == ENETUNREACH || error == ETIMEDOUT;
    if (s->state != SESSION_HELLO || (error != ECONNREFUSED && !unreachable)) {
        session_gone(s, "the worker hung up");
        return;
    }
    s->state = SESSION_DIALS;
    session_lost(s, unreachable ? "the worker's host cannot be reached"
                                : "nobody listens on the worker's port");
}

static void sock_readable(struct session *s)
{
    errno = 0;
    if (!sock_read(s)) {
        hung_up(s, errno);
        return;
    }
    if (s->state != SESSION_UP)
        s->budget = SESSION_FRAMES_PER_TURN;
    sock_drain(s);
}

static void sock_wake(struct session *s)
{
    (void)s; /* the kernel wakes the loop: nothing to take back */
}

/* ---- output ---- */

static uint32_t sock_room(struct session *s)
{
    const struct bytes *b = &sock_of(s)->out;
    size_t room = OUT_BYTES - (b->end - b->begin);
    size_t most = room > sizeof(struct wire_head) ? room - sizeof(struct wire_head) : 0;
    return most < WIRE_FRAME_MAX ? (uint32_t)most : WIRE_FRAME_MAX;
}

static uint8_t *sock_reserve(struct session *s, uint32_t len)
{
    struct sock *k = sock_of(s);
    if (OUT_BYTES - k->out.end < sizeof(struct wire_head) + len)
        pack(k->out_bytes, &k->out);
    return k->out_bytes + k->out.end + sizeof(struct wire_head);
}

static void sock_commit(struct session *s, const struct wire_head *h)
{
    struct sock *k = sock_of(s);
    memcpy(k->out_bytes + k->out.end, h, sizeof *h);
    k->out.end += sizeof *h + h->len;
}

/* False: the connection is gone. */
static bool sock_send(struct session *s)
{
    struct sock *k = sock_of(s);
    while (k->out.begin < k->out.end) {
        ssize_t n = send(session_watch_fd(s->socket), k->out_bytes + k->out.begin,
                         k->out.end - k->out.begin, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            session_gone(s, "the worker hung up");
            return false;
        }
        k->out.begin += (size_t)n;
    }
    if (k->out.begin == k->out.end)
        k->out.begin = k->out.end = 0;
    return true;
}

static bool sock_rest(struct session *s)
{
    struct sock *k = sock_of(s);
    struct wire_head h;
    bool was_full = s->blocked;
    if (!sock_send(s))
        return false;
    bool full = k->out.begin < k->out.end;
    if (full != k->polls_write)
        session_watch_events(s->socket, UV_READABLE | (full ? UV_WRITABLE : 0));
    k->polls_write = full;
    return !whole_frame(k, &h) && (full || !was_full);
}

static bool sock_accept(struct session *s, const struct wire_accept *a)
{
    struct wire_head h = { .len = sizeof *a, .type = WIRE_ACCEPT };
    memcpy(sock_reserve(s, h.len), a, sizeof *a);
    sock_commit(s, &h);
    if (!sock_send(s))
        return false;
    /* A connection that cannot take 56 bytes is not worth waiting for. */
    return sock_of(s)->out.end == 0;
}

static void sock_hang_up(struct session *s)
{
    struct sock *k = sock_of(s);
    k->in = k->out = (struct bytes){ 0, 0 };
    k->polls_write = false;
    if (k->looking)
        uv_cancel((uv_req_t *)&k->lookup);
}

static void sock_free(struct session *s)
{
    free(sock_of(s));
}

static const struct carrier carrier_socket = {
    .dial = sock_dial,
    .accept = sock_accept,
    .readable = sock_readable,
    .drain = sock_drain,
    .wake = sock_wake,
    .rest = sock_rest,
    .room = sock_room,
    .reserve = sock_reserve,
    .commit = sock_commit,
    .last_words = sock_last_words,
    .hang_up = sock_hang_up,
    .free = sock_free,
};

/* ---- driver ---- */

/* "host:port" or "[v6]:port". */
static bool split_address(struct sock *k, const char *address)
{
    const char *path = unix_path(address), *colon = strrchr(address, ':');
    if (path)
        return *path && strlen(path) < sizeof((struct sockaddr_un *)0)->sun_path;
    size_t skip = *address == '[' ? 1 : 0;
    if (!colon || colon == address || strlen(colon + 1) >= sizeof k->port ||
        (skip && colon[-1] != ']'))
        return false;
    size_t len = (size_t)(colon - address) - 2 * skip;
    if (len == 0 || len >= sizeof k->host)
        return false;
    memcpy(k->host, address + skip, len);
    memcpy(k->port, colon + 1, strlen(colon + 1));
    return true;
}

static enum status sock_open(const struct catalog_backend *conf, uv_loop_t *loop,
                             const struct env *env, struct backend **ret)
{
    struct sock *k = calloc(1, sizeof *k);
    if (!k)
        return STATUS_NO_MEMORY;
    enum status status = STATUS_BAD_FIELD;
    if (split_address(k, conf->address))
        status =
            session_open(&k->session, &backend_socket_driver, &carrier_socket, conf, loop, env);
    if (status == STATUS_OK)
        *ret = &k->session.base;
    else
        free(k);
    return status;
}

const struct backend_driver backend_socket_driver = {
    .transport = TRANSPORT_SOCKET,
    .open = sock_open,
    .close = session_close,
    .start = session_start,
    .cancel = session_cancel,
    .pause = session_pause,
    .explain = session_explain,
};
