/* tests/fuzz/fuzz_money.c -- amounts survive being written and read, and a rated quantity
 * is within half an atom of the exact quotient, to the even side on a tie. */
#include "base/money.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

__extension__ typedef __int128 wide;

static void check_rate(uint64_t qty, struct price p)
{
    money_t m;
    if (!money_rate(qty, p, &m))
        return;
    wide twice_off = ((wide)qty * p.atoms - (wide)m.atoms * p.per_units) * 2;
    assert(twice_off >= -(wide)p.per_units && twice_off <= p.per_units);
    if (twice_off == p.per_units || twice_off == -(wide)p.per_units)
        assert(m.atoms % 2 == 0);
}

static void check_text(money_t m)
{
    char text[MONEY_TEXT_BYTES];
    money_t back;
    for (int places = 0; places <= MONEY_ATOM_EXP; places++) {
        assert(money_parse(money_text(m, places, text), &back));
        assert(back.atoms == m.atoms);
    }
}

/* Eight bytes of a quantity, then text of a price. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[128];
    uint64_t qty = 0;
    struct price p;
    money_t m;
    if (size < sizeof qty || size - sizeof qty >= sizeof text)
        return 0;
    memcpy(&qty, data, sizeof qty);
    memcpy(text, data + sizeof qty, size - sizeof qty);
    text[size - sizeof qty] = '\0';
    if (money_parse(text, &m)) {
        assert(m.atoms >= 0 && m.atoms <= MONEY_ATOMS_MAX);
        check_text(m);
    }
    if (money_parse_price(text, &p)) {
        assert(p.atoms >= 0 && p.atoms <= MONEY_ATOMS_MAX && p.per_units > 0);
        check_rate(qty, p);
        check_rate(qty, (struct price){ -p.atoms, p.per_units });
    }
    return 0;
}
