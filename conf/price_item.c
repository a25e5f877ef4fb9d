/* conf/price_item.c -- which item holds, and the one text that says an item. */
#include "conf/price_item.h"
#include <inttypes.h>

const char *price_kind_name(enum price_kind k)
{
    static const char *const names[] = {
#define X(NAME, word) [PRICE_##NAME] = word,
        PRICE_KIND_MAP(X)
#undef X
    };
    return names[k];
}

const char *price_dim_name(enum price_dim d)
{
    static const char *const names[] = {
#define X(NAME, word) [PRICE_DIM_##NAME] = word,
        PRICE_DIM_MAP(X)
#undef X
    };
    return names[d];
}

static bool has_conditions(const struct price_item *i)
{
    return i->context_min > 0 || i->context_max != PRICE_NO_END || price_item_rank(i) > 0;
}

bool price_item_plain(const struct price_item *i)
{
    return i->kind == PRICE_UNIT && i->list.per_units == 0 && !has_conditions(i);
}

bool price_item_periodic(const struct price_item *i)
{
    return i->kind == PRICE_FLAT ? i->per_period : i->kind != PRICE_UNIT;
}

static bool whole(struct price p)
{
    return p.atoms % p.per_units == 0;
}

unsigned price_item_halves(const struct price_item *i)
{
    unsigned halves = 0;
    switch (i->kind) {
    case PRICE_UNIT:
        return !whole(i->price);
    case PRICE_GRADUATED:
        for (unsigned t = 0; t < i->tier_count; t++)
            halves += !whole(i->tiers[t].price);
        return halves;
    case PRICE_VOLUME:
        for (unsigned t = 0; t < i->tier_count; t++)
            halves |= !whole(i->tiers[t].price);
        return halves;
    default:
        return 0;
    }
}

/* ---- which one holds ----------------------------------------------------------------------- */

static bool same(struct span a, struct span b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

bool price_item_fits(const struct price_item *i, const struct price_facts *f)
{
    if (i->kind == PRICE_INCLUDED || f->context < i->context_min || f->context > i->context_max)
        return false;
    for (unsigned d = 0; d < PRICE_DIMS; d++)
        if (i->dim[d].len && !same(i->dim[d], f->dim[d]))
            return false;
    return !i->time.days || time_band_holds(&i->time, f->accepted_us);
}

unsigned price_item_rank(const struct price_item *i)
{
    unsigned rank = i->time.days != 0;
    for (unsigned d = 0; d < PRICE_DIMS; d++)
        rank += i->dim[d].len > 0;
    return rank;
}

void price_sheet_close(struct price_sheet *s, unsigned count)
{
    unsigned at = 0;
    s->dims = 0;
    s->periodic = false;
    for (unsigned m = 0; m < METER_COUNT; m++) {
        s->first[m] = (uint16_t)at;
        for (; at < count && s->items[at].meter == m; at++) {
            s->periodic = s->periodic || price_item_periodic(&s->items[at]);
            for (unsigned d = 0; d < PRICE_DIMS; d++)
                s->dims |= s->items[at].dim[d].len ? 1u << d : 0;
        }
    }
    s->first[METER_COUNT] = (uint16_t)count;
}

const struct price_item *price_select(const struct price_sheet *s, enum meter m,
                                      const struct price_facts *f)
{
    const struct price_item *best = NULL;
    for (unsigned at = s->first[m]; at < s->first[m + 1]; at++) {
        const struct price_item *i = &s->items[at];
        if (price_item_fits(i, f) && (!best || price_item_rank(i) > price_item_rank(best)))
            best = i;
    }
    return best;
}

const struct price_item *price_included(const struct price_sheet *s, enum meter m)
{
    unsigned at = s->first[m];
    bool has = at < s->first[m + 1] && s->items[at].kind == PRICE_INCLUDED;
    return has ? &s->items[at] : NULL;
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001B3);
    hash = (hash ^ len) * UINT64_C(0xFF51AFD7ED558CCD);
    return hash ^ hash >> 32;
}

