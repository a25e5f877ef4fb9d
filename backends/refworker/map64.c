/* backends/refworker/map64.c -- open addressing, linear probing, at most half full. */
#include "backends/refworker/map64.h"
#include "backends/refworker/mix64.h"
#include <assert.h>
#include <stdlib.h>

enum { MAP64_SLOTS_MIN = 64 };

bool map64_init(struct map64 *m, size_t expected)
{
    size_t slots = MAP64_SLOTS_MIN;
    while (slots < 2 * expected)
        slots *= 2;
    *m = (struct map64){ .slots = calloc(slots, sizeof *m->slots), .mask = slots - 1 };
    return m->slots != NULL;
}

void map64_free(struct map64 *m)
{
    free(m->slots);
    *m = (struct map64){ 0 };
}

/* The slot that has the key, or the free one where it belongs. */
static struct map64_slot *map64_slot(const struct map64 *m, uint64_t key)
{
    size_t at = mix64(key) & m->mask;
    while (m->slots[at].key && m->slots[at].key != key)
        at = (at + 1) & m->mask;
    return &m->slots[at];
}

static bool map64_grow(struct map64 *m)
{
    struct map64 bigger;
    if (!map64_init(&bigger, m->mask + 1))
        return false;
    for (size_t i = 0; i <= m->mask; i++)
        if (m->slots[i].key)
            *map64_slot(&bigger, m->slots[i].key) = m->slots[i];
    bigger.used = m->used;
    map64_free(m);
    *m = bigger;
    return true;
}

bool map64_put(struct map64 *m, uint64_t key, uint32_t value)
{
    assert(key != 0 && value != 0);
    if (2 * (m->used + 1) > m->mask + 1 && !map64_grow(m))
        return false;
    struct map64_slot *slot = map64_slot(m, key);
    assert(slot->key == 0);
    *slot = (struct map64_slot){ key, value };
    m->used++;
    return true;
}

uint32_t map64_find(const struct map64 *m, uint64_t key)
{
    return map64_slot(m, key)->value;
}
