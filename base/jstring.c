/* base/jstring.c -- the hot loop of the scanner: most bytes of a prompt go through here.
 *
 * Plain ASCII is skipped sixteen bytes at a time where SSE2 is there, and by a
 * table otherwise; other characters are checked four bytes at a time.
 */
#include "base/jstring.h"
#include <endian.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline unsigned char byte_at(const char *p)
{
    return (unsigned char)*p;
}

static inline bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* To the first byte that is not plain ASCII text, or to the end. */
static inline const char *skip_plain(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(' ');
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i_u *)p);
        /* As signed bytes both control characters and non-ASCII are less than a space. */
        __m128i stop =
            _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)),
                         _mm_cmplt_epi8(v, space));
        int mask = _mm_movemask_epi8(stop);
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
#endif
    while (p < end && is_plain(byte_at(p)))
        p++;
    return p;
}

/* Up to four bytes as a little-endian number; zeros past the end are never a continuation. */
static inline uint32_t load4(const char *p, const char *end)
{
    uint32_t word = 0;
    if (end - p >= 4)
        memcpy(&word, p, 4);
    else
        memcpy(&word, p, (size_t)(end - p));
    return le32toh(word);
}

/* The length of the well-formed character that a non-ASCII word begins with; 0: none.
 * Masks pick the prefix bits of lead and continuation bytes, then the bits that would make
 * the form overlong, a surrogate or too large (table 3-7 of the Unicode standard). */
static inline unsigned utf8_length(uint32_t w)
{
    if ((w & 0x00c0c0f0) == 0x008080e0) {
        uint32_t range = w & 0x0000200f; /* E0 needs A0..BF next, ED needs 80..9F */
        return range != 0 && range != 0x0000200d ? 3 : 0;
    }
    if ((w & 0x0000c0e0) == 0x000080c0)
        return (w & 0x1e) != 0 ? 2 : 0; /* C0 and C1 are overlong */
    if ((w & 0xc0c0c0f8) == 0x808080f0) {
        uint32_t top = (w & 7) << 2 | (w >> 12 & 3); /* bits 20..16: 1 to 16 */
        return top >= 1 && top <= 16 ? 4 : 0;
    }
    return 0;
}

/* Through all non-ASCII characters that follow one another; NULL at a malformed one. */
static inline const char *skip_utf8(const char *p, const char *end, const char **ret_at)
{
    while (p < end && byte_at(p) >= 0x80) {
        unsigned len = utf8_length(load4(p, end));
        if (len == 0) {
            *ret_at = p;
            return NULL;
        }
        p += len;
    }
    return p;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of \uXXXX; -1 when there are not four. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* `p` is at the four digits.  Reads a surrogate pair as one; returns what is behind it. */
static const char *read_unicode(const char *p, const char *end, uint32_t *ret,
                                const char **ret_what)
{
    int32_t unit = hex4(p, end);
    *ret_what = unit < 0 ? "four hexadecimal digits must follow \\u" : "\\u0000 is not allowed";
    if (unit <= 0)
        return NULL;
    p += 4;
    *ret = (uint32_t)unit;
    if (unit < 0xd800 || unit > 0xdfff)
        return p;
    *ret_what = "a surrogate must come in a pair";
    if (unit >= 0xdc00 || end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return NULL;
    int32_t low = hex4(p + 2, end);
    if (low < 0xdc00 || low > 0xdfff)
        return NULL;
    *ret = 0x10000 + ((uint32_t)(unit & 0x3ff) << 10 | (uint32_t)(low & 0x3ff));
    return p + 6;
}

/* What a backslash and this letter stand for; 0: nothing. */
static char escape_meaning(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/* `p` is behind the backslash. */
static const char *skip_escape(const char *p, const char *end, const char **ret_what)
{
    uint32_t code;
    *ret_what = "the text ends within a string";
    if (p == end)
        return NULL;
    if (*p == 'u')
        return read_unicode(p + 1, end, &code, ret_what);
    *ret_what = "unknown escape";
    return escape_meaning(*p) ? p + 1 : NULL;
}

const char *jstring_skip(const char *p, const char *end, const char **ret_at, const char **ret_what)
{
    for (;;) {
        p = skip_plain(p, end);
        *ret_at = p;
        *ret_what = "the text ends within a string";
        if (p == end)
            return NULL;
        if (*p == '"')
            return p + 1;
        if (*p == '\\') {
            p = skip_escape(p + 1, end, ret_what);
        } else {
            bool control = byte_at(p) < 0x20;
            *ret_what = control ? "a control character must be escaped" : "not valid UTF-8";
            p = control ? NULL : skip_utf8(p, end, ret_at);
        }
        if (!p)
            return NULL;
    }
}

static size_t put_utf8(uint32_t code, char out[static 4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

bool jstring_unescape(struct span inside, char *buf, size_t size, size_t *ret_len)
{
    const char *p = inside.at, *end = inside.at + inside.len, *what;
    size_t used = 0;
    while (p < end) {
        char utf8[4];
        size_t len = 1;
        uint32_t code;
        if (*p != '\\') {
            utf8[0] = *p++;
        } else if (p[1] != 'u') {
            utf8[0] = escape_meaning(p[1]);
            p += 2;
        } else {
            p = read_unicode(p + 2, end, &code, &what);
            if (!p)
                return false; /* cannot be: the literal was accepted */
            len = put_utf8(code, utf8);
        }
        if (len > size - used)
            return false;
        memcpy(buf + used, utf8, len);
        used += len;
    }
    *ret_len = used;
    return true;
}

/* A character is a byte that continues none, or an escape; two escapes of surrogates are one. */
size_t jstring_code_points(struct span inside)
{
    const char *end = inside.at + inside.len, *what;
    size_t count = 0;
    uint32_t code;
    for (const char *p = inside.at; p < end; count++) {
        if (*p != '\\')
            p++;
        else if (p[1] == 'u')
            p = read_unicode(p + 2, end, &code, &what);
        else
            p += 2;
        if (!p)
            return count; /* cannot be: the literal was accepted */
        while (p < end && (byte_at(p) & 0xc0) == 0x80)
            p++;
    }
    return count;
}
