/* base/money.h -- money is a whole number of atoms, never a float.
 *
 * One atom is 1e-10 of the currency unit (reference: billing rules R1, R6).
 * Products are taken in 128 bits and checked (base/ratio.h); a function that fails
 * leaves its output untouched.
 */
#ifndef MAAS_MONEY_H
#define MAAS_MONEY_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MONEY_ATOM_EXP = 10 }; /* atoms per unit = 10^10 */
#define MONEY_ATOMS_PER_UNIT INT64_C(10000000000)
#define MONEY_ATOMS_MAX      INT64_C(9000000000000000000)

/* A struct, so that tokens or cents cannot be passed where money is meant. */
typedef struct {
    int64_t atoms;
} money_t;

/* A price: `atoms` for every `per_units` units of a meter. per_units > 0. */
struct price {
    int64_t atoms;
    int64_t per_units;
};

MUST_CHECK bool money_add(money_t a, money_t b, money_t *ret);
MUST_CHECK bool money_sub(money_t a, money_t b, money_t *ret);

/* qty * price, rounded half to even to whole atoms (rule R1).  A quantity above
 * INT64_MAX is refused unless it is free. */
MUST_CHECK bool money_rate(uint64_t qty, struct price p, money_t *ret);

/* Whether a unit costs more by a than by b. */
bool money_dearer(struct price a, struct price b);

/* The atoms of one minor unit of 0 to MONEY_ATOM_EXP digits: 10^8 for cents. */
int64_t money_minor_atoms(int digits);
/* Atoms to minor units of `minor_exp` decimals, half away from zero (rule R6). */
MUST_CHECK bool money_to_minor(money_t a, int minor_exp, int64_t *ret);

/* "0.10", "2.5/1M", "0.006/60000", "3/1k": amount, then an optional number of
 * units with k, M or G (powers of ten).  No sign, no exponent.  False when the
 * text is anything else or the amount is not a whole number of atoms. */
MUST_CHECK bool money_parse_price(const char *text, struct price *ret);
MUST_CHECK bool money_parse(const char *text, money_t *ret);

/* Decimal text, all ten places trimmed to at least `min_places`.  Returns buf. */
enum { MONEY_TEXT_BYTES = 40 };
char *money_text(money_t a, int min_places, char buf[static MONEY_TEXT_BYTES]);
#endif
