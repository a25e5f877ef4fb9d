/* billing/price.c -- what a request may cost at most, and what it did cost.
 *
 * Meters that share one bound form a group: any token of the input may turn out
 * to be uncached, cached or written to the cache, so the bound takes the dearest
 * of their prices for all of them.  Sets of meters are bits, so that a request is
 * charged for looking at what it used and not at what there could be.  Pure
 * integers; no clock, no store. */
#include "billing/price.h"
#include "billing/rate.h"
#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

struct group {
    uint32_t meters;
    size_t bound; /* of the field of struct price_bound; SIZE_MAX: once per request */
};

#define BOUND(field) offsetof(struct price_bound, field)
/* A meter in no group has no bound, so it is never charged. */
static const struct group groups[] = {
    { METER_BIT(REQUESTS), SIZE_MAX },
    { METERS_TOKENS_IN, BOUND(input_tokens_max) },
    { METERS_TOKENS_OUT, BOUND(output_tokens_max) },
    { METER_BIT(IMAGES), BOUND(images_max) },
    { METER_BIT(COMPUTE_MS), BOUND(compute_ms_max) },
    { METER_BIT(TENSOR_ELEMENTS), BOUND(tensor_elements_max) },
    { METER_BIT(CHARACTERS), BOUND(characters_max) },
    { METER_BIT(AUDIO_MS), BOUND(audio_ms_max) },
    { METER_BIT(VIDEO_MS), BOUND(video_ms_max) },
};
enum { GROUPS = sizeof groups / sizeof groups[0] };

static uint64_t group_bound(const struct group *g, const struct price_bound *b)
{
    if (g->bound == SIZE_MAX)
        return 1;
    return *(const uint64_t *)((const char *)b + g->bound);
}

/* The most that `qty` units, split over the meters in any way, can come to when each line
 * is rounded half to even.  One line rounds as the whole does; k lines can each gain half
 * an atom, unless a unit of each costs whole atoms. */
static bool group_most(const struct price_list *p, uint32_t meters, uint64_t qty, money_t *ret)
{
    struct price dearest = { 0, 1 }, last = { 0, 1 };
    unsigned lines = 0;
    bool whole = true;
    for (uint32_t left = meters; left; left &= left - 1, lines++) {
        struct price price = p->price[__builtin_ctz(left)];
        if (price.atoms == last.atoms && price.per_units == last.per_units)
            continue; /* kinds of tokens often cost the same, and a division is dear */
        last = price;
        whole = whole && price.atoms % price.per_units == 0;
        if (money_dearer(price, dearest))
            dearest = price;
    }
    money_t exact;
    if (!money_rate(qty, dearest, &exact))
        return false;
    money_t slack = { lines > 1 && !whole ? (lines + 1) / 2 : 0 };
    return money_add(exact, slack, ret);
}

/* The same by a sheet.  The context is at most what the input is bounded by. */
static enum status sheet_most(const struct price_list *p, const struct price_bound *b,
                              uint32_t meters, uint64_t qty, money_t *ret)
{
    int64_t context = b->input_tokens_max < INT64_MAX ? (int64_t)b->input_tokens_max : INT64_MAX;
    return rate_most(p->sheet, meters, qty, p->facts, context, ret);
}

enum status price_upper_bound(const struct price_list *p, const struct price_bound *b, money_t *ret)
{
    money_t sum = { 0 };
    bool any = false;
    for (unsigned i = 0; i < GROUPS; i++) {
        uint32_t meters = p->priced & groups[i].meters;
        uint64_t bound = meters ? group_bound(&groups[i], b) : 0;
        money_t most;
        if (bound == 0)
            continue;
        bool fits = p->sheet ? sheet_most(p, b, meters, bound, &most) == STATUS_OK
                             : group_most(p, meters, bound, &most);
        if (!fits || !money_add(sum, most, &sum))
            return STATUS_BILLING_OVERFLOW;
        any = true;
    }
    if (!any)
        return STATUS_MODEL_NOT_PRICED;
    *ret = sum;
    return STATUS_OK;
}

/* What of each present meter may be charged: the meters of a group share its bound, the
 * first of them first.  True: something was cut. */
