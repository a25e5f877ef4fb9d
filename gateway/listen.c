/* gateway/listen.c -- see listen.h. */
#include "gateway/listen.h"
#include "base/log.h"
#include "gateway/daemon.h"
#include "gateway/loop.h"
#include "gateway/unix_path.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum {
    SOCKETS_MAX = 8,
    ACCEPTS_PER_TURN = 64,
    BACKLOG = 4096,
    UNSENT_BYTES = 128 * 1024,
    PAUSE_MS = 100, /* when the process is out of descriptors: do not spin */
    TELL_AGAIN_MS = 60 * 1000,
    IP_SLOTS = 1 << 16,
};

#define NO_SLOT UINT64_MAX

/* Connections per client address.  Addresses share a slot when their keyed hashes
 * meet: then the limit is a little stricter, never looser. */
static _Atomic uint32_t ip_connections[IP_SLOTS];

struct acceptor {
    struct daemon *daemon;
    uv_poll_t polls[SOCKETS_MAX];
    int fds[SOCKETS_MAX];
    unsigned count, closing;
    uv_timer_t pause;
    uint64_t told_ms; /* that it pauses; 0: not yet */
    uint64_t seed;
    char *unix_path; /* ours to remove */
};

void listen_ip_release(uint64_t slot)
{
    if (slot != NO_SLOT)
        atomic_fetch_sub_explicit(&ip_connections[slot], 1, memory_order_relaxed);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ (h >> 29);
}

/* IPv6 clients are counted by /64: one host has all of it. */
static uint64_t ip_slot(const struct acceptor *a, const struct sockaddr_storage *addr)
{
    uint64_t v;
    if (addr->ss_family == AF_INET) {
        v = ((const struct sockaddr_in *)addr)->sin_addr.s_addr;
    } else if (addr->ss_family == AF_INET6) {
        memcpy(&v, &((const struct sockaddr_in6 *)addr)->sin6_addr, sizeof v);
    } else {
        return NO_SLOT;
    }
    return mix(mix(a->seed, v), addr->ss_family) % IP_SLOTS;
}

static bool ip_enter(uint64_t slot, uint64_t most)
{
    if (slot == NO_SLOT)
        return true;
    if (atomic_fetch_add_explicit(&ip_connections[slot], 1, memory_order_relaxed) < most)
        return true;
    listen_ip_release(slot);
    return false;
}

static struct loop *least_loaded(struct daemon *d, uint64_t *ret_total)
{
    struct loop *best = &d->loops[0];
    unsigned least = UINT32_MAX;
    *ret_total = 0;
    for (unsigned i = 0; i < d->loop_count; i++) {
        unsigned n = atomic_load_explicit(&d->loops[i].connections, memory_order_relaxed);
        *ret_total += n;
        if (n < least) {
            least = n;
            best = &d->loops[i];
        }
    }
    return best;
}

