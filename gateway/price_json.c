/* gateway/price_json.c -- see price_json.h. */
#include "gateway/price_json.h"
#include "base/cleanup.h"

static json_t *amount(struct price p)
{
    char text[MONEY_TEXT_BYTES];
    return json_pack("{s:s, s:I}", "amount", money_text((money_t){ p.atoms }, 2, text), "per",
                     (json_int_t)p.per_units);
}

static json_t *tiers(const struct price_item *i)
{
    json_t *list = json_array();
    for (unsigned t = 0; t < i->tier_count; t++) {
        json_t *tier = amount(i->tiers[t].price);
        if (i->tiers[t].up_to != PRICE_NO_END)
            json_object_set_new(tier, "up_to", json_integer(i->tiers[t].up_to));
        json_array_append_new(list, tier);
    }
    return list;
}

static int put_amount(json_t *o, const struct price_item *i)
{
    switch (i->kind) {
    case PRICE_GRADUATED:
    case PRICE_VOLUME:
        return json_object_set_new(o, "tiers", tiers(i));
    case PRICE_INCLUDED:
        return json_object_set_new(o, "units", json_integer(i->included));
    case PRICE_FLAT:
        return json_object_set_new(o, "each", json_string(i->per_period ? "period" : "request")) ||
               json_object_update_new(o, amount(i->price));
    default:
        return json_object_update_new(o, amount(i->price));
    }
}

static int put_conditions(json_t *o, const struct price_item *i)
{
    char time[TIME_BAND_TEXT_BYTES];
    int failed = 0;
    if (i->context_min > 0)
        failed |= json_object_set_new(o, "context_min", json_integer(i->context_min));
    if (i->context_max != PRICE_NO_END)
        failed |= json_object_set_new(o, "context_max", json_integer(i->context_max));
    for (unsigned d = 0; d < PRICE_DIMS; d++)
        if (i->dim[d].len)
            failed |= json_object_set_new(o, price_dim_name((enum price_dim)d),
                                          json_stringn(i->dim[d].at, i->dim[d].len));
    if (i->time.days)
        failed |= json_object_set_new(o, "time", json_string(time_band_text(&i->time, ' ', time)));
    return failed;
}

json_t *price_json(const struct price_item *i)
{
    AUTO(json_decref_ptr) json_t *o = json_pack("{s:s}", "kind", price_kind_name(i->kind));
    int failed = !o || put_amount(o, i) || put_conditions(o, i);
    if (!failed && i->list.per_units)
        failed = json_object_set_new(o, "list", amount(i->list));
    return failed ? NULL : TAKE(o);
}