uint64_t price_series(const struct price_item *i)
{
    char time[TIME_BAND_TEXT_BYTES];
    const int64_t numbers[] = { i->meter, i->kind, i->per_period, i->context_min, i->context_max };
    uint64_t hash = mix(UINT64_C(0xCBF29CE484222325), numbers, sizeof numbers);
    for (unsigned d = 0; d < PRICE_DIMS; d++)
        hash = mix(hash, i->dim[d].len ? i->dim[d].at : "", i->dim[d].len);
    if (!i->time.days)
        return hash;
    time_band_text(&i->time, ' ', time);
    return mix(hash, time, strlen(time));
}

/* ---- the order in a book ------------------------------------------------------------------- */

static int by_number(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_text(struct span a, struct span b)
{
    int order = memcmp(a.at ? a.at : "", b.at ? b.at : "", a.len < b.len ? a.len : b.len);
    return order ? order : by_number((int64_t)a.len, (int64_t)b.len);
}

int price_item_order(const struct price_item *a, const struct price_item *b)
{
    int order = by_number(a->meter, b->meter);
    if (!order) /* an INCLUDED item is looked for in the first place */
        order = by_number(a->kind != PRICE_INCLUDED, b->kind != PRICE_INCLUDED);
    for (unsigned d = 0; !order && d < PRICE_DIMS; d++)
        order = by_text(a->dim[d], b->dim[d]);
    if (!order) {
        char x[TIME_BAND_TEXT_BYTES], y[TIME_BAND_TEXT_BYTES];
        order = strcmp(time_band_text(&a->time, ' ', x), time_band_text(&b->time, ' ', y));
    }
    return order ? order : by_number(a->context_min, b->context_min);
}

/* ---- its text ------------------------------------------------------------------------------ */

static bool write_price(struct buf *b, struct price p)
{
    return buf_printf(b, "%" PRId64 "/%" PRId64, p.atoms, p.per_units);
}

static bool write_tiers(struct buf *b, const struct price_item *i)
{
    for (unsigned t = 0; t < i->tier_count; t++) {
        const struct price_tier *tier = &i->tiers[t];
        bool fits = buf_text(b, t ? "," : "") &&
                    (tier->up_to == PRICE_NO_END ? buf_text(b, "*:")
                                                 : buf_printf(b, "%" PRId64 ":", tier->up_to)) &&
                    write_price(b, tier->price);
        if (!fits)
            return false;
    }
    return true;
}

static bool write_amount(struct buf *b, const struct price_item *i)
{
    switch (i->kind) {
    case PRICE_GRADUATED:
    case PRICE_VOLUME:
        return write_tiers(b, i);
    case PRICE_FLAT:
        return buf_printf(b, "%" PRId64 "/%s", i->price.atoms,
                          i->per_period ? "period" : "request");
    case PRICE_INCLUDED:
        return buf_printf(b, "%" PRId64, i->included);
    default:
        return write_price(b, i->price);
    }
}

bool price_conditions_write(struct buf *b, const struct price_item *i)
{
    bool fits = true;
    if (i->context_max != PRICE_NO_END)
        fits = buf_printf(b, " context=%" PRId64 "..%" PRId64, i->context_min, i->context_max);
    else if (i->context_min > 0)
        fits = buf_printf(b, " context=%" PRId64 "..", i->context_min);
    for (unsigned d = 0; fits && d < PRICE_DIMS; d++)
        if (i->dim[d].len)
            fits = buf_printf(b, " %s=%.*s", price_dim_name((enum price_dim)d), (int)i->dim[d].len,
                              i->dim[d].at);
    char time[TIME_BAND_TEXT_BYTES];
    return fits &&
           (!i->time.days || buf_printf(b, " time=%s", time_band_text(&i->time, '/', time)));
}

bool price_item_write(struct buf *b, const struct price_item *i)
{
    if (price_item_plain(i))
        return write_price(b, i->price);
    return buf_printf(b, "%s ", price_kind_name(i->kind)) && write_amount(b, i) &&
           (i->list.per_units == 0 || (buf_text(b, " list=") && write_price(b, i->list))) &&
           price_conditions_write(b, i);
}