static bool clamp_usage(const struct usage *u, const struct price_bound *b,
                        uint64_t qty[static METER_COUNT])
{
    bool clamped = false;
    for (unsigned i = 0; i < GROUPS; i++) {
        uint32_t meters = u->present & groups[i].meters;
        uint64_t bound = meters ? group_bound(&groups[i], b) : 0;
        for (; meters; meters &= meters - 1) {
            unsigned m = (unsigned)__builtin_ctz(meters);
            qty[m] = u->qty[m] < bound ? u->qty[m] : bound;
            clamped = clamped || qty[m] < u->qty[m];
            bound -= qty[m];
        }
    }
    return clamped;
}

/* Requests are counted by us, not reported: without a price they are free on purpose. */
static bool has_unpriced(const struct price_list *p, const struct usage *u)
{
    uint32_t left = u->present & ~p->priced & ~METER_BIT(REQUESTS);
    for (; left; left &= left - 1)
        if (u->qty[__builtin_ctz(left)] > 0)
            return true;
    return false;
}

static enum status rate_plain(const struct price_list *p, uint32_t meters,
                              const uint64_t qty[static METER_COUNT], struct price_bill *ret)
{
    for (uint32_t left = meters; left; left &= left - 1) {
        unsigned m = (unsigned)__builtin_ctz(left);
        if (qty[m] == 0)
            continue;
        struct bill_line *l = &ret->lines[ret->count++];
        *l = (struct bill_line){ .meter = (enum meter)m, .qty = qty[m] };
        if (!money_rate(l->qty, p->price[m], &l->amount) ||
            !money_add(ret->amount, l->amount, &ret->amount))
            return STATUS_BILLING_OVERFLOW;
    }
    return STATUS_OK;
}

static enum status rate_by_sheet(const struct price_list *p, uint32_t meters,
                                 const uint64_t qty[static METER_COUNT], struct price_bill *ret)
{
    struct price_facts facts = *p->facts;
    struct rate_line lines[PRICE_LINES_MAX];
    uint32_t unpriced;
    facts.context = ret->context;
    const struct rate_request r = { .meters = meters, .qty = qty, .facts = &facts };
    enum status s = rate_request(p->sheet, &r, lines, &ret->count, &unpriced);
    for (unsigned i = 0; i < ret->count && !s; i++) {
        const struct rate_line *l = &lines[i];
        ret->lines[i] = (struct bill_line){ .meter = l->meter,
                                            .qty = (uint64_t)l->qty,
                                            .amount = l->amount,
                                            .item = l->item,
                                            .before = l->before };
        if (!money_add(ret->amount, l->amount, &ret->amount))
            s = STATUS_BILLING_OVERFLOW;
    }
    ret->unpriced = ret->unpriced || (!s && unpriced);
    return s;
}

static int64_t context_of(const struct usage *u, const uint64_t qty[static METER_COUNT])
{
    int64_t sum = 0; /* what was clamped adds up to one bound */
    for (uint32_t left = u->present & METERS_TOKENS_IN; left; left &= left - 1)
        sum += (int64_t)qty[__builtin_ctz(left)];
    return sum;
}

enum status price_rate(const struct price_list *p, const struct usage *u,
                       const struct price_bound *b, struct price_bill *ret)
{
    uint64_t qty[METER_COUNT];
    ret->clamped = clamp_usage(u, b, qty);
    ret->unpriced = has_unpriced(p, u);
    ret->count = 0;
    ret->amount = (money_t){ 0 };
    ret->context = context_of(u, qty);
    uint32_t meters = u->present & p->priced;
    return p->sheet ? rate_by_sheet(p, meters, qty, ret) : rate_plain(p, meters, qty, ret);
}

char *price_facts_text(const struct price_facts *f, unsigned dims,
                       char text[static FACTS_TEXT_BYTES])
{
    size_t len = (size_t)snprintf(text, FACTS_TEXT_BYTES, "{\"context\":%" PRId64, f->context);
    for (unsigned d = 0; d < PRICE_DIMS; d++)
        if (dims >> d & 1 && f->dim[d].len)
            len += (size_t)snprintf(text + len, FACTS_TEXT_BYTES - len, ",\"%s\":\"%.*s\"",
                                    price_dim_name((enum price_dim)d), (int)f->dim[d].len,
                                    f->dim[d].at);
    assert(len + 2 <= FACTS_TEXT_BYTES);
    text[len] = '}';
    text[len + 1] = '\0';
    return text;
}
