/* billing/volume.c -- see volume.h: the arithmetic of the close. */
#include "billing/volume.h"
#include "billing/rate.h"
#include <stdlib.h>
#include <string.h>

void volume_free(struct volume *v)
{
    for (size_t i = 0; i < v->count; i++)
        free(v->part[i].model);
    free(v->part);
    *v = (struct volume){ NULL, 0, 0 };
}

enum status volume_note(struct volume *v, const struct pricebook_line *price, int64_t version,
                        int64_t qty, int64_t charged, int64_t covered, size_t line)
{
    if (price->item.kind != PRICE_VOLUME)
        return STATUS_OK;
    if (v->count == v->room) {
        size_t room = v->room ? 2 * v->room : 8;
        struct volume_part *more = realloc(v->part, room * sizeof *more);
        if (!more)
            return STATUS_NO_MEMORY;
        v->part = more;
        v->room = room;
    }
    struct volume_part *p = &v->part[v->count];
    *p = (struct volume_part){ .model = strndup(price->model.at, price->model.len),
                               .version = version,
                               .item = price->number,
                               .meter = price->item.meter,
                               .series = price_series(&price->item),
                               .tier_count = price->item.tier_count,
                               .qty = qty,
                               .charged = charged,
                               .covered = covered,
                               .line = line,
                               .due = charged };
    memcpy(p->tiers, price->tiers, sizeof p->tiers);
    v->count += p->model != NULL;
    return p->model ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status units_of_series(const struct volume *v, const struct volume_part *p,
                                   int64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct volume_part *other = &v->part[i];
        if (other->series == p->series && strcmp(other->model, p->model) == 0 &&
            __builtin_add_overflow(*ret, other->qty, ret))
            return STATUS_BILLING_OVERFLOW;
    }
    return STATUS_OK;
}

static struct price dearest(const struct volume_part *p)
{
    struct price most = p->tiers[0].price;
    for (unsigned t = 1; t < p->tier_count; t++) {
        struct price other = p->tiers[t].price;
        if ((__int128)other.atoms * most.per_units > (__int128)most.atoms * other.per_units)
            most = other;
    }
    return most;
}

static enum status close_part(const struct volume *v, struct volume_part *p)
{
    const struct price_item item = {
        .meter = p->meter, .kind = PRICE_VOLUME, .tiers = p->tiers, .tier_count = p->tier_count
    };
    struct rate_period period = { .qty = p->qty, .charged = { p->charged } };
    struct rate_close_line lines[RATE_CLOSE_LINES_MAX];
    unsigned count;
    money_t due;
    enum status s = units_of_series(v, p, &period.total);
    if (!s)
        s = rate_close(&item, &period, lines, &count, &due);
    if (s || !count || due.atoms >= p->charged) /* roundings alone are not asked for */
        return s;
    p->due = due.atoms;
    p->then = dearest(p);
    p->after = lines[count - 1].price;
    return STATUS_OK;
}

enum status volume_close(struct volume *v)
{
    enum status s = STATUS_OK;
    for (size_t i = 0; i < v->count && !s; i++)
        s = close_part(v, &v->part[i]);
    return s;
}
