/* billing/rate.c -- see rate.h: items first, then requests, then the most of them. */
#include "billing/rate.h"
#include "base/ratio.h"
#include <assert.h>

__extension__ typedef __int128 wide;

static struct price dearest_tier(const struct price_item *i)
{
    struct price dearest = i->tiers[0].price;
    for (unsigned t = 1; t < i->tier_count; t++)
        if (money_dearer(i->tiers[t].price, dearest))
            dearest = i->tiers[t].price;
    return dearest;
}

static enum status rate(int64_t qty, struct price p, int64_t *ret)
{
    return ratio_half_even(qty, p.atoms, p.per_units, ret);
}

static enum status add(money_t *sum, int64_t atoms)
{
    return money_add(*sum, (money_t){ atoms }, sum) ? STATUS_OK : STATUS_BILLING_OVERFLOW;
}

/* ---- tiers and packages -------------------------------------------------------------------- */

/* How many of the units after `before` up to `end` fall into tier t. */
static int64_t in_tier(const struct price_item *i, unsigned t, int64_t before, int64_t end)
{
    int64_t from = t ? i->tiers[t - 1].up_to : 0, to = i->tiers[t].up_to;
    from = from < before ? before : from;
    to = to > end ? end : to;
    return to > from ? to - from : 0;
}

static enum status rate_graduated(const struct price_item *i, int64_t before, int64_t end,
                                  money_t *ret)
{
    money_t sum = { 0 };
    for (unsigned t = 0; t < i->tier_count; t++) {
        int64_t atoms;
        enum status s = rate(in_tier(i, t, before, end), i->tiers[t].price, &atoms);
        if (!s)
            s = add(&sum, atoms);
        if (s)
            return s;
    }
    *ret = sum;
    return STATUS_OK;
}

/* The packages that are begun after `before` up to `end`. */
static enum status packages(const struct price_item *i, int64_t before, int64_t end, int64_t *ret)
{
    int64_t had, have;
    enum status s = ratio_ceiling(before, 1, i->price.per_units, &had);
    if (!s)
        s = ratio_ceiling(end, 1, i->price.per_units, &have);
    if (!s)
        *ret = have - had;
    return s;
}

static enum status rate_packages(const struct price_item *i, struct price price, int64_t before,
                                 int64_t end, money_t *ret)
{
    int64_t count;
    enum status s = packages(i, before, end, &count);
    return s ? s : rate(count, price, &ret->atoms);
}

static bool flat_is_due(const struct price_item *i, int64_t before, int64_t qty)
{
    return qty > 0 && (!i->per_period || before == 0);
}

/* ---- one item ------------------------------------------------------------------------------ */

enum status rate_item(const struct price_item *i, int64_t before, int64_t qty, money_t *ret)
{
    int64_t end;
    assert(before >= 0 && qty >= 0);
    if (__builtin_add_overflow(before, qty, &end))
        return STATUS_BILLING_OVERFLOW;
    switch (i->kind) {
    case PRICE_UNIT:
        return rate(qty, i->price, &ret->atoms);
    case PRICE_GRADUATED:
        return rate_graduated(i, before, end, ret);
    case PRICE_VOLUME:
        return rate(qty, dearest_tier(i), &ret->atoms);
    case PRICE_PACKAGE:
        return rate_packages(i, (struct price){ i->price.atoms, 1 }, before, end, ret);
    case PRICE_FLAT:
        ret->atoms = flat_is_due(i, before, qty) ? i->price.atoms : 0;
        return STATUS_OK;
    default:
        ret->atoms = 0;
        return STATUS_OK;
    }
}

enum status rate_list(const struct price_item *i, int64_t before, int64_t qty, money_t *ret)
{
    if (i->list.per_units == 0)
        return rate_item(i, before, qty, ret);
    return rate(qty, i->list, &ret->atoms);
}

/* ---- a request ----------------------------------------------------------------------------- */

static enum status add_line(const struct price_sheet *s, const struct price_item *i, int64_t qty,
                            const int64_t *before, struct rate_line *ret)
{
    int64_t had = before && price_item_periodic(i) ? before[i - s->items] : 0;
    *ret = (struct rate_line){
        .meter = i->meter, .item = (uint16_t)price_item_number(s, i), .qty = qty, .before = had
    };
    return rate_item(i, had, qty, &ret->amount);
}

/* The units that are still free in this period. */
static int64_t free_units(const struct price_sheet *s, const struct price_item *i, int64_t qty,
                          const int64_t *before)
{
    int64_t had = before ? before[i - s->items] : 0;
    int64_t left = had < i->included ? i->included - had : 0;
    return qty < left ? qty : left;
}

/* One meter: what is included in the period, then the item that holds. */
static enum status rate_meter(const struct price_sheet *s, enum meter m,
                              const struct rate_request *r, struct rate_line *lines,
                              unsigned *count, uint32_t *unpriced)
{
    const struct price_item *included = price_included(s, m);
    int64_t qty = (int64_t)r->qty[m];
    int64_t unpaid = included ? free_units(s, included, qty, r->before) : 0;
    enum status status = STATUS_OK;
    if (unpaid)
        status = add_line(s, included, unpaid, r->before, &lines[(*count)++]);
    if (status || unpaid == qty)
        return status;
    const struct price_item *i = price_select(s, m, r->facts);
    if (i)
        return add_line(s, i, qty - unpaid, r->before, &lines[(*count)++]);
    *unpriced |= UINT32_C(1) << m;
    return STATUS_OK;
}

