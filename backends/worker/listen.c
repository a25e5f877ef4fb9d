/* backends/worker/listen.c -- where gateways connect: "shm:/path", "unix:/path", "tcp:host:port".
 *
 * Who may connect to a unix socket is the process's umask: with the usual ones its
 * own user alone.  One that is already there is replaced only when nobody listens
 * on it any more.
 */
#include "backends/worker/internal.h"
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <unistd.h>

static int refuse(char err[256], const char *what, const char *where)
{
    snprintf(err, 256, "%s: %s%s%s", where, what, errno ? ": " : "", errno ? strerror(errno) : "");
    return MAAS_INVALID;
}

/* Connects to see whether the socket file has an owner; removes it when it has none. */
static bool remove_stale(const struct sockaddr_un *a, int type)
{
    struct stat st;
    if (lstat(a->sun_path, &st) < 0)
        return errno == ENOENT;
    int fd = S_ISSOCK(st.st_mode) ? socket(AF_UNIX, type | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return false;
    bool dead = connect(fd, (const struct sockaddr *)a, sizeof *a) < 0 && errno == ECONNREFUSED;
    close(fd);
    errno = EADDRINUSE;
    return dead && unlink(a->sun_path) == 0;
}

static int listen_unix(const char *path, int type, struct wk_listener *l, char err[256])
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    errno = 0;
    if (!*path || strlen(path) >= sizeof a.sun_path)
        return refuse(err, "the path is empty or too long for a unix socket", path);
    memcpy(a.sun_path, path, strlen(path) + 1);
    if (!remove_stale(&a, type))
        return refuse(err, "the socket cannot be replaced", path);
    l->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return refuse(err, "no socket", path);
    bool bound = bind(l->fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (!bound || listen(l->fd, 128) < 0) {
        int rc = refuse(err, bound ? "cannot listen" : "cannot bind", path);
        close(l->fd);
        return rc;
    }
    memcpy(l->path, a.sun_path, sizeof l->path);
    return MAAS_OK;
}

static int try_address(const struct addrinfo *a)
{
    int one = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 128) == 0)
        return fd;
    close(fd);
    return -1;
}

static int bound_port(int fd)
{
    struct sockaddr_storage a = { 0 };
    socklen_t len = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return 0;
    if (a.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
    return ntohs(((struct sockaddr_in *)&a)->sin_port);
}

/* "host:port" or "[v6]:port". */
static bool split_host_port(const char *text, char host[256], const char **ret_port)
{
    const char *colon = strrchr(text, ':');
    bool bracket = *text == '[';
    if (!colon || colon == text || (bracket && colon[-1] != ']'))
        return false;
    size_t len = (size_t)(colon - text) - (bracket ? 2 : 0);
    if (len >= 256)
        return false;
    memcpy(host, text + bracket, len);
    host[len] = '\0';
    *ret_port = colon + 1;
    return true;
}

static int listen_tcp(const char *text, struct wk_listener *l, char err[256])
{
    char host[256];
    const char *port;
    errno = 0;
    if (!split_host_port(text, host, &port))
        return refuse(err, "expected HOST:PORT", text);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list = NULL;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return refuse(err, "the address is not known", text);
    l->fd = -1;
    for (struct addrinfo *a = list; a && l->fd < 0; a = a->ai_next)
        l->fd = try_address(a);
    freeaddrinfo(list);
    return l->fd < 0 ? refuse(err, "cannot listen", text) : MAAS_OK;
}

int maas_worker_listen(struct maas_worker *w, const char *where, char err[256])
{
    struct wk_listener l = { .fd = -1, .carrier = &wk_carrier_stream };
    int rc;
    errno = 0;
    if (w->listener_count == WK_LISTENERS_MAX)
        return refuse(err, "too many listeners", where);
    if (strncmp(where, "shm:", 4) == 0) {
        l.carrier = &wk_carrier_shm;
        rc = listen_unix(where + 4, SOCK_SEQPACKET, &l, err);
    } else if (strncmp(where, "unix:", 5) == 0) {
        rc = listen_unix(where + 5, SOCK_STREAM, &l, err);
    } else if (strncmp(where, "tcp:", 4) == 0) {
        rc = listen_tcp(where + 4, &l, err);
    } else {
        rc = refuse(err, "expected shm:PATH, unix:PATH or tcp:HOST:PORT", where);
    }
    if (rc != MAAS_OK)
        return rc;
    w->listeners[w->listener_count] = l;
    if (!wk_watch(w, l.fd, &w->listeners[w->listener_count], false)) {
        close(l.fd);
        return refuse(err, "cannot wait for connections", where);
    }
    w->listener_count++;
    if (!l.path[0] && !w->tcp_port)
        w->tcp_port = bound_port(l.fd);
    return MAAS_OK;
}

void wk_listeners_close(struct maas_worker *w)
{
    for (unsigned i = 0; i < w->listener_count; i++) {
        close(w->listeners[i].fd);
        if (w->listeners[i].path[0])
            unlink(w->listeners[i].path);
    }
}

void wk_listeners_forked(struct maas_worker *w)
{
    for (unsigned i = 0; i < w->listener_count; i++)
        close(w->listeners[i].fd);
    w->listener_count = 0;
}
