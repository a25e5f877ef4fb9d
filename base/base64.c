/* base/base64.c -- see base64.h. */
#include "base/base64.h"
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit64(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

size_t base64_decode(struct span text, char *to)
{
    size_t len = 0, pad = 0;
    if (text.len == 0 || text.len % 4)
        return 0;
    while (pad < 2 && text.at[text.len - 1 - pad] == '=')
        pad++;
    for (size_t i = 0; i < text.len; i += 4) {
        uint32_t group = 0;
        for (size_t k = i; k < i + 4; k++) {
            int digit = k >= text.len - pad ? 0 : digit64(text.at[k]);
            if (digit < 0)
                return 0;
            group = group << 6 | (uint32_t)digit;
        }
        for (int k = 16; k >= 0; k -= 8)
            to[len++] = (char)(group >> k & 0xFF);
    }
    for (size_t k = 1; k <= pad; k++)
        if (to[len - k])
            return 0;
    return len - pad;
}

char *base64_encode(const uint8_t *bytes, size_t len, char *text)
{
    char *to = text;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t group = 0;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < n ? bytes[i + k] : 0u);
        for (unsigned k = 0; k < 4; k++)
            *to++ = k <= n ? digits[group >> (18 - 6 * k) & 63] : '=';
    }
    *to = '\0';
    return text;
}
