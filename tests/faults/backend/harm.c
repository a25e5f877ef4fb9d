/* tests/faults/backend/harm.c -- what only a hostile worker does: to the ring it writes, to its bell, to its ears. */
#include "tests/faults/backend/carrier.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct ring_side *side(struct session *s)
{
    return s->map_w;
}

/* ---- positions that cannot be, records that cannot be ---- */

static const struct {
    const char *name;
    bool head; /* of the gateway's ring; else the tail of the own one */
    int64_t more;
} positions[] = {
    { "tail-back", false, -16 },
    { "tail-odd", false, 8 },
    { "tail-far", false, WIRE_RING_W_BYTES + 16 },
    { "tail-wild", false, INT64_C(0x7edcba9876543210) },
    { "head-far", true, 4096 },
    { "head-back", true, -16 },
    { "head-odd", true, 8 },
    { "head-wild", true, INT64_C(0x7edcba9876543210) },
};

static bool move_position(struct session *s, const char *what)
{
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        if (strcmp(positions[i].name, what) != 0)
            continue;
        if (positions[i].head)
            atomic_store(&side(s)->head, s->ring.head + (uint64_t)positions[i].more);
        else
            atomic_store(&side(s)->tail, s->ring.tail + (uint64_t)positions[i].more);
        return true;
    }
    return false;
}

static const struct {
    const char *name;
    uint32_t len;
    uint16_t type;
    uint64_t published;
} records[] = {
    { "len-huge", UINT32_MAX, WIRE_DATA, 32 },
    { "len-past", 1000, WIRE_DATA, 32 },
    { "len-frame", WIRE_FRAME_MAX + 1, WIRE_DATA, 2 * WIRE_FRAME_MAX },
    { "pad", 0, WIRE_PAD, 16 },
};

static bool put_record(struct session *s, const char *what)
{
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        if (strcmp(records[i].name, what) != 0)
            continue;
        struct wire_head h = { .len = records[i].len, .type = records[i].type };
        memcpy(s->ring.tx + (s->ring.tail & (s->ring.tx_bytes - 1)), &h, sizeof h);
        atomic_store(&side(s)->tail, s->ring.tail + records[i].published);
        return true;
    }
    return false;
}

/* ---- deeds ---- */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Records of nothing, published a piece at a time while the gateway reads. */
static void pad_flood(struct session *s, int64_t n)
{
    uint64_t size = s->ring.tx_bytes, tail = s->ring.tail;
    struct wire_head pad = { .type = WIRE_PAD };
    for (uint64_t at = 0; at < size; at += sizeof pad)
        memcpy(s->ring.tx + at, &pad, sizeof pad);
    for (int64_t end = now_ms() + n; now_ms() < end; tail += size / 64)
        atomic_store(&side(s)->tail, tail);
}

/* Any bytes in the ring, and any in the page before it but for its first words. */
static void scribble(struct session *s, int64_t n)
{
    uint8_t *at = s->map_w;
    uint64_t x = (uint64_t)n * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (size_t i = 16; i < s->map_w_bytes; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        at[i] = (uint8_t)x;
    }
}

static void zero(struct session *s, int64_t n)
{
    (void)n;
    memset(s->map_w, 0, s->map_w_bytes);
}

/* Both are for the gateway to survive: the seals refuse the first, the second leaves zeros. */
static void truncate_memory(struct session *s, int64_t n)
{
    (void)n;
    if (ftruncate(s->fds[1], 0) == 0)
        fputs("fault-backend: the gateway's memory could be truncated: it is not sealed\n", stderr);
}

static void punch_hole(struct session *s, int64_t n)
{
    (void)n;
    fallocate(s->fds[1], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)s->map_w_bytes);
}

static void bells(struct session *s, int64_t n)
{
    struct pollfd p = { .fd = s->fd, .events = POLLOUT };
    while (n > 0 && poll(&p, 1, 1000) == 1 && !(p.revents & (POLLHUP | POLLERR)))
        n -= send(s->fd, "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
}

static const struct {
    const char *name;
    void (*run)(struct session *s, int64_t n);
} deeds[] = {
    { "pad-flood", pad_flood },      { "scribble", scribble }, { "zero", zero },
    { "truncate", truncate_memory }, { "punch", punch_hole },  { "bells", bells },
};

static bool do_deed(struct session *s, const char *what, int64_t n)
{
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        if (strcmp(deeds[i].name, what) != 0)
            continue;
        deeds[i].run(s, n);
        return true;
    }
    return false;
}

bool session_harm(struct session *s, const char *what, int64_t n)
{
    s->starved |= strcmp(what, "starve") == 0;
    if (s->starved)
        return true;
    if (!s->shm || !(move_position(s, what) || put_record(s, what) || do_deed(s, what, n)))
        return false; /* all but starving is for those who have a ring */
    send(s->fd, "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    return true;
}
