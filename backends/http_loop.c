/* backends/http_loop.c -- libcurl's sockets and its timer on libuv.
 *
 * We open and close libcurl's sockets ourselves, so that each has one uv_poll for
 * its whole life.  Reading stays armed between requests: libcurl lets go of a
 * kept connection after each answer and takes it up again for the next, and
 * following it faithfully would cost several system calls a request.  And it
 * shows what libcurl does not look for: an answer that nobody asked for.
 */
#include "backends/http_parts.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- sockets ---- */

static struct http_socket *find_socket(struct http_backend *b, curl_socket_t fd)
{
    struct http_socket *s;
    LIST_FOREACH(s, &b->sockets[(unsigned)fd % HTTP_SOCKET_BUCKETS], bucket)
    {
        if (s->fd == fd)
            return s;
    }
    return NULL;
}

static void forget_socket(struct http_socket *s);

static ino_t inode_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static struct http_socket *watch_socket(struct http_backend *b, curl_socket_t fd, bool ours)
{
    struct http_socket *stale = find_socket(b, fd), *s = calloc(1, sizeof *s);
    if (stale) /* closed without a word: see is_closed() */
        forget_socket(stale);
    if (!s || uv_poll_init_socket(b->loop, &s->poll, fd) != 0) {
        free(s);
        return NULL;
    }
    s->backend = b;
    s->fd = fd;
    s->ours = ours;
    s->inode = inode_of(fd);
    s->poll.data = s;
    b->pending++;
    LIST_INSERT_HEAD(&b->sockets[(unsigned)fd % HTTP_SOCKET_BUCKETS], s, bucket);
    return s;
}

static void on_socket_closed(uv_handle_t *h)
{
    struct http_socket *s = h->data;
    struct http_backend *b = s->backend;
    free(s);
    http_release(b);
}

static void forget_socket(struct http_socket *s)
{
    LIST_REMOVE(s, bucket);
    uv_close((uv_handle_t *)&s->poll, on_socket_closed);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void arm(struct http_socket *s, int events)
{
    if (s->armed == events)
        return;
    if (events)
        uv_poll_start(&s->poll, events, on_poll);
    else
        uv_poll_stop(&s->poll);
    s->armed = events;
}

/* Reading may stay armed unwanted; writing may not, an idle socket is always writable. */
static void follow_wish(struct http_socket *s)
{
    if (s->idle)
        arm(s, UV_READABLE);
    else if ((s->wanted & ~s->armed) || (s->armed & ~s->wanted & UV_WRITABLE))
        arm(s, s->wanted);
}

static void act(struct http_backend *b, curl_socket_t fd, int events)
{
    int still_running;
    curl_multi_socket_action(b->multi, fd, events, &still_running);
    http_reap(b);
}

/* libcurl takes a kept connection for dead only when reading from it gives a clean end, so a
 * clean end is what its descriptor now gets; the real connection is closed by that. */
static void spoil(struct http_socket *s)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        shutdown(s->fd, SHUT_RDWR);
        return;
    }
    close(ends[1]);
    dup3(ends[0], s->fd, O_CLOEXEC);
    close(ends[0]);
}

/* A kept connection was closed by the other side, or says what nobody asked for. */
static void on_unwanted(struct http_socket *s)
{
    arm(s, 0); /* first: it knows the old connection by this descriptor */
    if (s->idle)
        spoil(s);
    s->idle = false;
}

void http_loop_discard(struct http_call *c)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    curl_easy_getinfo(c->easy, CURLINFO_ACTIVESOCKET, &fd);
    struct http_socket *s = fd == CURL_SOCKET_BAD ? NULL : find_socket(c->backend, fd);
    if (s && s->idle)
        on_unwanted(s);
}

/* Of a connection that is ours: what HTTP/2 is spoken over. */
struct http_socket *http_loop_take(struct http_backend *b, curl_socket_t fd,
                                   void (*on_events)(void *arg, int events), void *arg)
{
    struct http_socket *s = find_socket(b, fd);
    if (!s)
        return NULL;
    s->on_events = on_events;
    s->arg = arg;
    s->idle = false;
    return s;
}

void http_loop_want(struct http_socket *s, int events)
{
    arm(s, events);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct http_socket *s = poll->data;
    struct http_backend *b = s->backend;
    curl_socket_t fd = s->fd;
    if (status < 0) /* libuv has stopped watching; libcurl shall find out by itself */
        s->armed = 0;
    if (s->on_events) {
        s->on_events(s->arg, status < 0 ? UV_READABLE | UV_WRITABLE : events);
        return; /* s may be gone */
    }
    if (s->idle || (status >= 0 && !(events & s->wanted))) {
        on_unwanted(s);
        return;
    }
    /* Not CURL_CSELECT_ERR: while it connects libcurl would keep that for its next socket. */
    act(b, fd,
        (status < 0 || events & UV_READABLE ? CURL_CSELECT_IN : 0) |
            (status < 0 || events & UV_WRITABLE ? CURL_CSELECT_OUT : 0));
    s = find_socket(b, fd);
    if (s)
        follow_wish(s);
}

