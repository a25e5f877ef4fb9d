/* billing/pricebook_layer.c -- see pricebook_layer.h: two sorted texts, line by line. */
#include "billing/pricebook_layer.h"
#include "base/digest.h"
#include "billing/pricebook.h"
#include <string.h>

struct cursor {
    const char *next; /* behind its line */
    struct pricebook_line line;
    bool more, bad;
};

struct listed { /* what the list sells of a meter by the unit */
    struct price_item unit[PRICE_ITEMS_MAX];
    unsigned count;
    bool other; /* not by the unit alone */
};

static void step(struct cursor *c)
{
    c->more = pricebook_next(&c->next, &c->line, &c->bad);
}

/* In place: the tiers of a line are inside of it. */
static void begin(struct cursor *c, const char *text)
{
    *c = (struct cursor){ .next = text };
    step(c);
}

bool pricebook_says(const char *text)
{
    struct cursor c;
    begin(&c, text);
    return c.more;
}

static int compare(const struct pricebook_line *a, const struct pricebook_line *b)
{
    size_t len = a->model.len < b->model.len ? a->model.len : b->model.len;
    int order = memcmp(a->model.at, b->model.at, len);
    if (!order)
        order = (a->model.len > b->model.len) - (a->model.len < b->model.len);
    return order ? order : strcmp(meter_name(a->item.meter), meter_name(b->item.meter));
}

/* ---- the list's price of a unit ------------------------------------------------------------ */

static void take_listed(struct cursor *list, const struct pricebook_line *of, struct listed *ret)
{
    *ret = (struct listed){ .count = 0 };
    while (list->more && compare(&list->line, of) == 0) {
        const struct price_item *i = &list->line.item;
        if (i->kind == PRICE_UNIT)
            ret->unit[ret->count++] = *i;
        else if (i->kind != PRICE_INCLUDED)
            ret->other = true;
        step(list);
    }
}

static bool same_price(struct price a, struct price b)
{
    return !money_dearer(a, b) && !money_dearer(b, a);
}

/* Of the list's item with the same conditions, or of one that is for every request. */
static struct price list_price(const struct listed *list, const struct price_item *own)
{
    static const struct price none = { 0, 0 };
    struct price_item like = *own;
    like.kind = PRICE_UNIT;
    if (own->kind != PRICE_UNIT && own->kind != PRICE_GRADUATED && own->kind != PRICE_VOLUME)
        return none;
    uint64_t series = price_series(&like);
    for (unsigned i = 0; i < list->count; i++) {
        struct price_item bare = list->unit[i];
        bare.list = none;
        bool alone = list->count == 1 && !list->other && price_item_plain(&bare);
        if (alone || price_series(&bare) == series)
            return own->kind == PRICE_UNIT && same_price(own->price, bare.price) ? none
                                                                                 : bare.price;
    }
    return none;
}

/* ---- lines --------------------------------------------------------------------------------- */

static bool put_list(struct buf *b, const struct cursor *list)
{
    return buf_add(b, list->line.model.at, (size_t)(list->next - list->line.model.at));
}

static bool put_own(struct buf *b, const struct pricebook_line *line, const struct listed *list)
{
    struct price_item item = line->item;
    item.list = list_price(list, &item);
    return buf_printf(b, "%.*s %s ", (int)line->model.len, line->model.at,
                      meter_name(item.meter)) &&
           price_item_write(b, &item) && buf_text(b, "\n");
}

/* A meter that the organization's book says something of: all of its items there. */
static bool put_meter(struct buf *b, struct cursor *list, struct cursor *own)
{
    struct listed listed;
    struct pricebook_line of = own->line;
    take_listed(list, &of, &listed);
    bool fits = true;
    for (; fits && own->more && compare(&own->line, &of) == 0; step(own))
        fits = put_own(b, &own->line, &listed);
    return fits;
}

static bool put_head(struct buf *b, const char *currency, const char *name,
                     const struct layer_of *list, const struct layer_of *own)
{
    char list_hex[DIGEST_HEX_BYTES], own_hex[DIGEST_HEX_BYTES];
    return buf_printf(b, "currency %s book %s over %s own %s\n", currency, name,
                      digest_hex(list->sha256, DIGEST_BYTES, list_hex),
                      digest_hex(own->sha256, DIGEST_BYTES, own_hex));
}

enum status pricebook_layer(const char *currency, const char *name, const struct layer_of *list,
                            const struct layer_of *own, struct buf *ret)
{
    struct cursor below, above;
    begin(&below, list->text);
    begin(&above, own->text);
    bool fits = put_head(ret, currency, name, list, own);
    while (fits && (below.more || above.more)) {
        int order = !above.more ? -1 : !below.more ? 1 : compare(&below.line, &above.line);
        if (order >= 0) {
            fits = put_meter(ret, &below, &above);
        } else {
            fits = put_list(ret, &below);
            step(&below);
        }
    }
    return !fits ? STATUS_NO_MEMORY : below.bad || above.bad ? STATUS_INTERNAL : STATUS_OK;
}
