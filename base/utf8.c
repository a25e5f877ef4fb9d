/* base/utf8.c -- see utf8.h. */
#include "base/utf8.h"

struct lead {
    unsigned more;        /* bytes behind it; 0: it begins no character of several bytes */
    unsigned char lo, hi; /* of the first of these, which keeps out overlong forms and surrogates */
};

static struct lead lead_of(unsigned char c)
{
    if (c >= 0xC2 && c <= 0xDF)
        return (struct lead){ 1, 0x80, 0xBF };
    if (c >= 0xE0 && c <= 0xEF)
        return (struct lead){ 2, c == 0xE0 ? 0xA0 : 0x80, c == 0xED ? 0x9F : 0xBF };
    if (c >= 0xF0 && c <= 0xF4)
        return (struct lead){ 3, c == 0xF0 ? 0x90 : 0x80, c == 0xF4 ? 0x8F : 0xBF };
    return (struct lead){ 0, 0, 0 };
}

uint32_t utf8_next(const char **p, const char *end)
{
    unsigned char c = (unsigned char)*(*p)++;
    if (c < 0x80)
        return c;
    struct lead lead = lead_of(c);
    if (lead.more == 0)
        return UINT32_MAX;
    uint32_t code = c & (0x3Fu >> lead.more);
    for (unsigned i = 0; i < lead.more; i++) {
        unsigned char next = *p < end ? (unsigned char)**p : 0;
        if (next < (i ? 0x80 : lead.lo) || next > (i ? 0xBF : lead.hi))
            return UINT32_MAX;
        code = code << 6 | (next & 0x3F);
        (*p)++;
    }
    return code;
}

bool utf8_valid(struct span text)
{
    const char *p = text.len ? text.at : "", *end = p + text.len;
    while (p < end)
        if (utf8_next(&p, end) == UINT32_MAX)
            return false;
    return true;
}

bool utf8_repair(struct span text, struct buf *to)
{
    const char *p = text.len ? text.at : "", *end = p + text.len;
    while (p < end) {
        const char *from = p, *before = p;
        uint32_t code = 0;
        while (p < end && code != UINT32_MAX) {
            before = p;
            code = utf8_next(&p, end);
        }
        size_t good = (size_t)((code == UINT32_MAX ? before : p) - from);
        if (!buf_add(to, from, good) || (code == UINT32_MAX && !buf_add(to, "\xEF\xBF\xBD", 3)))
            return false;
    }
    return true;
}
