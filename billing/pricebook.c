/* billing/pricebook.c -- the text is our own, but it comes from a file: it is
 * parsed as strictly as anything else. */
#include "billing/pricebook.h"
#include "base/span.h"
#include <string.h>

/* What stands before the next `end` or the end of the text, which it is taken from. */
static struct span take(struct span *text, char end)
{
    const char *found = text->len ? memchr(text->at, end, text->len) : NULL;
    struct span part = { text->at, found ? (size_t)(found - text->at) : text->len };
    size_t used = part.len + (found != NULL);
    *text = (struct span){ text->at + used, text->len - used };
    return part;
}

/* take() cannot tell a list whose last element is empty from one without it. */
static bool ends_in(struct span text, char c)
{
    return text.len && text.at[text.len - 1] == c;
}

/* Digits without a leading zero. */
static bool read_number(struct span text, int64_t *ret)
{
    *ret = 0;
    if (!text.len || (text.len > 1 && text.at[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(*ret, 10, ret) ||
            __builtin_add_overflow(*ret, c - '0', ret))
            return false;
    }
    return true;
}

static bool read_price(struct span text, struct price *ret)
{
    struct span atoms = take(&text, '/');
    return read_number(atoms, &ret->atoms) && ret->atoms <= MONEY_ATOMS_MAX &&
           read_number(text, &ret->per_units) && ret->per_units > 0;
}

/* ---- amounts ------------------------------------------------------------------------------- */

static bool read_tiers(struct span text, struct pricebook_line *ret)
{
    struct price_item *i = &ret->item;
    int64_t before = 0;
    if (ends_in(text, ','))
        return false;
    while (text.len) {
        struct span price = take(&text, ','), end = take(&price, ':');
        if (i->tier_count == PRICE_TIERS_MAX || before == PRICE_NO_END)
            return false;
        struct price_tier *t = &ret->tiers[i->tier_count++];
        if (span_is(end, "*"))
            t->up_to = PRICE_NO_END;
        else if (!read_number(end, &t->up_to))
            return false;
        if (t->up_to <= before || !read_price(price, &t->price))
            return false;
        before = t->up_to;
    }
    i->tiers = ret->tiers;
    return before == PRICE_NO_END;
}

static bool read_flat(struct span text, struct price_item *i)
{
    struct span atoms = take(&text, '/');
    i->per_period = span_is(text, "period");
    i->price.per_units = 1;
    return (i->per_period || span_is(text, "request")) && read_number(atoms, &i->price.atoms) &&
           i->price.atoms <= MONEY_ATOMS_MAX;
}

static bool read_amount(struct span text, struct pricebook_line *ret)
{
    struct price_item *i = &ret->item;
    i->price = (struct price){ 0, 1 };
    switch (i->kind) {
    case PRICE_GRADUATED:
    case PRICE_VOLUME:
        return read_tiers(text, ret);
    case PRICE_FLAT:
        return read_flat(text, i);
    case PRICE_INCLUDED:
        return read_number(text, &i->included) && i->included > 0;
    default:
        return read_price(text, &i->price);
    }
}

static bool read_kind(struct span text, enum price_kind *ret)
{
    for (unsigned k = 0; k < PRICE_KINDS; k++)
        if (span_is(text, price_kind_name((enum price_kind)k))) {
            *ret = (enum price_kind)k;
            return true;
        }
    return false;
}

/* ---- conditions ---------------------------------------------------------------------------- */

/* "0..32768" or "32769.." */
static bool read_context(struct span text, struct price_item *i)
{
    struct span min = take(&text, '.');
    if (!text.len || text.at[0] != '.' || !read_number(min, &i->context_min))
        return false;
    text = (struct span){ text.at + 1, text.len - 1 };
    i->context_max = PRICE_NO_END;
    return (!text.len || read_number(text, &i->context_max)) && i->context_min <= i->context_max;
}

static bool read_dim(struct span name, struct span value, struct price_item *i)
{
    for (unsigned d = 0; d < PRICE_DIMS; d++)
        if (span_is(name, price_dim_name((enum price_dim)d))) {
            bool first = !i->dim[d].len;
            i->dim[d] = value;
            return first && value.len && value.len <= PRICE_WORD_BYTES_MAX;
        }
    return false;
}

static bool read_condition(struct span value, struct price_item *i)
{
    struct span name = take(&value, '=');
    if (span_is(name, "list"))
        return read_price(value, &i->list);
    if (span_is(name, "context"))
        return read_context(value, i);
    if (span_is(name, "time"))
        return time_band_read(value, '/', &i->time) == NULL;
    return read_dim(name, value, i);
}

/* ---- lines --------------------------------------------------------------------------------- */

static bool read_item(struct span text, struct pricebook_line *ret)
{
    if (ends_in(text, ' '))
        return false;
    if (!memchr(text.at, ' ', text.len))
        return read_price(text, &ret->item.price);
    struct span kind = take(&text, ' ');
    if (!read_kind(kind, &ret->item.kind) || !read_amount(take(&text, ' '), ret))
        return false;
    while (text.len)
        if (!read_condition(take(&text, ' '), &ret->item))
            return false;
    return true;
}

static bool read_meter(struct span name, enum meter *ret)
{
    for (unsigned m = 0; m < METER_COUNT; m++)
        if (span_is(name, meter_name((enum meter)m))) {
            *ret = (enum meter)m;
            return true;
        }
    return false;
}

static bool read_line(struct span text, struct pricebook_line *ret)
{
    struct span model = take(&text, ' ');
    enum meter meter;
    if (!model.len || !read_meter(take(&text, ' '), &meter) || !text.len)
        return false;
    bool more = ret->item.meter == meter && ret->model.len == model.len &&
                memcmp(ret->model.at, model.at, model.len) == 0;
    ret->number = more ? ret->number + 1 : 0;
    ret->model = model;
    ret->item = price_plain(meter, (struct price){ 0, 1 });
    return ret->number < PRICE_ITEMS_MAX && read_item(text, ret);
}

/* No model is called `currency`: ids are paths. */
static const char *skip_head(const char *at)
{
    if (strncmp(at, "currency ", 9) != 0)
        return at;
    const char *end = strchr(at, '\n');
    return end ? end + 1 : at;
}

bool pricebook_next(const char **text, struct pricebook_line *ret, bool *ret_bad)
{
    const char *at = skip_head(*text);
    *ret_bad = false;
    if (!*at)
        return false;
    const char *end = strchr(at, '\n');
    *ret_bad = !end || !read_line((struct span){ at, (size_t)(end - at) }, ret);
    if (*ret_bad)
        return false;
    *text = end + 1;
    return true;
}

bool pricebook_find(const char *text, const char *model, enum meter meter, unsigned number,
                    struct pricebook_line *ret)
{
    bool bad;
    *ret = (struct pricebook_line){ .number = 0 };
    while (pricebook_next(&text, ret, &bad))
        if (ret->item.meter == meter && ret->number == number && span_is(ret->model, model))
            return true;
    return false;
}
