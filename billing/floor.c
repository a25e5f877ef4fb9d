/* billing/floor.c -- spans of request ids in rising order, the last one open-ended.
 *
 * An id that was added to a span is found in it again: spans are only appended
 * above every id seen, the first one only grows downwards, and only neighbours are
 * merged.  Dropping a span waits for the commit, so that a failed batch can be
 * taken back by adding the opposite. */
#include "billing/floor.h"
#include <assert.h>
#include <string.h>

void floor_init(struct floor *f, rid_t from)
{
    f->count = 1;
    f->span[0] = (struct floor_span){ .from = from };
}

static void drop_first(struct floor *f)
{
    f->count--;
    memmove(f->span, f->span + 1, f->count * sizeof f->span[0]);
}

static void append_span(struct floor *f, rid_t rid)
{
    if (f->count == FLOOR_SPANS) {
        f->span[1].from = f->span[0].from;
        f->span[1].open += f->span[0].open;
        drop_first(f);
    }
    f->span[f->count++] = (struct floor_span){ .from = rid - rid % FLOOR_SPAN_IDS };
}

/* An id from before the floor: a loop thread held it up, or the wall clock went back. */
static void reach_down(struct floor *f, rid_t rid)
{
    if (rid < f->span[0].from)
        f->span[0].from = rid;
}

void floor_add(struct floor *f, rid_t rid, int64_t open)
{
    assert(f->count >= 1);
    reach_down(f, rid);
    if (rid - f->span[f->count - 1].from >= FLOOR_SPAN_IDS)
        append_span(f, rid);
    unsigned i = f->count - 1;
    while (f->span[i].from > rid)
        i--;
    f->span[i].open += open;
}

rid_t floor_get(const struct floor *f)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->span[i].open > 0)
            return f->span[i].from;
    return f->span[f->count - 1].from;
}

bool floor_is_top(const struct floor *f)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->span[i].open > 0)
            return false;
    return true;
}

void floor_trim(struct floor *f)
{
    while (f->count > 1 && f->span[0].open <= 0)
        drop_first(f);
}
