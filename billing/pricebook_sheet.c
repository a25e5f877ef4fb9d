/* billing/pricebook_sheet.c -- the lines of one model as a sheet. */
#include "base/arena.h"
#include "billing/pricebook.h"

struct chain {
    struct price_item item;
    struct chain *next;
};

static bool copy_words(struct arena *a, struct price_item *i)
{
    for (unsigned d = 0; d < PRICE_DIMS; d++)
        if (i->dim[d].len && !(i->dim[d].at = arena_memdup(a, i->dim[d].at, i->dim[d].len)))
            return false;
    const void *tiers =
        i->tier_count ? arena_memdup(a, i->tiers, i->tier_count * sizeof *i->tiers) : NULL;
    i->tiers = tiers;
    return tiers || !i->tier_count;
}

/* The lines of the model in the order of meters, which is not that of their names. */
static enum status collect(const char *text, const char *model, struct arena *a,
                           struct chain *first[static METER_COUNT], unsigned *ret_count)
{
    struct pricebook_line line = { .number = 0 };
    struct chain **end[METER_COUNT];
    bool bad;
    for (unsigned m = 0; m < METER_COUNT; m++)
        end[m] = &first[m];
    while (pricebook_next(&text, &line, &bad)) {
        if (!span_is(line.model, model))
            continue;
        struct chain *c = arena_alloc(a, sizeof *c);
        if (!c)
            return STATUS_NO_MEMORY;
        c->item = line.item;
        if (!copy_words(a, &c->item))
            return STATUS_NO_MEMORY;
        *end[line.item.meter] = c;
        end[line.item.meter] = &c->next;
        ++*ret_count;
    }
    return bad ? STATUS_BAD_FIELD : *ret_count ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status pricebook_sheet(const char *text, const char *model, struct arena *a,
                            const struct price_sheet **ret)
{
    struct chain *first[METER_COUNT] = { NULL };
    unsigned count = 0, at = 0, lines = 0;
    enum status status = collect(text, model, a, first, &count);
    if (status)
        return status;
    struct price_sheet *s = arena_alloc(a, sizeof *s);
    struct price_item *items = arena_alloc(a, count * sizeof *items);
    if (!s || !items)
        return STATUS_NO_MEMORY;
    s->items = items;
    for (unsigned m = 0; m < METER_COUNT; m++) {
        if (first[m])
            lines += first[m]->item.kind == PRICE_INCLUDED ? 2 : 1;
        for (const struct chain *c = first[m]; c; c = c->next)
            items[at++] = c->item;
    }
    price_sheet_close(s, count);
    if (lines > PRICE_LINES_MAX)
        return STATUS_BAD_FIELD;
    *ret = s;
    return STATUS_OK;
}
