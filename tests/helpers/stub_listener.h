/* tests/helpers/stub_listener.h -- what stub servers have in common: a free port on 127.0.0.1, a thread that
 * accepts, and a thread for each connection. */
#ifndef MAAS_STUB_LISTENER_H
#define MAAS_STUB_LISTENER_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { STUB_CONNECTIONS_MAX = 256 };

struct stub_listener {
    int fd;
    uint16_t port;
    /* A thread of its own for each connection; closes fd, and ends soon once `stopping` is set. */
    void (*serve)(void *arg, int fd);
    void *arg;
    pthread_t acceptor, servers[STUB_CONNECTIONS_MAX];
    atomic_uint connections; /* that came */
    atomic_bool stopping;
};

void stub_listener_open(struct stub_listener *l, void (*serve)(void *arg, int fd), void *arg);
/* Sets `stopping` and waits for every thread. */
void stub_listener_close(struct stub_listener *l);
#endif
