/* base/buf.h -- a growing run of bytes that was told its maximum.
 *
 * Public fields are for reading only.  `at` is NULL while nothing was added and
 * NUL-terminated afterwards (the NUL is not counted).  An addition that does not
 * fit, or for which there is no memory, fails and leaves the content as it was.
 */
#ifndef MAAS_BUF_H
#define MAAS_BUF_H
#include "base/span.h"
#include "base/status.h"
#include <stdarg.h>
#include <stddef.h>

struct buf {
    char *at;
    size_t len;
    size_t room; /* allocated, the NUL included */
    size_t max;  /* of len */
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);             /* may be used again: same maximum */
void buf_clear(struct buf *b);            /* empties it, keeps the memory */
void buf_drop(struct buf *b, size_t len); /* so many bytes at the front go; at most b->len */

MUST_CHECK bool buf_add(struct buf *b, const void *bytes, size_t len);
MUST_CHECK bool buf_text(struct buf *b, const char *text);
MUST_CHECK bool buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
MUST_CHECK bool buf_vprintf(struct buf *b, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Gives the bytes away, NUL-terminated, to be freed; the buffer is empty then.
 * ret_len may be NULL.  NULL: no memory (only when nothing had been added). */
MUST_CHECK char *buf_take(struct buf *b, size_t *ret_len);

static inline struct span buf_span(const struct buf *b)
{
    return (struct span){ b->at, b->len };
}
#endif
