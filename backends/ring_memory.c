/* backends/ring_memory.c -- the gateway makes both shared memories and seals them.
 *
 * A memory from the worker is never accepted: it could be truncated under the
 * gateway (SIGBUS) or live on a file system that hangs.  fallocate() puts the
 * pages there before anyone maps them; sealing comes after the gateway's own
 * writable mapping, because F_SEAL_FUTURE_WRITE forbids every later one.
 */
#include "backends/ring_memory.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static int memory_fd(const char *name, size_t bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && fallocate(fd, 0, 0, (off_t)bytes) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void *memory_map(int fd, size_t bytes, int protection)
{
    void *at = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

enum {
    G_BYTES = RING_SIDE_BYTES + WIRE_RING_G_BYTES,
    W_BYTES = RING_SIDE_BYTES + WIRE_RING_W_BYTES
};

static bool memory_g(struct ring_memory *m)
{
    m->fd_g = memory_fd("maas-gateway", G_BYTES);
    if (m->fd_g < 0)
        return false;
    m->g = memory_map(m->fd_g, G_BYTES, PROT_READ | PROT_WRITE);
    return m->g && fcntl(m->fd_g, F_ADD_SEALS,
                         F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0;
}

static bool memory_w(struct ring_memory *m)
{
    m->fd_w = memory_fd("maas-worker", W_BYTES);
    if (m->fd_w < 0)
        return false;
    m->w = memory_map(m->fd_w, W_BYTES, PROT_READ);
    return m->w && fcntl(m->fd_w, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
}

bool ring_memory_make(struct ring_memory *m, uint64_t session)
{
    *m = (struct ring_memory){ .fd_g = -1, .fd_w = -1 };
    if (!memory_g(m) || !memory_w(m)) {
        ring_memory_free(m);
        return false;
    }
    m->g->magic = WIRE_MAGIC;
    m->g->version = WIRE_RING_VERSION;
    m->g->session = session;
    return true;
}

void ring_memory_close_fds(struct ring_memory *m)
{
    if (m->fd_g > 0)
        close(m->fd_g);
    if (m->fd_w > 0)
        close(m->fd_w);
    m->fd_g = m->fd_w = -1;
}

void ring_memory_free(struct ring_memory *m)
{
    ring_memory_close_fds(m);
    if (m->g)
        munmap(m->g, G_BYTES);
    if (m->w)
        munmap((void *)(uintptr_t)m->w, W_BYTES);
    m->g = NULL;
    m->w = NULL;
}
