/* tests/helpers/stub_listener.c -- see stub_listener.h. */
#include "tests/helpers/stub_listener.h"
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POLL_MS = 10 };

struct accepted {
    struct stub_listener *listener;
    int fd;
};

static void *serve(void *arg)
{
    struct accepted a = *(struct accepted *)arg;
    free(arg);
    a.listener->serve(a.listener->arg, a.fd);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct stub_listener *l = arg;
    struct pollfd p = { .fd = l->fd, .events = POLLIN };
    while (!l->stopping && l->connections < STUB_CONNECTIONS_MAX) {
        if (poll(&p, 1, POLL_MS) <= 0)
            continue;
        struct accepted *a = malloc(sizeof *a);
        assert(a);
        *a = (struct accepted){ l, accept4(l->fd, NULL, NULL, SOCK_CLOEXEC) };
        assert(a->fd >= 0);
        setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        unsigned place = l->connections++;
        int bad = pthread_create(&l->servers[place], NULL, serve, a);
        assert(!bad);
    }
    return NULL;
}

void stub_listener_open(struct stub_listener *l, void (*serve_one)(void *arg, int fd), void *arg)
{
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof here;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL, at both ends */
    l->serve = serve_one;
    l->arg = arg;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int bad = bind(l->fd, (struct sockaddr *)&here, len) || listen(l->fd, 64) ||
              getsockname(l->fd, (struct sockaddr *)&here, &len);
    assert(!bad);
    l->port = ntohs(here.sin_port);
    bad = pthread_create(&l->acceptor, NULL, accept_all, l);
    assert(!bad);
}

void stub_listener_close(struct stub_listener *l)
{
    l->stopping = true;
    pthread_join(l->acceptor, NULL);
    for (unsigned i = 0; i < l->connections; i++)
        pthread_join(l->servers[i], NULL);
    close(l->fd);
}
