/* conf/price_lint.c -- every kind of request is tried against the items of a meter.
 *
 * A dimension is cut at what the items name: each of its values, and one for all others;
 * the context at the ends of its bands; the week at the ends of its hours.  The items that
 * still fit are bits, and fewer with each step, so what is left to try stays small.
 */
#include "conf/price_lint.h"
#include "conf/catalog.h"
#include <inttypes.h>
#include <stdio.h>

enum { TRIES_MAX = 1000000 };

struct trial { /* the request that is being tried */
    const struct price_item *const *items;
    unsigned count;
    int64_t context_end;
    struct price_facts facts;
    int minute; /* of the week; -1: no item asks for it */
    unsigned tries;
    struct price_flaw *flaw;
};

/* ---- what is wrong, said ------------------------------------------------------------------- */

static const char weekdays[][4] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };

static bool names(const struct trial *t, unsigned dim)
{
    for (unsigned i = 0; i < t->count; i++)
        if (t->items[i]->dim[dim].len)
            return true;
    return false;
}

/* "size 1024x1024, another quality, 32769 input tokens, Mon 01:00 UTC". */
static void describe(const struct trial *t, char *to, size_t room)
{
    size_t len = 0;
    for (unsigned d = 0; d < PRICE_DIMS && len < room; d++) {
        struct span value = t->facts.dim[d];
        const char *name = price_dim_name((enum price_dim)d);
        if (value.len)
            len +=
                (size_t)snprintf(to + len, room - len, "%s %.*s, ", name, (int)value.len, value.at);
        else if (names(t, d))
            len += (size_t)snprintf(to + len, room - len, "another %s, ", name);
    }
    if (len < room)
        len += (size_t)snprintf(to + len, room - len, "%" PRId64 " input tokens", t->facts.context);
    if (t->minute >= 0 && len < room) {
        unsigned minute = (unsigned)t->minute;
        snprintf(to + len, room - len, ", %s %02u:%02u UTC", weekdays[minute / TIME_DAY_MINUTES],
                 minute % TIME_DAY_MINUTES / 60, minute % 60);
    }
}

static bool fail(struct trial *t, unsigned item, const char *what)
{
    char request[160];
    describe(t, request, sizeof request);
    t->flaw->item = item;
    snprintf(t->flaw->text, sizeof t->flaw->text, "%s a request of %s", what, request);
    return false;
}

/* ---- trying -------------------------------------------------------------------------------- */

/* All conditions have been asked: the item that names most of them must be alone. */
static bool try_request(struct trial *t, uint32_t fit)
{
    int best = -1;
    bool twice = false;
    for (uint32_t left = fit; left; left &= left - 1) {
        int i = __builtin_ctz(left);
        unsigned rank = price_item_rank(t->items[i]);
        unsigned above = best < 0 ? 0 : price_item_rank(t->items[best]);
        twice = best >= 0 && (rank == above || (twice && rank < above));
        if (best < 0 || rank >= above)
            best = i;
    }
    if (++t->tries > TRIES_MAX)
        return fail(t, PRICE_FLAW_ALL,
                    "there are too many combinations of conditions; the check ended at");
    if (best < 0)
        return fail(t, PRICE_FLAW_ALL, "no price holds for");
    return !twice || fail(t, (unsigned)best, "this and another price hold for");
}

/* The minute of the week at which the next band that is still in question begins or ends. */
static unsigned next_edge(const struct trial *t, uint32_t fit, unsigned minute)
{
    unsigned next = TIME_WEEK_MINUTES;
    for (uint32_t left = fit; left; left &= left - 1) {
        const struct time_band *b = &t->items[__builtin_ctz(left)]->time;
        for (unsigned w = 0; b->days && w < b->count; w++)
            for (unsigned day = 0; day < 7; day++) {
                unsigned from = day * TIME_DAY_MINUTES + b->window[w].from;
                unsigned to = day * TIME_DAY_MINUTES + b->window[w].to;
                next = from > minute && from < next ? from : next;
                next = to > minute && to < next ? to : next;
            }
    }
    return next;
}

static bool try_times(struct trial *t, uint32_t fit)
{
    bool asked = false;
    for (uint32_t left = fit; left; left &= left - 1)
        asked = asked || t->items[__builtin_ctz(left)]->time.days;
    t->minute = -1;
    if (!asked)
        return try_request(t, fit);
    for (unsigned minute = 0; minute < TIME_WEEK_MINUTES; minute = next_edge(t, fit, minute)) {
        uint32_t now = 0;
        for (uint32_t left = fit; left; left &= left - 1)
            if (time_band_holds_minute(&t->items[__builtin_ctz(left)]->time, minute))
                now |= left & -left;
        t->minute = (int)minute;
        if (!try_request(t, now))
            return false;
    }
    return true;
}

/* The next number of tokens at which a band begins, or the one before has ended. */
static int64_t next_context(const struct trial *t, uint32_t fit, int64_t context)
{
    int64_t next = PRICE_NO_END;
    for (uint32_t left = fit; left; left &= left - 1) {
        const struct price_item *i = t->items[__builtin_ctz(left)];
        next = i->context_min > context && i->context_min < next ? i->context_min : next;
        if (i->context_max >= context && i->context_max < next)
            next = i->context_max + 1;
    }
    return next;
}

static bool try_contexts(struct trial *t, uint32_t fit)
{
    int64_t context = 0;
    do {
        uint32_t now = 0;
        for (uint32_t left = fit; left; left &= left - 1) {
            const struct price_item *i = t->items[__builtin_ctz(left)];
            if (context >= i->context_min && context <= i->context_max)
                now |= left & -left;
        }
        t->facts.context = context;
        if (!try_times(t, now))
            return false;
        context = next_context(t, fit, context);
    } while (context != PRICE_NO_END && context <= t->context_end);
    return true;
}

