/* base/span.h -- a borrowed run of bytes: not NUL-terminated, not owned. */
#ifndef MAAS_SPAN_H
#define MAAS_SPAN_H
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
    const char *at;
    size_t len;
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })

static inline bool span_is(struct span s, const char *text)
{
    return s.at && s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}
#endif