enum status rate_request(const struct price_sheet *s, const struct rate_request *r,
                         struct rate_line lines[static PRICE_LINES_MAX], unsigned *ret_count,
                         uint32_t *ret_unpriced)
{
    struct rate_line made[2 * METER_COUNT];
    unsigned count = 0;
    uint32_t unpriced = 0;
    for (uint32_t left = r->meters; left; left &= left - 1) {
        unsigned m = (unsigned)__builtin_ctz(left);
        if (r->qty[m] == 0)
            continue;
        if (r->qty[m] > INT64_MAX)
            return STATUS_BILLING_OVERFLOW;
        enum status status = rate_meter(s, (enum meter)m, r, made, &count, &unpriced);
        if (status)
            return status;
    }
    assert(count <= PRICE_LINES_MAX); /* whoever made the sheet has counted */
    memcpy(lines, made, count * sizeof *made);
    *ret_count = count;
    *ret_unpriced = unpriced;
    return STATUS_OK;
}

/* ---- the most of it ------------------------------------------------------------------------ */

struct most {                      /* of the items that may come to hold for a group of meters */
    struct price dearest;          /* of what is charged by the unit */
    int64_t once;                  /* charged beside the units: flat amounts, packages begun */
    unsigned halves;               /* of an atom that roundings may add */
    const struct price_item *only; /* when there is just one */
    unsigned items;
};

/* Whether the item holds for some number of input tokens up to `most`.  Which one holds changes
 * only where a band begins or the one before has ended. */
static bool may_hold(const struct price_sheet *s, const struct price_item *i,
                     const struct price_facts *facts, int64_t most)
{
    struct price_facts f = *facts;
    for (unsigned at = s->first[i->meter]; at < s->first[i->meter + 1]; at++) {
        const struct price_item *other = &s->items[at];
        const int64_t edges[] = { other->context_min, other->context_max == PRICE_NO_END
                                                          ? other->context_min
                                                          : other->context_max + 1 };
        for (unsigned e = 0; e < 2; e++) {
            f.context = edges[e];
            if (f.context <= most && price_select(s, i->meter, &f) == i)
                return true;
        }
    }
    f.context = 0;
    return price_select(s, i->meter, &f) == i;
}

static struct price unit_most(const struct price_item *i)
{
    bool tiered = i->kind == PRICE_GRADUATED || i->kind == PRICE_VOLUME;
    if (tiered)
        return dearest_tier(i);
    bool by_unit = i->kind == PRICE_UNIT || i->kind == PRICE_PACKAGE;
    return by_unit ? i->price : (struct price){ 0, 1 };
}

/* The dearest of what may hold for one meter, put beside that of the meters before. */
static enum status add_meter(const struct price_sheet *s, enum meter m,
                             const struct price_facts *facts, int64_t context_max, struct most *sum)
{
    int64_t once = 0;
    unsigned halves = 0;
    for (unsigned at = s->first[m]; at < s->first[m + 1]; at++) {
        const struct price_item *i = &s->items[at];
        if (i->kind == PRICE_INCLUDED || !may_hold(s, i, facts, context_max))
            continue;
        struct price unit = unit_most(i);
        unsigned lost = price_item_halves(i);
        if (money_dearer(unit, sum->dearest))
            sum->dearest = unit;
        if ((i->kind == PRICE_FLAT || i->kind == PRICE_PACKAGE) && i->price.atoms > once)
            once = i->price.atoms;
        halves = lost > halves ? lost : halves;
        sum->only = i;
        sum->items++;
    }
    sum->halves += halves;
    return __builtin_add_overflow(sum->once, once, &sum->once) ? STATUS_BILLING_OVERFLOW
                                                               : STATUS_OK;
}

/* qty * dearest + halves / 2 + once, cut off: lines are whole atoms, so they cannot exceed it. */
static enum status total_most(const struct most *m, int64_t qty, money_t *ret)
{
    wide halved = (wide)qty * m->dearest.atoms;
    if (halved > (wide)RATIO_MAX * m->dearest.per_units)
        return STATUS_BILLING_OVERFLOW;
    halved = halved * 2 + (wide)m->halves * m->dearest.per_units;
    wide atoms = halved / m->dearest.per_units / 2 + m->once;
    if (atoms > RATIO_MAX)
        return STATUS_BILLING_OVERFLOW;
    ret->atoms = (int64_t)atoms;
    return STATUS_OK;
}

enum status rate_most(const struct price_sheet *s, uint32_t meters, uint64_t qty,
                      const struct price_facts *facts, int64_t context_max, money_t *ret)
{
    struct most sum = { .dearest = { 0, 1 } };
    for (uint32_t left = meters; left; left &= left - 1) {
        enum status status =
            add_meter(s, (enum meter)__builtin_ctz(left), facts, context_max, &sum);
        if (status)
            return status;
    }
    if (qty > INT64_MAX)
        return STATUS_BILLING_OVERFLOW;
    if (qty == 0) {
        *ret = (money_t){ 0 };
        return STATUS_OK;
    }
    bool alone = sum.items == 1 && sum.only->kind != PRICE_GRADUATED;
    return alone ? rate_item(sum.only, 0, (int64_t)qty, ret) : total_most(&sum, (int64_t)qty, ret);
}
