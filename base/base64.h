/* base/base64.h -- base64 with padding (RFC 4648).  Pure. */
#ifndef MAAS_BASE64_H
#define MAAS_BASE64_H
#include "base/span.h"
#include <stdint.h>

#define BASE64_TEXT_BYTES(len) (((len) + 2) / 3 * 4 + 1)

/* Strict: whole groups of four, padded, with nothing left in the last bits.  Writes up to
 * text.len / 4 * 3 bytes and returns how many they are; 0: it is none. */
size_t base64_decode(struct span text, char *to);
/* BASE64_TEXT_BYTES(len) bytes with the NUL.  Returns text. */
char *base64_encode(const uint8_t *bytes, size_t len, char *text);
#endif
