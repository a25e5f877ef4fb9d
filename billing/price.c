/* billing/price.c -- what a request may cost at most, and what it did cost.
 *
 * Meters that share one bound form a group: any token of the input may turn out
 * to be uncached, cached or written to the cache, so the bound takes the dearest
 * of their prices for all of them.  Pure integers; no clock, no store. */
#include "billing/price.h"
#include <assert.h>

enum { GROUP_MEMBERS_MAX = 3, GROUPS = 8 };

struct group {
    enum meter member[GROUP_MEMBERS_MAX];
    unsigned members;
};

static const struct group groups[GROUPS] = {
    { { METER_REQUESTS }, 1 },
    { { METER_INPUT_UNCACHED, METER_INPUT_CACHED, METER_INPUT_CACHE_WRITE }, 3 },
    { { METER_OUTPUT_TEXT, METER_OUTPUT_REASONING }, 2 },
    { { METER_IMAGES }, 1 },
    { { METER_COMPUTE_MS }, 1 },
    { { METER_TENSOR_ELEMENTS }, 1 },
    { { METER_CHARACTERS }, 1 },
    { { METER_AUDIO_MS }, 1 },
};

/* In the order of `groups`.  A meter in no group has no bound, so it is never charged. */
static void group_bounds(const struct price_bound *b, uint64_t bound[static GROUPS])
{
    bound[0] = 1;
    bound[1] = b->input_tokens_max;
    bound[2] = b->output_tokens_max;
    bound[3] = b->images_max;
    bound[4] = b->compute_ms_max;
    bound[5] = b->tensor_elements_max;
    bound[6] = b->characters_max;
    bound[7] = b->audio_ms_max;
}

static bool dearer(struct price a, struct price b)
{
    return (__int128)a.atoms * b.per_units > (__int128)b.atoms * a.per_units;
}

/* The most that `qty` units, split over the priced members in any way, can come to
 * when each line is rounded half to even.  One line rounds as the whole does; k
 * lines can each gain half an atom, unless a unit costs whole atoms. */
static bool group_most(const struct price_list *p, const struct group *g, uint64_t qty,
                       money_t *ret, unsigned *ret_priced)
{
    struct price dearest = { 0, 1 };
    unsigned priced = 0;
    bool whole = true;
    for (unsigned i = 0; i < g->members; i++) {
        enum meter m = g->member[i];
        if (!p->priced[m])
            continue;
        priced++;
        whole = whole && p->price[m].atoms % p->price[m].per_units == 0;
        if (dearer(p->price[m], dearest))
            dearest = p->price[m];
    }
    *ret_priced = priced;
    money_t exact;
    if (!money_rate(qty, dearest, &exact))
        return false;
    money_t slack = { priced > 1 && !whole && qty > 0 ? (priced + 1) / 2 : 0 };
    return money_add(exact, slack, ret);
}

enum status price_upper_bound(const struct price_list *p, const struct price_bound *b, money_t *ret)
{
    uint64_t bound[GROUPS];
    group_bounds(b, bound);
    money_t sum = { 0 };
    bool any = false;
    for (unsigned i = 0; i < GROUPS; i++) {
        money_t most;
        unsigned priced;
        if (!group_most(p, &groups[i], bound[i], &most, &priced) || !money_add(sum, most, &sum))
            return STATUS_BILLING_OVERFLOW;
        any = any || (priced > 0 && bound[i] > 0);
    }
    if (!any)
        return STATUS_MODEL_NOT_PRICED;
    *ret = sum;
    return STATUS_OK;
}

/* What of this meter may be charged; `left` is what its group has left. */
static uint64_t clamp(uint64_t qty, uint64_t *left, bool *clamped)
{
    uint64_t allowed = qty < *left ? qty : *left;
    *clamped = *clamped || allowed < qty;
    *left -= allowed;
    return allowed;
}

static void clamp_usage(const struct usage *u, const struct price_bound *b,
                        uint64_t qty[static METER_COUNT], bool *clamped)
{
    uint64_t left[GROUPS];
    bool bounded[METER_COUNT] = { false };
    group_bounds(b, left);
    for (unsigned i = 0; i < GROUPS; i++)
        for (unsigned k = 0; k < groups[i].members; k++) {
            enum meter m = groups[i].member[k];
            qty[m] = usage_has(u, m) ? clamp(u->qty[m], &left[i], clamped) : 0;
            bounded[m] = true;
        }
    for (unsigned m = 0; m < METER_COUNT; m++)
        if (!bounded[m]) {
            qty[m] = 0;
            *clamped = *clamped || (usage_has(u, m) && u->qty[m] > 0);
        }
}

enum status price_rate(const struct price_list *p, const struct usage *u,
                       const struct price_bound *b, struct bill_line lines[static METER_COUNT],
                       unsigned *ret_count, money_t *ret_amount, bool *ret_unpriced,
                       bool *ret_clamped)
{
    uint64_t qty[METER_COUNT];
    bool unpriced = false, clamped = false;
    unsigned count = 0;
    money_t sum = { 0 };
    clamp_usage(u, b, qty, &clamped);
    for (unsigned m = 0; m < METER_COUNT; m++) {
        /* Requests are counted by us, not reported: without a price they are free on purpose. */
        unpriced =
            unpriced || (m != METER_REQUESTS && usage_has(u, m) && u->qty[m] > 0 && !p->priced[m]);
        if (qty[m] == 0 || !p->priced[m])
            continue;
        struct bill_line *l = &lines[count++];
        *l = (struct bill_line){ .meter = (enum meter)m, .qty = qty[m] };
        if (!money_rate(l->qty, p->price[m], &l->amount) || !money_add(sum, l->amount, &sum))
            return STATUS_BILLING_OVERFLOW;
    }
    *ret_count = count;
    *ret_amount = sum;
    *ret_unpriced = unpriced;
    *ret_clamped = clamped;
    return STATUS_OK;
}
