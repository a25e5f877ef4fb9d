/* base/utf8.h -- text that may not be UTF-8 becomes text that is.  Pure. */
#ifndef MAAS_UTF8_H
#define MAAS_UTF8_H
#include "base/buf.h"
#include <stdint.h>

/* The code point that begins at *p, which then is behind it; UINT32_MAX when there is none: *p is
 * then behind the longest run of bytes that begins one, or one byte further.  *p < end. */
uint32_t utf8_next(const char **p, const char *end);
bool utf8_valid(struct span text);
/* The text, with U+FFFD for each longest run of bytes that begins a character and does not end it,
 * and for each byte that begins none: as Unicode recommends, and as Python's "replace" does.
 * False: no room, or no memory. */
MUST_CHECK bool utf8_repair(struct span text, struct buf *to);
#endif
