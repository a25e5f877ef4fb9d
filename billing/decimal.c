/* billing/decimal.c -- integers with a point put into their digits; nothing is
 * rounded here. */
#include "billing/decimal.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

char *decimal_minor(int64_t minor, int digits, char buf[static DECIMAL_TEXT_BYTES])
{
    assert(digits >= 0 && digits <= MONEY_ATOM_EXP);
    const char *sign = minor < 0 ? "-" : "";
    uint64_t size = minor < 0 ? -(uint64_t)minor : (uint64_t)minor;
    uint64_t unit = (uint64_t)(MONEY_ATOMS_PER_UNIT / money_minor_atoms(digits));
    if (digits == 0)
        snprintf(buf, DECIMAL_TEXT_BYTES, "%s%" PRIu64, sign, size);
    else
        snprintf(buf, DECIMAL_TEXT_BYTES, "%s%" PRIu64 ".%0*" PRIu64, sign, size / unit, digits,
                 size % unit);
    return buf;
}

char *decimal_exact(int64_t atoms, char buf[static DECIMAL_TEXT_BYTES])
{
    return decimal_minor(atoms, MONEY_ATOM_EXP, buf);
}

char *decimal_price(struct price p, char buf[static DECIMAL_TEXT_BYTES * 2])
{
    char amount[MONEY_TEXT_BYTES];
    snprintf(buf, DECIMAL_TEXT_BYTES * 2, "%s per %" PRId64,
             money_text((money_t){ p.atoms }, 2, amount), p.per_units);
    return buf;
}

static bool tiers(struct buf *b, const struct price_item *i)
{
    char price[DECIMAL_TEXT_BYTES * 2];
    for (unsigned t = 0; t < i->tier_count; t++) {
        const struct price_tier *tier = &i->tiers[t];
        decimal_price(tier->price, price);
        bool fits = tier->up_to == PRICE_NO_END
                        ? buf_printf(b, ", above %s", price)
                        : buf_printf(b, "%s to %" PRId64 " %s", t ? "," : "", tier->up_to, price);
        if (!fits)
            return false;
    }
    return true;
}

static bool amount(struct buf *b, const struct price_item *i)
{
    char text[DECIMAL_TEXT_BYTES * 2], money[MONEY_TEXT_BYTES];
    money_text((money_t){ i->price.atoms }, 2, money);
    switch (i->kind) {
    case PRICE_GRADUATED:
    case PRICE_VOLUME:
        return buf_text(b, price_kind_name(i->kind)) && tiers(b, i);
    case PRICE_PACKAGE:
        return buf_printf(b, "%s per package of %" PRId64, money, i->price.per_units);
    case PRICE_FLAT:
        return buf_printf(b, "%s per %s", money, i->per_period ? "period" : "request");
    case PRICE_INCLUDED:
        return buf_printf(b, "%" PRId64 " included", i->included);
    default:
        return buf_text(b, decimal_price(i->price, text));
    }
}

bool decimal_item(struct buf *b, const struct price_item *i)
{
    bool more = i->context_min > 0 || i->context_max != PRICE_NO_END || price_item_rank(i) > 0;
    return amount(b, i) && (!more || (buf_text(b, ",") && price_conditions_write(b, i)));
}

bool decimal_parse_amount(const char *text, int digits, int64_t *ret)
{
    money_t m;
    if (!money_parse(text, &m) || m.atoms % money_minor_atoms(digits) != 0)
        return false;
    *ret = m.atoms / money_minor_atoms(digits);
    return true;
}

static bool add_digit(int64_t *value, char c)
{
    return c >= '0' && c <= '9' && !__builtin_mul_overflow(*value, 10, value) &&
           !__builtin_add_overflow(*value, c - '0', value);
}

bool decimal_parse_minor(const char *text, int digits, int64_t *ret)
{
    bool negative = *text == '-';
    const char *at = text + negative;
    const char *end = at + strlen(at);
    const char *point = digits ? end - digits - 1 : end;
    int64_t value = 0;
    if (point <= at || (digits && *point != '.'))
        return false;
    for (; at < end; at++)
        if (at != point && !add_digit(&value, *at))
            return false;
    *ret = negative ? -value : value;
    return true;
}
