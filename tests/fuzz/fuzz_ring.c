/* tests/fuzz/fuzz_ring.c -- a peer that writes anything anywhere in its memory, at any time.
 *
 * The input is a list of steps of the two sides.  Found by the sanitizers: any
 * access outside the two memories.  Checked here: what a frame may be.
 */
#include "backends/ring_wake.h"
#include <stdlib.h>

enum { BYTES = 4096, MAP = RING_SIDE_BYTES + BYTES, MAX = BYTES / 4 - 16 };

struct input {
    const uint8_t *at;
    size_t left;
};

static uint64_t number(struct input *in, size_t bytes)
{
    uint64_t n = 0;
    if (bytes > in->left)
        bytes = in->left;
    memcpy(&n, in->at, bytes);
    in->at += bytes;
    in->left -= bytes;
    return n;
}

/* The peer moves a position: somewhere near, or anywhere. */
static void lie(struct input *in, struct ring_side *peer, const struct ring *r)
{
    uint64_t how = number(in, 1);
    uint64_t value = how & 1 ? number(in, 8) : number(in, 1) * 16;
    if (how & 2)
        atomic_store(&peer->head, how & 1 ? value : r->peer_head + value);
    else
        atomic_store(&peer->tail, how & 1 ? value : r->head + value);
    if (how & 4)
        atomic_store(&peer->armed, (uint32_t)value);
}

static void scribble(struct input *in, uint8_t *ring)
{
    size_t at = number(in, 2) % BYTES, len = number(in, 1);
    for (; len > 0 && in->left > 0; len--, at = (at + 1) % BYTES)
        ring[at] = (uint8_t)number(in, 1);
}

/* A frame where the reader stands, mostly well formed. */
static void well_formed(struct input *in, uint8_t *ring, const struct ring *r)
{
    struct wire_head h = { .len = (uint32_t)number(in, 2), .type = (uint16_t)number(in, 1) };
    memcpy(ring + (r->head & (BYTES - 1)), &h, sizeof h);
}

static bool read_one(struct ring *r, uint8_t *payload)
{
    struct wire_head h;
    int found = ring_next(r, &h, payload);
    assert(found <= 0 || (h.len <= MAX && h.type != WIRE_PAD));
    return found >= 0;
}

static bool write_one(struct ring *r, uint32_t len)
{
    uint32_t room = ring_room(r);
    assert(room <= MAX && (!r->broken || room == 0));
    if (room > len) {
        struct wire_head h = { .len = len, .type = WIRE_BODY };
        memset(ring_reserve(r, len), 0x55, len);
        ring_commit(r, &h);
        assert(r->tail - r->peer_head <= BYTES);
    }
    return !r->broken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    uint8_t *mine = aligned_alloc(128, MAP), *peer = aligned_alloc(128, MAP),
            *payload = malloc(MAX);
    assert(mine && peer && payload);
    memset(mine, 0, MAP);
    memset(peer, 0, MAP);
    struct ring r;
    ring_init(&r, mine, peer, BYTES, BYTES, MAX);
    for (bool ok = true; ok && in.left > 0;) {
        switch (number(&in, 1) % 8) {
        case 0:
            lie(&in, (struct ring_side *)peer, &r);
            break;
        case 1:
            scribble(&in, peer + RING_SIDE_BYTES);
            break;
        case 2:
            well_formed(&in, peer + RING_SIDE_BYTES, &r);
            break;
        case 3:
            ring_release(&r);
            break;
        case 4:
            ok = write_one(&r, (uint32_t)number(&in, 2) % MAX);
            break;
        case 5:
            ring_arm(&r, number(&in, 1) & 1);
            ring_disarm(&r);
            break;
        case 6:
            ring_bell_due(&r);
            break;
        default:
            ok = read_one(&r, payload);
        }
    }
    free(mine);
    free(peer);
    free(payload);
    return 0;
}