static void refuse(int fd)
{
    static const char answer[] =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
        "Connection: close\r\nContent-Length: 140\r\n\r\n"
        "{\"error\":{\"message\":\"too many connections, try again later\",\"type\":"
        "\"service_unavailable_error\",\"param\":null,\"code\":\"server_is_overloaded\"}}\n";
    (void)send(fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

static void take(struct acceptor *a, int fd, const struct sockaddr_storage *addr, socklen_t len)
{
    const struct conf *conf = a->daemon->conf;
    uint64_t total, slot = ip_slot(a, addr);
    struct loop *l = least_loaded(a->daemon, &total);
    if (total >= conf->connections_max || !ip_enter(slot, conf->connections_per_ip_max)) {
        atomic_fetch_add_explicit(&a->daemon->refused_connections, 1, memory_order_relaxed);
        refuse(fd);
        return;
    }
    loop_adopt(l, fd, (const struct sockaddr *)addr, len, slot);
}

static void on_acceptable(uv_poll_t *p, int status, int events);

static void on_pause_over(uv_timer_t *t)
{
    struct acceptor *a = t->data;
    for (unsigned i = 0; i < a->count; i++)
        uv_poll_start(&a->polls[i], UV_READABLE, on_acceptable);
}

/* Again and again while it lasts, so it is not told each time. */
static void pause_accepting(struct acceptor *a)
{
    uint64_t now_ms = uv_now(a->daemon->main_loop);
    if (a->told_ms == 0 || now_ms - a->told_ms >= TELL_AGAIN_MS) {
        log_env(
            "accept_paused reason=\"%s\" what_to_do=\"more descriptors (LimitNOFILE), or a lower"
            " connections_max\"",
            strerror(errno));
        a->told_ms = now_ms;
    }
    for (unsigned i = 0; i < a->count; i++)
        uv_poll_stop(&a->polls[i]);
    uv_timer_start(&a->pause, on_pause_over, PAUSE_MS, 0);
}

static void on_acceptable(uv_poll_t *p, int status, int events)
{
    struct acceptor *a = p->data;
    int listener = a->fds[p - a->polls];
    (void)status, (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage addr = { .ss_family = AF_UNSPEC };
        socklen_t len = sizeof addr;
        int fd = accept4(listener, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(a, fd, &addr, len);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(a);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

/* ---- opening ---- */

static int bind_unix(const struct sockaddr_un *addr, const char **ret_why)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)addr, sizeof *addr) == 0 &&
        listen(fd, BACKLOG) == 0)
        return fd;
    *ret_why = strerror(errno);
    if (fd >= 0)
        close(fd);
    return -1;
}

static int listen_unix(struct acceptor *a, const char *path, char err[static 256])
{
    struct sockaddr_un addr;
    const char *why = "";
    int fd = -1;
    if (unix_path_address(path, &addr, &why) == STATUS_OK &&
        unix_path_clear(&addr, &why) == STATUS_OK)
        fd = bind_unix(&addr, &why);
    if (fd >= 0)
        a->unix_path = strdup(path);
    else
        snprintf(err, 256, "cannot listen on unix:%s: %s", path, why);
    return fd;
}

static int bind_first(const struct addrinfo *list)
{
    for (const struct addrinfo *i = list; i; i = i->ai_next) {
        int on = 1, fd = socket(i->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, i->ai_addr, i->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
            return fd;
        close(fd);
    }
    return -1;
}

static int listen_tcp(const char *text, char err[static 256])
{
    struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                              .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    const char *colon = strrchr(text, ':');
    char host[128] = "";
    int fd = -1;
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (colon && n < sizeof host) {
        bool bracketed = n >= 2 && text[0] == '[' && text[n - 1] == ']';
        snprintf(host, sizeof host, "%.*s", (int)(bracketed ? n - 2 : n), text + bracketed);
        if (getaddrinfo(*host ? host : NULL, colon + 1, &hints, &list) == 0)
            fd = bind_first(list);
    }
    if (fd < 0)
        snprintf(err, 256, "cannot listen on %s: %s", text,
                 list ? strerror(errno) : "expected ADDRESS:PORT, [ADDRESS]:PORT or unix:/PATH");
    if (list)
        freeaddrinfo(list);
    return fd;
}

static enum status take_systemd_sockets(struct acceptor *a, char err[static 256])
{
    int n = sd_listen_fds(1);
    for (int i = 0; i < n; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        if (a->count == SOCKETS_MAX || sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
            snprintf(err, 256,
                     "systemd handed over a descriptor that is not a listening stream "
                     "socket, or more than %d of them",
                     SOCKETS_MAX);
            return STATUS_BAD_FIELD;
        }
        a->fds[a->count++] = fd;
    }
    return STATUS_OK;
}

static enum status open_own(struct acceptor *a, char err[static 256])
{
    const char *where = a->daemon->conf->listen;
    int fd =
        strncmp(where, "unix:", 5) == 0 ? listen_unix(a, where + 5, err) : listen_tcp(where, err);
    if (fd < 0)
        return STATUS_BAD_FIELD;
    a->fds[a->count++] = fd;
    return STATUS_OK;
}

/* Accepted sockets inherit it.  Without it the kernel buffers megabytes for a reader that has stopped,
 * and takes tokens off a backend that nobody will read; throughput does not suffer, as what is on its
 * way does not count. */
static void bound_unsent(int fd)
{
    int bytes = UNSENT_BYTES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes,
                     sizeof bytes); /* unix: no such thing */
}

static void say_where(int fd)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t len = sizeof addr;
    char host[64] = "", port[16] = "";
    (void)getsockname(fd, (struct sockaddr *)&addr, &len);
    if (addr.ss_family == AF_UNIX) {
        log_info("listening address=unix:%s", ((const struct sockaddr_un *)&addr)->sun_path);
        return;
    }
    (void)getnameinfo((struct sockaddr *)&addr, len, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV);
    log_info("listening address=%s port=%s", host, port);
}

enum status acceptor_open(struct daemon *d, struct acceptor **ret, char err[static 256])
{
    struct acceptor *a = calloc(1, sizeof *a);
    if (!a) {
        snprintf(err, 256, "out of memory");
        return STATUS_NO_MEMORY;
    }
    a->daemon = d;
    d->env->random(d->env->arg, &a->seed, sizeof a->seed);
    enum status s = take_systemd_sockets(a, err);
    if (s == STATUS_OK && a->count == 0)
        s = open_own(a, err);
    if (s != STATUS_OK) {
        free(a);
        return s;
    }
    uv_timer_init(d->main_loop, &a->pause);
    a->pause.data = a;
    for (unsigned i = 0; i < a->count; i++) {
        uv_poll_init(d->main_loop, &a->polls[i], a->fds[i]);
        a->polls[i].data = a;
        bound_unsent(a->fds[i]);
        uv_poll_start(&a->polls[i], UV_READABLE, on_acceptable);
        say_where(a->fds[i]);
    }
    *ret = a;
    return STATUS_OK;
}

static void on_closed(uv_handle_t *h)
{
    struct acceptor *a = h->data;
    if (--a->closing > 0)
        return;
    for (unsigned i = 0; i < a->count; i++)
        close(a->fds[i]);
    if (a->unix_path)
        unlink(a->unix_path);
    free(a->unix_path);
    free(a);
}

void acceptor_close(struct acceptor *a)
{
    if (!a)
        return;
    a->closing = a->count + 1;
    for (unsigned i = 0; i < a->count; i++)
        uv_close((uv_handle_t *)&a->polls[i], on_closed);
    uv_close((uv_handle_t *)&a->pause, on_closed);
}
