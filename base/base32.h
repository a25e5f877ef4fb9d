/* base/base32.h -- Crockford's base32 in lower case: no i, l, o, u, so that an id
 * can be read over the telephone.  Strict on the way in: lower case only. */
#ifndef MAAS_BASE32_H
#define MAAS_BASE32_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BASE32_U64_DIGITS = 13 };
#define BASE32_TEXT_BYTES(len) (((len)*8 + 4) / 5 + 1)

/* Most significant bit first, zero bits at the end; BASE32_TEXT_BYTES(len) bytes with the
 * NUL.  Returns text. */
char *base32_encode(const void *bytes, size_t len, char *text);

/* Always 13 digits and a NUL.  Returns text. */
char *base32_u64(uint64_t value, char text[static BASE32_U64_DIGITS + 1]);
/* Exactly 13 digits at text, whatever follows; false past 2^64. */
bool base32_read_u64(const char *text, uint64_t *ret);
#endif
