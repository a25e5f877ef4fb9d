/* backends/refworker/base64.c -- three bytes to four characters. */
#include "backends/refworker/base64.h"

enum { GROUPS = 256 }; /* written to the buffer at once */

static void encode_group(const uint8_t in[static 3], char out[static 4])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out[0] = digits[in[0] >> 2];
    out[1] = digits[(in[0] & 3) << 4 | in[1] >> 4];
    out[2] = digits[(in[1] & 15) << 2 | in[2] >> 6];
    out[3] = digits[in[2] & 63];
}

static bool add_groups(const uint8_t *at, size_t groups, struct buf *out)
{
    char text[GROUPS * 4];
    while (groups > 0) {
        size_t now = groups < GROUPS ? groups : GROUPS;
        for (size_t i = 0; i < now; i++)
            encode_group(at + 3 * i, text + 4 * i);
        if (!buf_add(out, text, 4 * now))
            return false;
        at += 3 * now;
        groups -= now;
    }
    return true;
}

bool base64_add(struct base64 *b, const void *bytes, size_t len, struct buf *out)
{
    const uint8_t *at = bytes;
    while (len > 0 && b->count > 0 && b->count < 3) {
        b->waiting[b->count++] = *at++;
        len--;
    }
    if (b->count == 3) {
        b->count = 0;
        if (!add_groups(b->waiting, 1, out))
            return false;
    }
    if (!add_groups(at, len / 3, out))
        return false;
    for (at += len - len % 3, len %= 3; len > 0; len--)
        b->waiting[b->count++] = *at++;
    return true;
}

bool base64_end(struct base64 *b, struct buf *out)
{
    char text[4];
    size_t count = b->count;
    if (count == 0)
        return true;
    memset(b->waiting + count, 0, 3 - count);
    encode_group(b->waiting, text);
    if (count == 1)
        text[2] = '=';
    text[3] = '=';
    b->count = 0;
    return buf_add(out, text, sizeof text);
}
