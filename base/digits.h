/* base/digits.h -- decimal digits without snprintf, which takes ten times as long: an answer
 * has nine numbers in its head. */
#ifndef MAAS_DIGITS_H
#define MAAS_DIGITS_H
#include <stdint.h>

enum { DIGITS_MAX = 20 }; /* of a uint64_t */

/* Writes v so that it ends before `end`, with zeros in front up to `least` digits.
 * Where it begins; there must be room for DIGITS_MAX or `least`. */
static inline char *digits_before(char *end, uint64_t v, int least)
{
    char *at = end;
    for (; v > 0 || least > 0; v /= 10, least--)
        *--at = (char)('0' + v % 10);
    return at;
}
#endif
