/* backends/ring_memory.h -- the two shared memories of a session, as the gateway makes them. */
#ifndef MAAS_RING_MEMORY_H
#define MAAS_RING_MEMORY_H
#include "backends/ring.h"

struct ring_memory { /* the two memories as their maker, the gateway, holds them */
    int fd_g, fd_w;
    struct ring_side *g;
    const struct ring_side *w;
};

/* Makes, sizes, maps and seals both; the peer can neither truncate them nor write to g. */
bool ring_memory_make(struct ring_memory *m, uint64_t session);
void ring_memory_close_fds(struct ring_memory *m); /* after they were handed over */
void ring_memory_free(struct ring_memory *m);      /* safe on a zeroed or half-made one */
#endif
