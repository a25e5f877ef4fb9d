/* base/base32.c -- Crockford's base32, see the header. */
#include "base/base32.h"
#include <string.h>

static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

char *base32_encode(const void *bytes, size_t len, char *text)
{
    const uint8_t *in = bytes;
    char *out = text;
    uint32_t held = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < len; i++) {
        held = held << 8 | in[i];
        for (bits += 8; bits >= 5; bits -= 5)
            *out++ = digits[held >> (bits - 5) & 31];
    }
    if (bits)
        *out++ = digits[held << (5 - bits) & 31];
    *out = '\0';
    return text;
}

char *base32_u64(uint64_t value, char text[static BASE32_U64_DIGITS + 1])
{
    text[BASE32_U64_DIGITS] = '\0';
    for (int i = BASE32_U64_DIGITS; i-- > 0; value >>= 5)
        text[i] = digits[value & 31];
    return text;
}

bool base32_read_u64(const char *text, uint64_t *ret)
{
    uint64_t value = 0;
    for (int i = 0; i < BASE32_U64_DIGITS; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit || value >> 59)
            return false; /* not a digit, or a 65th bit */
        value = value << 5 | (uint64_t)(digit - digits);
    }
    *ret = value;
    return true;
}