/* The last word on where a connection goes: asked of the very address that follows. */
static bool may_connect(struct http_backend *b, const struct sockaddr *address)
{
    char text[IP_TEXT_BYTES];
    struct ip ip;
    if (!ip_of_sockaddr(address, &ip))
        return false;
    const char *why = egress_refusal(b->base.conf->egress, &ip);
    if (why)
        backend_trouble(&b->base, "%s is refused: %s", ip_text(&ip, text), why);
    return !why;
}

static curl_socket_t on_open(void *backend, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct http_backend *b = backend;
    (void)purpose;
    if (!may_connect(b, &a->addr))
        return CURL_SOCKET_BAD;
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    struct http_socket *s = watch_socket(b, fd, true);
    if (!s) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    /* What it wishes next; of a descriptor that is used again at once it would not say it. */
    s->wanted = UV_WRITABLE;
    follow_wish(s);
    atomic_fetch_add_explicit(&b->base.stats.connects, 1, memory_order_relaxed);
    return fd;
}

static int on_close(void *backend, curl_socket_t fd)
{
    struct http_socket *s = find_socket(backend, fd);
    if (s)
        forget_socket(s);
    return close(fd);
}

bool http_loop_attach(struct http_backend *b, CURL *easy)
{
    return curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, b) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, b) == CURLE_OK;
}

/* libcurl lets go of a socket when the answer is complete, and also while the reader holds it
 * back.  The first leaves it idle. */
static bool is_idle(CURL *easy)
{
    struct http_call *c = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &c);
    return c && !c->held;
}

static int local_port(curl_socket_t fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a;
    socklen_t len = sizeof a;
    if (getsockname(fd, &a.any, &len) != 0)
        return -1;
    return ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
}

/* An answer that comes fast on a kept connection may be read, and held back, before libcurl says
 * that it has taken the connection up again.  What arrives there then is wanted. */
void http_loop_held(struct http_call *c)
{
    struct http_socket *s;
    for (size_t i = 0; i < HTTP_SOCKET_BUCKETS; i++)
        LIST_FOREACH(s, &c->backend->sockets[i], bucket)
        {
            if (s->idle && local_port(s->fd) == c->local_port)
                s->idle = false;
        }
}

/* Until a connection is made, TLS included, libcurl 7.88 closes its socket without our callback: when
 * the time is over, another address was faster, or the call is given up.  Then it lets go of a
 * descriptor that is nobody's, or already somebody else's. */
static bool is_closed(struct http_socket *s)
{
    s->proven = s->proven || inode_of(s->fd) == s->inode;
    return !s->proven;
}

/* Sockets that libcurl makes for itself are not announced, so they are met here first. */
static int on_wish(CURL *easy, curl_socket_t fd, int what, void *backend, void *unused)
{
    struct http_backend *b = backend;
    struct http_socket *s = find_socket(b, fd);
    (void)unused;
    if (!s && what != CURL_POLL_REMOVE)
        s = watch_socket(b, fd, false);
    if (!s)
        return 0;
    s->wanted = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        s->wanted |= UV_READABLE;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        s->wanted |= UV_WRITABLE;
    s->idle = what == CURL_POLL_REMOVE && is_idle(easy);
    if (what == CURL_POLL_REMOVE && (!s->ours || is_closed(s)))
        forget_socket(s);
    else
        follow_wish(s);
    return 0;
}

/* ---- the timer ---- */

static void on_curl_timer(uv_timer_t *timer)
{
    http_loop_kick(timer->data);
}

static int on_timer_wish(CURLM *multi, long timeout_ms, void *backend)
{
    struct http_backend *b = backend;
    (void)multi;
    if (b->torn_down)
        return 0;
    uv_timer_stop(&b->curl_timer);
    if (timeout_ms == 0)
        http_turn_soon(b);
    else if (timeout_ms > 0)
        uv_timer_start(&b->curl_timer, on_curl_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

void http_loop_kick(struct http_backend *b)
{
    act(b, CURL_SOCKET_TIMEOUT, 0);
}

#define SET(option, value) (curl_multi_setopt(b->multi, CURLMOPT_##option, (value)) == CURLM_OK)

/* libcurl keeps as many idle connections as calls may run, not its default of four a handle. */
enum status http_loop_open(struct http_backend *b)
{
    b->multi = curl_multi_init();
    bool ok = b->multi && SET(SOCKETFUNCTION, on_wish) && SET(SOCKETDATA, b) &&
              SET(TIMERFUNCTION, on_timer_wish) && SET(TIMERDATA, b) &&
              SET(MAXCONNECTS, (long)b->base.conf->concurrency);
    return ok ? STATUS_OK : STATUS_NO_MEMORY;
}
