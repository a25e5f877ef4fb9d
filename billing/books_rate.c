/* billing/books_rate.c -- bills whose amount depends on what the period has used before.
 *
 * A loop thread cannot know that: two of them may serve the same organisation at once.  It
 * rates a request as the first of its period, and the ledger, which settles one after the
 * other, rates it again by the count.  The hold covers whatever the count is (rate_most).
 */
#include "billing/books_rate.h"
#include "billing/rate.h"
#include <assert.h>

enum { ITEMS_MAX = METER_COUNT * PRICE_ITEMS_MAX };

static struct counted_key key_of(const struct purse *p, const struct ledger_settle *t,
                                 const struct price_item *i)
{
    return (struct counted_key){ p->organization, t->model, price_series(i) };
}

static const struct price_item *item_of(const struct ledger_settle *t, const struct bill_line *l)
{
    return &t->sheet->items[t->sheet->first[l->meter] + l->item];
}

/* What was used in all, whatever lines it had been put into. */
static uint32_t sum_lines(const struct ledger_settle *t, uint64_t qty[static METER_COUNT])
{
    uint32_t meters = 0;
    for (unsigned i = 0; i < t->line_count; i++) {
        enum meter m = t->lines[i].meter;
        qty[m] = t->lines[i].qty + (meters >> m & 1 ? qty[m] : 0);
        meters |= UINT32_C(1) << m;
    }
    return meters;
}

/* Of the items of these meters alone: most of a sheet does not matter to a request. */
static bool read_counts(struct books *b, const struct purse *p, const struct ledger_settle *t,
                        uint32_t meters, int64_t before[static ITEMS_MAX])
{
    const struct price_sheet *s = t->sheet;
    for (; meters; meters &= meters - 1) {
        unsigned m = (unsigned)__builtin_ctz(meters);
        for (unsigned i = s->first[m]; i < s->first[m + 1]; i++) {
            before[i] = 0;
            if (!price_item_periodic(&s->items[i]))
                continue;
            struct counted_key k = key_of(p, t, &s->items[i]);
            if (!counted_reserve(&b->counted, &k))
                return false;
            before[i] = counted_units(&b->counted, &k, p->period_from_us);
        }
    }
    return true;
}

static bool put_lines(struct ledger_settle *t, const struct rate_line *lines, unsigned count)
{
    t->line_count = count;
    t->amount = (money_t){ 0 };
    for (unsigned i = 0; i < count; i++) {
        t->lines[i] = (struct bill_line){ .meter = lines[i].meter,
                                          .qty = (uint64_t)lines[i].qty,
                                          .amount = lines[i].amount,
                                          .item = lines[i].item,
                                          .before = lines[i].before };
        if (!money_add(t->amount, lines[i].amount, &t->amount))
            return false; /* of what is read from a disk; else it is within the hold */
    }
    return true;
}

enum status books_rate(struct books *b, const struct purse *p, struct ledger_settle *t)
{
    int64_t before[ITEMS_MAX];
    uint64_t qty[METER_COUNT];
    struct rate_line lines[PRICE_LINES_MAX];
    unsigned count;
    uint32_t unpriced;
    if (!t->sheet)
        return STATUS_OK;
    struct rate_request r = {
        .meters = sum_lines(t, qty), .qty = qty, .facts = t->chosen_by, .before = before
    };
    if (!read_counts(b, p, t, r.meters, before))
        return STATUS_NO_MEMORY;
    if (rate_request(t->sheet, &r, lines, &count, &unpriced) != STATUS_OK)
        return STATUS_BAD_FIELD; /* more units in a period than can be counted */
    return put_lines(t, lines, count) ? STATUS_OK : STATUS_BAD_FIELD;
}

void books_count(struct books *b, const struct purse *p, const struct ledger_settle *t, bool back)
{
    for (unsigned i = 0; t->sheet && i < t->line_count; i++) {
        const struct price_item *item = item_of(t, &t->lines[i]);
        if (!price_item_periodic(item))
            continue;
        struct counted_key k = key_of(p, t, item);
        int64_t units = (int64_t)t->lines[i].qty;
        if (back)
            counted_take_back(&b->counted, &k, p->period_from_us, units);
        else
            counted_add(&b->counted, &k, p->period_from_us, units);
    }
}
