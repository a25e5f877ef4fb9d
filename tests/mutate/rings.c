/* tests/mutate/rings.c -- one end of a ring whose peer's memory changes under it. */
#include "backends/ring_wake.h"
#include "tests/mutate/mutate.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BYTES = 4096, MAP = RING_SIDE_BYTES + BYTES, MAX = BYTES / 4 - 16 };

static struct pair {
    struct ring mine, theirs; /* the honest end, and the end whose memory is mutated */
    uint8_t *a, *b, *payload;
} pair;
static uint64_t frames, broken;

static void fresh(void)
{
    free(pair.a);
    free(pair.b);
    pair.a =
        aligned_alloc(128, MAP); /* of exactly that size: a sanitizer sees the first byte beyond */
    pair.b = aligned_alloc(128, MAP);
    assert(pair.a && pair.b);
    memset(pair.a, 0, MAP);
    memset(pair.b, 0, MAP);
    ring_init(&pair.mine, pair.a, pair.b, BYTES, BYTES, MAX);
    ring_init(&pair.theirs, pair.b, pair.a, BYTES, BYTES, MAX);
}

static void put(struct ring *r, uint32_t len)
{
    struct wire_head h = { .len = len, .type = WIRE_DATA };
    if (ring_room(r) <= len)
        return;
    memset(ring_reserve(r, len), 0x5a, len);
    ring_commit(r, &h);
}

/* Positions near what is true and anywhere; heads of records; any bits of what is published. */
static void mutate(struct dice *d)
{
    struct ring_side *side = (struct ring_side *)pair.b;
    uint64_t value = dice_below(d, 2) ? dice_roll(d) : 16 * dice_below(d, 2 * BYTES / 16) - BYTES;
    uint32_t head[4] = { (uint32_t)value, (uint32_t)dice_below(d, 8), 0, 0 };
    switch (dice_below(d, 8)) {
    case 0:
        atomic_store(&side->tail, pair.mine.head + value);
        break;
    case 1:
        atomic_store(&side->head, pair.mine.tail + value);
        break;
    case 2:
        atomic_store(&side->armed, (uint32_t)value);
        break;
    case 3:
        memcpy(pair.b + RING_SIDE_BYTES + (pair.mine.head & (BYTES - 1)), head, sizeof head);
        break;
    default:
        pair.b[RING_SIDE_BYTES + dice_below(d, BYTES)] ^= (uint8_t)(1 << dice_below(d, 8));
    }
}

static bool read_some(void)
{
    struct wire_head h;
    int found = 1;
    for (unsigned i = 0; i < BYTES / 16 && (found = ring_next(&pair.mine, &h, pair.payload)) > 0;
         i++) {
        assert(h.len <= MAX && h.type != WIRE_PAD);
        frames++;
    }
    ring_release(&pair.mine);
    assert(pair.mine.head - pair.mine.head_told == 0);
    return found >= 0;
}

void mutate_rings(struct dice *d, uint64_t count)
{
    pair.payload = malloc(MAX);
    frames = broken = 0;
    fresh();
    for (uint64_t i = 0; i < count; i++) {
        struct wire_head h;
        for (uint64_t n = dice_below(d, 4); n > 0; n--)
            put(&pair.theirs, (uint32_t)dice_below(d, MAX));
        mutate(d);
        bool ok = read_some();
        put(&pair.mine, (uint32_t)dice_below(d, MAX));
        if (ring_arm(&pair.mine, dice_below(d, 2)))
            ring_disarm(&pair.mine);
        ring_bell_due(&pair.mine);
        while (ring_next(&pair.theirs, &h, pair.payload) ==
               1) /* the peer's view may be broken, too */
            continue;
        ring_release(&pair.theirs);
        if (ok && !pair.mine.broken && !pair.theirs.broken)
            continue;
        broken++;
        fresh();
    }
    free(pair.a);
    free(pair.b);
    free(pair.payload);
    pair = (struct pair){ .a = NULL };
    printf("mutate: rings   %" PRIu64 " mutations, %" PRIu64 " frames read, %" PRIu64
           " rings given up\n",
           count, frames, broken);
}
