/* tests/mutate/mutate.h -- random mutations of rings and frames while they are in use, from a seed.
 *
 * Found by the sanitizers: any access outside what is ours.  Found here: a call that does not end
 * once, bytes after its end, a slot that is lost, and a healthy worker that notices anything.
 */
#ifndef MUTATE_H
#define MUTATE_H
#include "backends/ring.h"
#include "backends/session.h"

/* xorshift: the same on every machine. */
struct dice {
    uint64_t x;
};

static inline uint64_t dice_roll(struct dice *d)
{
    d->x ^= d->x << 13;
    d->x ^= d->x >> 7;
    d->x ^= d->x << 17;
    return d->x;
}

static inline uint64_t dice_below(struct dice *d, uint64_t n)
{
    return (dice_roll(d) >> 16) % n;
}

/* Each makes `count` mutations, prints its figures and aborts on what must not be. */
void mutate_rings(struct dice *d, uint64_t count);
void mutate_carrier(struct dice *d, uint64_t count, bool shm);

/* peer.c: the worker's side of one session, in this process, honest unless told otherwise. */
enum { PEER_FRAME_MAX = WIRE_FRAME_MAX, PEER_STREAM_BYTES = 1 << 18, PEER_SLOTS = 4 };

struct peer {
    bool shm, up;
    bool strict; /* it says what it means: its idea of its slots is right */
    char address[108];
    int door, fd; /* fd < 0: nobody has called */
    struct ring ring;
    uint8_t *g, *w; /* the two memories as this side has them */
    size_t in_len;
    uint8_t in[PEER_STREAM_BYTES]; /* of the byte stream */
    uint8_t payload[PEER_FRAME_MAX];
    struct peer_slot {
        bool busy, whole, stream, cancelled;
        uint32_t gen, credit, output; /* output: tokens it has counted */
        uint64_t left;                /* of the body */
    } slot[PEER_SLOTS];
    uint64_t requests, pings;
};

void peer_open(struct peer *p, bool shm, const char *name);
void peer_close(struct peer *p);
void peer_hang_up(struct peer *p);
void peer_turn(struct peer *p); /* accepts, greets, takes in frames, answers PING */
/* As it stands; false: no room, or the connection is gone. */
bool peer_say(struct peer *p, const struct wire_head *h, const void *payload);
bool peer_say_raw(struct peer *p, const void *bytes, size_t len); /* into the stream */
void peer_ring(struct peer *p);                                   /* the bell */
#endif