static uint32_t naming(const struct trial *t, uint32_t fit, unsigned dim, struct span value)
{
    uint32_t with = 0;
    for (uint32_t left = fit; left; left &= left - 1) {
        struct span named = t->items[__builtin_ctz(left)]->dim[dim];
        if (!named.len || (named.len == value.len && !memcmp(named.at, value.at, value.len)))
            with |= left & -left;
    }
    return with;
}

/* First a value that no item names: that is any other one. */
static bool try_dims(struct trial *t, uint32_t fit, unsigned dim)
{
    if (dim == PRICE_DIMS)
        return try_contexts(t, fit);
    t->facts.dim[dim] = (struct span){ "", 0 };
    if (!try_dims(t, naming(t, fit, dim, t->facts.dim[dim]), dim + 1))
        return false;
    for (uint32_t left = fit; left; left &= left - 1) {
        struct span value = t->items[__builtin_ctz(left)]->dim[dim];
        uint32_t with = naming(t, fit, dim, value);
        bool tried = value.len == 0;
        for (uint32_t before = with & ((left & -left) - 1); before; before &= before - 1)
            tried = tried || t->items[__builtin_ctz(before)]->dim[dim].len;
        t->facts.dim[dim] = value;
        if (!tried && !try_dims(t, with, dim + 1))
            return false;
    }
    return true;
}

/* ---- one meter ----------------------------------------------------------------------------- */

static bool check_tiers(const struct price_item *i, unsigned at, struct price_flaw *ret)
{
    const char *what = NULL;
    if (i->kind != PRICE_GRADUATED && i->kind != PRICE_VOLUME)
        return true;
    for (unsigned t = 0; t < i->tier_count && !what; t++) {
        bool last = t + 1 == i->tier_count, open = i->tiers[t].up_to == PRICE_NO_END;
        if (last != open)
            what = last ? "the last tier has an end: leave out its 'up_to'"
                        : "only the last tier may leave out 'up_to'";
        else if (t && !(i->tiers[t].up_to > i->tiers[t - 1].up_to))
            what = "the tiers do not ascend";
    }
    if (!what)
        return true;
    *ret = (struct price_flaw){ .item = at };
    snprintf(ret->text, sizeof ret->text, "%s", what);
    return false;
}

bool price_items_check(const struct price_item *const *items, unsigned count, int64_t context_end,
                       struct price_flaw *ret)
{
    struct trial t = { .items = items, .count = count, .context_end = context_end, .flaw = ret };
    uint32_t fit = 0;
    unsigned included = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!check_tiers(items[i], i, ret))
            return false;
        if (items[i]->kind == PRICE_INCLUDED && included++) {
            *ret = (struct price_flaw){ i, "a meter has one 'included'" };
            return false;
        }
        if (items[i]->kind != PRICE_INCLUDED)
            fit |= UINT32_C(1) << i;
    }
    return try_dims(&t, fit, 0);
}

/* ---- what is worth reading again ----------------------------------------------------------- */

static bool dearer(struct price a, struct price b)
{
    return (__int128)a.atoms * b.per_units > (__int128)b.atoms * a.per_units;
}

static bool tiers_rise(const struct price_item *i)
{
    for (unsigned t = 1; t < i->tier_count; t++)
        if (dearer(i->tiers[t].price, i->tiers[t - 1].price))
            return true;
    return false;
}

static bool above_list(const struct price_item *i)
{
    bool rises = i->list.per_units && i->kind == PRICE_UNIT && dearer(i->price, i->list);
    for (unsigned t = 0; i->list.per_units && t < i->tier_count; t++)
        rises = rises || dearer(i->tiers[t].price, i->list);
    return rises;
}

struct report {
    struct buf *out;
    unsigned most, count;
    const char *model;
};

static bool say(struct report *r, const struct price_item *i, const char *what)
{
    if (r->count++ >= r->most)
        return true;
    return buf_printf(r->out, "%s %s ", r->model, meter_name(i->meter)) &&
           price_item_write(r->out, i) && buf_printf(r->out, ": %s\n", what);
}

static bool report_item(struct report *r, const struct price_item *i)
{
    char loss[80];
    unsigned halves = price_item_halves(i);
    snprintf(loss, sizeof loss, "a line may be up to %u/2 atom off its exact amount", halves);
    return (!halves || say(r, i, loss)) &&
           (!tiers_rise(i) || say(r, i, "a tier is dearer than the one before it")) &&
           (!above_list(i) || say(r, i, "it is above the list price"));
}

static bool report_model(struct report *r, const struct catalog_model *m)
{
    r->model = m->id;
    for (unsigned meter = 0; meter < METER_COUNT; meter++) {
        if (m->derived >> meter & 1) /* said of its base */
            continue;
        struct price_item plain;
        struct price_items items = model_prices(m, (enum meter)meter, &plain);
        for (unsigned i = 0; i < items.count; i++)
            if (!report_item(r, &items.at[i]))
                return false;
    }
    return true;
}

bool prices_report(const struct catalog *c, unsigned most, struct buf *ret)
{
    struct report r = { .out = ret, .most = most };
    for (size_t i = 0; i < c->model_count; i++)
        if (!report_model(&r, &c->models[i]))
            return false;
    return r.count <= most || buf_printf(ret, "%u of %u are shown\n", most, r.count);
}
