/* billing/marks.c -- a hash table whose holes are closed at once: no tombstones. */
#include "billing/marks.h"
#include <stdlib.h>

static size_t home(const struct marks *m, rid_t rid)
{
    return ((uint64_t)rid * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (m->room - 1);
}

static struct mark *slot_for(const struct marks *m, rid_t rid)
{
    size_t i = home(m, rid);
    while (m->slots[i].rid != 0 && m->slots[i].rid != rid)
        i = (i + 1) & (m->room - 1);
    return &m->slots[i];
}

static bool grow(struct marks *m)
{
    struct marks more = { .room = m->room ? 2 * m->room : 64, .count = m->count };
    more.slots = calloc(more.room, sizeof *more.slots);
    if (!more.slots)
        return false;
    for (size_t i = 0; i < m->room; i++)
        if (m->slots[i].rid)
            *slot_for(&more, m->slots[i].rid) = m->slots[i];
    free(m->slots);
    *m = more;
    return true;
}

void marks_free(struct marks *m)
{
    free(m->slots);
    *m = (struct marks){ 0 };
}

bool marks_put(struct marks *m, rid_t rid, const struct draws *d)
{
    if (2 * m->count >= m->room && !grow(m))
        return false;
    struct mark *slot = slot_for(m, rid);
    m->count += slot->rid == 0;
    *slot = (struct mark){ rid, *d };
    return true;
}

/* What follows the hole moves into it unless it would stand before its home. */
static void close_hole(struct marks *m, size_t hole)
{
    size_t mask = m->room - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].rid; i = (i + 1) & mask) {
        size_t from = home(m, m->slots[i].rid);
        if (((i - from) & mask) < ((i - hole) & mask))
            continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole].rid = 0;
}

const struct draws *marks_find(const struct marks *m, rid_t rid)
{
    const struct mark *slot = m->count ? slot_for(m, rid) : NULL;
    return slot && slot->rid ? &slot->draws : NULL;
}

void marks_drop(struct marks *m, rid_t rid)
{
    const struct mark *slot = m->count ? slot_for(m, rid) : NULL;
    if (!slot || slot->rid == 0)
        return;
    m->count--;
    close_hole(m, (size_t)(slot - m->slots));
}

int64_t marks_of_fund(const struct marks *m, int64_t fund)
{
    int64_t sum = 0;
    for (size_t i = 0; i < m->room; i++)
        for (unsigned d = 0; m->slots[i].rid && d < m->slots[i].draws.count; d++)
            if (m->slots[i].draws.draw[d].fund == fund)
                sum += m->slots[i].draws.draw[d].atoms;
    return sum;
}
