/* tests/faults/preload/preload.c -- libfault.so: a disk that is full, a sync that fails, a clock that
 * is wrong, for one process that is started with LD_PRELOAD and knows nothing of it.
 *
 * MAASFAULT_CONTROL names a file of four 64-bit numbers, mapped by the test and by the process:
 *   room        bytes by which files below MAASFAULT_DIR may still grow; < 0: no limit
 *   clock_us    is added to the wall clock
 *   sync_error  what fsync and fdatasync of a file below MAASFAULT_DIR answer; 0: they are done
 *   syncs       how often a sync was refused so
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct control {
    _Atomic int64_t room, clock_us, sync_error, syncs;
} * control;
static const char *below;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("MAASFAULT_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    below = getenv("MAASFAULT_DIR");
    void *at = fd >= 0 ? mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                       : MAP_FAILED;
    if (at == MAP_FAILED || !below) {
        fputs("libfault.so: MAASFAULT_CONTROL or MAASFAULT_DIR is missing\n", stderr);
        _exit(2);
    }
    close(fd);
    control = at;
}

/* ---- whose file it is ---------------------------------------------------------------------- */

static bool is_below(const char *path)
{
    size_t len = strlen(below);
    return strncmp(path, below, len) == 0 && path[len] == '/';
}

static bool is_ours(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len > 0 ? len : 0] = '\0';
    return len > 0 && is_below(path);
}

/* ---- room ---------------------------------------------------------------------------------- */

/* Takes what the file grows by; false: there is not so much. */
static bool grow(int fd, off_t end)
{
    struct stat st;
    if (control->room < 0 || !is_ours(fd) || fstat(fd, &st) != 0 || end <= st.st_size)
        return true;
    int64_t need = end - st.st_size, room = control->room;
    while (room >= need && !atomic_compare_exchange_weak(&control->room, &room, room - need))
        ;
    return room >= need;
}

static void give_back(int64_t bytes)
{
    if (control->room >= 0 && bytes > 0)
        control->room += bytes;
}

static int full(void)
{
    errno = ENOSPC;
    return -1;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return grow(fd, at + (off_t)len) ? REAL(pwrite)(fd, bytes, len, at) : full();
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    return pwrite(fd, bytes, len, at);
}

int posix_fallocate(int fd, off_t at, off_t len)
{
    return grow(fd, at + len) ? REAL(posix_fallocate)(fd, at, len) : ENOSPC;
}

int posix_fallocate64(int fd, off64_t at, off64_t len)
{
    return posix_fallocate(fd, at, len);
}

int ftruncate(int fd, off_t len)
{
    struct stat st;
    if (!grow(fd, len))
        return full();
    if (fstat(fd, &st) == 0 && is_ours(fd))
        give_back(st.st_size - len);
    return REAL(ftruncate)(fd, len);
}

int ftruncate64(int fd, off64_t len)
{
    return ftruncate(fd, len);
}

int unlink(const char *path)
{
    struct stat st;
    bool ours = is_below(path) && stat(path, &st) == 0;
    int rc = REAL(unlink)(path);
    if (rc == 0 && ours)
        give_back(st.st_size);
    return rc;
}

/* ---- syncs --------------------------------------------------------------------------------- */

static bool refused(int fd)
{
    if (!control->sync_error || !is_ours(fd))
        return false;
    control->syncs++;
    errno = (int)control->sync_error;
    return true;
}

int fsync(int fd)
{
    return refused(fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return refused(fd) ? -1 : REAL(fdatasync)(fd);
}

/* ---- the clock ----------------------------------------------------------------------------- */

int clock_gettime(clockid_t id, struct timespec *ts)
{
    static int (*real)(clockid_t id, struct timespec * ts);
    real = real ? real : REAL(clock_gettime);
    int rc = real(id, ts);
    if (rc == 0 && control && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t us = ts->tv_sec * INT64_C(1000000) + ts->tv_nsec / 1000 + control->clock_us;
        *ts = (struct timespec){ us / 1000000, us % 1000000 * 1000 };
    }
    return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &ts);
    *tv = (struct timeval){ ts.tv_sec, ts.tv_nsec / 1000 };
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}
