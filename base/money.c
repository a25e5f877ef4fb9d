/* base/money.c -- exact arithmetic on atoms, and amounts as text. */
#include "base/money.h"
#include "base/digits.h"
#include "base/ratio.h"
#include <assert.h>
#include <string.h>

__extension__ typedef __int128 wide;

static bool in_range(wide atoms)
{
    return atoms >= -MONEY_ATOMS_MAX && atoms <= MONEY_ATOMS_MAX;
}

static bool put(wide atoms, money_t *ret)
{
    if (!in_range(atoms))
        return false;
    ret->atoms = (int64_t)atoms;
    return true;
}

bool money_add(money_t a, money_t b, money_t *ret)
{
    return put((wide)a.atoms + b.atoms, ret);
}

bool money_sub(money_t a, money_t b, money_t *ret)
{
    return put((wide)a.atoms - b.atoms, ret);
}

bool money_rate(uint64_t qty, struct price p, money_t *ret)
{
    assert(p.per_units > 0);
    if (qty >
        INT64_MAX) /* no bucket holds so many: a bound that does is refused unless it is free */
        return p.atoms == 0 && put(0, ret);
    return ratio_half_even((int64_t)qty, p.atoms, p.per_units, &ret->atoms) == STATUS_OK;
}

bool money_dearer(struct price a, struct price b)
{
    if (a.per_units == b.per_units)
        return a.atoms > b.atoms;
    return (wide)a.atoms * b.per_units > (wide)b.atoms * a.per_units;
}

int64_t money_minor_atoms(int digits)
{
    assert(digits >= 0 && digits <= MONEY_ATOM_EXP);
    int64_t atoms = 1;
    for (; digits < MONEY_ATOM_EXP; digits++)
        atoms *= 10;
    return atoms;
}

bool money_to_minor(money_t a, int minor_exp, int64_t *ret)
{
    if (minor_exp < 0 || minor_exp > MONEY_ATOM_EXP)
        return false;
    return ratio_half_up(a.atoms, 1, money_minor_atoms(minor_exp), ret) == STATUS_OK;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits without a leading zero, and where they end; NULL when there are none or too many. */
static const char *parse_whole(const char *text, int64_t *ret)
{
    int64_t value = 0;
    if (!is_digit(*text) || (*text == '0' && is_digit(text[1])))
        return NULL;
    for (; is_digit(*text); text++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *text - '0', &value))
            return NULL;
    *ret = value;
    return text;
}

/* What follows the point, in atoms; digits after the tenth must be zeros. */
static const char *parse_places(const char *text, int64_t *ret)
{
    int64_t atoms = 0, worth = MONEY_ATOMS_PER_UNIT;
    if (!is_digit(*text))
        return NULL;
    for (; is_digit(*text); text++) {
        worth /= 10;
        if (worth == 0 && *text != '0')
            return NULL;
        atoms += worth * (*text - '0');
    }
    *ret = atoms;
    return text;
}

static const char *parse_amount(const char *text, int64_t *ret)
{
    int64_t units, places = 0;
    text = parse_whole(text, &units);
    if (text && *text == '.')
        text = parse_places(text + 1, &places);
    wide atoms = text ? (wide)units * MONEY_ATOMS_PER_UNIT + places : 0;
    if (!text || !in_range(atoms))
        return NULL;
    *ret = (int64_t)atoms;
    return text;
}

static int64_t unit_factor(char letter)
{
    switch (letter) {
    case 'k':
        return 1000;
    case 'M':
        return 1000000;
    case 'G':
        return 1000000000;
    default:
        return 0;
    }
}

bool money_parse_price(const char *text, struct price *ret)
{
    struct price p = { 0, 1 };
    text = parse_amount(text, &p.atoms);
    if (text && *text == '/') {
        text = parse_whole(text + 1, &p.per_units);
        int64_t factor = text ? unit_factor(*text) : 0;
        if (factor) {
            text++;
            if (__builtin_mul_overflow(p.per_units, factor, &p.per_units))
                return false;
        }
    }
    if (!text || *text || p.per_units == 0)
        return false;
    *ret = p;
    return true;
}

bool money_parse(const char *text, money_t *ret)
{
    int64_t atoms;
    text = parse_amount(text, &atoms);
    if (!text || *text)
        return false;
    ret->atoms = atoms;
    return true;
}

char *money_text(money_t a, int min_places, char buf[static MONEY_TEXT_BYTES])
{
    assert(min_places >= 0 && min_places <= MONEY_ATOM_EXP);
    uint64_t atoms = a.atoms < 0 ? 0 - (uint64_t)a.atoms : (uint64_t)a.atoms;
    char text[MONEY_TEXT_BYTES], *end = text + sizeof text;
    char *at = digits_before(end, atoms % (uint64_t)MONEY_ATOMS_PER_UNIT, MONEY_ATOM_EXP);
    const char *least = at + min_places;
    while (end > least && end[-1] == '0')
        end--;
    *--at = '.';
    if (end[-1] == '.')
        end--;
    at = digits_before(at, atoms / (uint64_t)MONEY_ATOMS_PER_UNIT, 1);
    if (a.atoms < 0)
        *--at = '-';
    size_t len = (size_t)(end - at);
    memcpy(buf, at, len);
    buf[len] = '\0';
    return buf;
}
