/* billing/rate_close.c -- what a period comes to, and the lines that lead there. */
#include "base/ratio.h"
#include "billing/rate.h"
#include <assert.h>

struct close { /* the right lines; what was charged is taken back by one before them */
    struct rate_close_line *lines;
    unsigned count;
    money_t sum;
};

static enum status add_line(struct close *c, int64_t qty, struct price price)
{
    struct rate_close_line *l = &c->lines[c->count++];
    *l = (struct rate_close_line){ .qty = qty, .price = price };
    enum status s = ratio_half_even(qty, price.atoms, price.per_units, &l->amount.atoms);
    if (s)
        return s;
    return money_add(c->sum, l->amount, &c->sum) ? STATUS_OK : STATUS_BILLING_OVERFLOW;
}

/* The units after `before`, each at the price of its tier. */
static enum status close_graduated(struct close *c, const struct price_item *i, int64_t before,
                                   int64_t end)
{
    enum status s = STATUS_OK;
    for (unsigned t = 0; t < i->tier_count && !s && before < end; t++) {
        int64_t to = i->tiers[t].up_to < end ? i->tiers[t].up_to : end;
        if (to > before) {
            s = add_line(c, to - before, i->tiers[t].price);
            before = to;
        }
    }
    return s;
}

static const struct price_tier *tier_of(const struct price_item *i, int64_t total)
{
    const struct price_tier *t = i->tiers;
    while (total > t->up_to)
        t++;
    return t;
}

static enum status close_packages(struct close *c, const struct price_item *i, int64_t before,
                                  int64_t end)
{
    int64_t had, have;
    enum status s = ratio_ceiling(before, 1, i->price.per_units, &had);
    if (!s)
        s = ratio_ceiling(end, 1, i->price.per_units, &have);
    if (s || have == had)
        return s;
    return add_line(c, have - had, (struct price){ i->price.atoms, 1 });
}

static enum status close_lines(struct close *c, const struct price_item *i,
                               const struct rate_period *p)
{
    int64_t end;
    if (__builtin_add_overflow(p->before, p->qty, &end))
        return STATUS_BILLING_OVERFLOW;
    switch (i->kind) {
    case PRICE_GRADUATED:
        return close_graduated(c, i, p->before, end);
    case PRICE_VOLUME:
        return p->qty ? add_line(c, p->qty, tier_of(i, p->total)->price) : STATUS_OK;
    case PRICE_PACKAGE:
        return close_packages(c, i, p->before, end);
    case PRICE_FLAT:
        return p->qty && p->before == 0 ? add_line(c, 1, i->price) : STATUS_OK;
    default:
        return STATUS_OK;
    }
}

enum status rate_close(const struct price_item *i, const struct rate_period *p,
                       struct rate_close_line lines[static RATE_CLOSE_LINES_MAX],
                       unsigned *ret_count, money_t *ret_total)
{
    struct rate_close_line made[RATE_CLOSE_LINES_MAX];
    struct close c = { .lines = made, .count = 1 };
    assert(p->before >= 0 && p->qty >= 0 && p->total >= p->qty && p->charged.atoms >= 0);
    if (!price_item_periodic(i)) { /* each request was charged exactly */
        *ret_count = 0;
        *ret_total = p->charged;
        return STATUS_OK;
    }
    enum status s = close_lines(&c, i, p);
    if (s)
        return s;
    made[0] = (struct rate_close_line){
        .reversal = true, .qty = p->qty, .price = { 0, 1 }, .amount = { -p->charged.atoms }
    };
    unsigned first = p->charged.atoms == 0; /* nothing to take back */
    *ret_count = c.sum.atoms == p->charged.atoms ? 0 : c.count - first;
    memcpy(lines, made + first, *ret_count * sizeof *made);
    *ret_total = c.sum;
    return STATUS_OK;
}
