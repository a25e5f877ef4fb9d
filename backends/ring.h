/* backends/ring.h -- two one-way rings of frames between two processes.
 *
 * Each side owns one memory (a page of positions, then its ring) that the other
 * can only read.  Positions count bytes for ever; records are 16-aligned and never
 * wrap (PAD fills the end).  The peer may write anything at any time: own
 * positions are private, a head is fetched once, a payload is copied before it is
 * looked at.  Inline, because libmaasworker and the gateway both compile it in.
 */
#ifndef MAAS_RING_H
#define MAAS_RING_H
#include "backends/wire.h"
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { RING_SIDE_BYTES = 4096 }; /* the ring's bytes follow the first page */

struct ring_side { /* written by its owner, read by the peer */
    uint32_t magic, version;
    uint64_t session;
    alignas(128) _Atomic uint64_t tail; /* bytes put into the ring behind this page */
    alignas(128) _Atomic uint64_t head; /* bytes taken out of the peer's ring */
    alignas(128) _Atomic uint32_t
        armed; /* bit 0: about to sleep; bit 1: waits for room, too; the rest: a count */
};
static_assert(sizeof(struct ring_side) <= RING_SIDE_BYTES, "the ring begins on the second page");
static_assert(offsetof(struct ring_side, tail) == 128 && offsetof(struct ring_side, head) == 256 &&
                  offsetof(struct ring_side, armed) == 384,
              "as docs/worker-protocol.md says");

enum { RING_ARMED = 1, RING_WANTS_ROOM = 2, RING_ARMED_STEP = 4 };

struct ring { /* one end's private view of both directions */
    struct ring_side *mine;
    const struct ring_side *peer;
    uint8_t *tx;
    const uint8_t *rx;
    uint64_t tx_bytes, rx_bytes; /* powers of two */
    uint64_t tail, peer_head;    /* of tx: where I write, how far the peer has read */
    uint64_t head, head_told,
        peer_tail; /* of rx: where I read, what the peer knows of it, how far it wrote */
    uint64_t tail_rung, head_rung; /* positions at the last look at the peer's `armed` */
    uint32_t armed, rung, frame_max;
    bool broken; /* the peer's positions are impossible */
};

/* `mine` and `peer` are the two mappings; sizes are of the rings alone. */
static inline void ring_init(struct ring *r, void *mine, const void *peer, uint32_t tx_bytes,
                             uint32_t rx_bytes, uint32_t frame_max)
{
    assert((tx_bytes & (tx_bytes - 1)) == 0 && (rx_bytes & (rx_bytes - 1)) == 0);
    assert(frame_max + sizeof(struct wire_head) <= tx_bytes / 4);
    *r = (struct ring){ .mine = mine,
                        .peer = peer,
                        .tx_bytes = tx_bytes,
                        .rx_bytes = rx_bytes,
                        .frame_max = frame_max };
    r->tx = (uint8_t *)mine + RING_SIDE_BYTES;
    r->rx = (const uint8_t *)peer + RING_SIDE_BYTES;
}

static inline uint64_t ring_record_bytes(uint32_t len)
{
    return (sizeof(struct wire_head) + (uint64_t)len + 15) & ~UINT64_C(15);
}

/* The largest payload that fits now, at the end of the ring or after a PAD; 0 also when nothing does. */
static inline uint32_t ring_room(struct ring *r)
{
    uint64_t peer_head = atomic_load_explicit(&r->peer->head, memory_order_acquire);
    if (peer_head - r->peer_head > r->tail - r->peer_head || (peer_head & 15)) {
        r->broken = true; /* not between what it had read and what I wrote */
        return 0;
    }
    r->peer_head = peer_head;
    uint64_t free_bytes = r->tx_bytes - (r->tail - r->peer_head),
             to_end = r->tx_bytes - (r->tail & (r->tx_bytes - 1));
    uint64_t run = free_bytes <= to_end           ? free_bytes
                   : to_end > free_bytes - to_end ? to_end
                                                  : free_bytes - to_end;
    uint64_t most = run > sizeof(struct wire_head) ? run - sizeof(struct wire_head) : 0;
    return most < r->frame_max ? (uint32_t)most : r->frame_max;
}

/* Where to write `len` bytes of payload (len <= ring_room() just now); they leave with ring_commit. */
static inline uint8_t *ring_reserve(struct ring *r, uint32_t len)
{
    uint64_t at = r->tail & (r->tx_bytes - 1), to_end = r->tx_bytes - at;
    if (ring_record_bytes(len) > to_end) {
        struct wire_head pad = { .len = (uint32_t)(to_end - sizeof(struct wire_head)),
                                 .type = WIRE_PAD };
        memcpy(r->tx + at, &pad, sizeof pad);
        r->tail += to_end;
        at = 0;
    }
    return r->tx + at + sizeof(struct wire_head);
}

/* h->len must be what was reserved. */
static inline void ring_commit(struct ring *r, const struct wire_head *h)
{
    memcpy(r->tx + (r->tail & (r->tx_bytes - 1)), h, sizeof *h);
    r->tail += ring_record_bytes(h->len);
    atomic_store_explicit(&r->mine->tail, r->tail, memory_order_release);
}

/* It fills the end, where a record did not fit: never two in a row, which could keep a reader busy. */
static inline bool ring_pad_is_right(const struct ring *r, uint64_t at, uint64_t size)
{
    return at > 0 && at + size == r->rx_bytes && size < ring_record_bytes(r->frame_max);
}

/* Copies the next frame out: 1 one, 0 none, -1 the peer broke the ring.  `payload` holds frame_max bytes. */
static inline int ring_next(struct ring *r, struct wire_head *h, uint8_t *payload)
{
    do {
        if (r->head == r->peer_tail) {
            r->peer_tail = atomic_load_explicit(&r->peer->tail, memory_order_acquire);
            if (r->head == r->peer_tail)
                return 0;
        }
        uint64_t avail = r->peer_tail - r->head, at = r->head & (r->rx_bytes - 1), word[2];
        const uint64_t *from = (const uint64_t *)(const void *)(r->rx + at);
        if (avail > r->rx_bytes || (avail & 15))
            return -1;
        word[0] = __atomic_load_n(from, __ATOMIC_RELAXED);
        word[1] = __atomic_load_n(from + 1, __ATOMIC_RELAXED);
        memcpy(h, word, sizeof *h);
        uint64_t size = ring_record_bytes(h->len);
        if (size > avail || at + size > r->rx_bytes ||
            (h->type == WIRE_PAD ? !ring_pad_is_right(r, at, size) : h->len > r->frame_max))
            return -1;
        if (h->type != WIRE_PAD)
            memcpy(payload, r->rx + at + sizeof *h, h->len);
        __asm__ volatile("" ::: "memory"); /* the compiler may not read the shared bytes again */
        r->head += size;
    } while (h->type == WIRE_PAD);
    return 1;
}

/* Tells the peer how far this end has read. */
static inline void ring_release(struct ring *r)
{
    if (r->head != r->head_told)
        atomic_store_explicit(&r->mine->head, r->head_told = r->head, memory_order_release);
}

#endif
