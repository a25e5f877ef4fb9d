/* backends/refworker/png.c -- PNG (ISO/IEC 15948): signature, IHDR, IDAT..., IEND. */
#include "backends/refworker/png.h"
#include <assert.h>

enum { FILTER_SUB = 1, COLOUR_RGB = 2, DEPTH_BITS = 8, PIXEL_BYTES = 3 };

static void big_endian(uint8_t at[static 4], uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static bool add_chunk(struct buf *out, const char type[static 4], const uint8_t *bytes, size_t len)
{
    uint8_t head[8], tail[4];
    big_endian(head, (uint32_t)len);
    memcpy(head + 4, type, 4);
    uLong crc = crc32_z(crc32_z(0, NULL, 0), head + 4, 4);
    if (len)
        crc = crc32_z(crc, bytes, len);
    big_endian(tail, (uint32_t)crc);
    return buf_add(out, head, sizeof head) && buf_add(out, bytes, len) &&
           buf_add(out, tail, sizeof tail);
}

static void empty_chunk(struct png *p)
{
    p->z.next_out = p->chunk;
    p->z.avail_out = sizeof p->chunk;
}

bool png_begin(struct png *p, uint32_t width, uint32_t height, struct buf *out)
{
    static const uint8_t signature[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
    uint8_t head[13] = { [8] = DEPTH_BITS, [9] = COLOUR_RGB };
    assert(width > 0 && width <= PNG_SIDE_MAX && height > 0 && height <= PNG_SIDE_MAX);
    *p = (struct png){ .width = width };
    if (deflateInit(&p->z, Z_BEST_SPEED) != Z_OK)
        return false;
    empty_chunk(p);
    big_endian(head, width);
    big_endian(head + 4, height);
    return buf_add(out, signature, sizeof signature) && add_chunk(out, "IHDR", head, sizeof head);
}

/* Compresses; every time the chunk is full it goes out as an IDAT. */
static bool squeeze(struct png *p, uint8_t *bytes, size_t len, int flush, struct buf *out)
{
    p->z.next_in = bytes;
    p->z.avail_in = (uInt)len;
    for (;;) {
        int rc = deflate(&p->z, flush);
        if (p->z.avail_out > 0)
            return rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR;
        if (!add_chunk(out, "IDAT", p->chunk, sizeof p->chunk))
            return false;
        empty_chunk(p);
    }
}

bool png_row(struct png *p, const uint8_t *rgb, struct buf *out)
{
    uint8_t line[1 + PIXEL_BYTES * PNG_SIDE_MAX] = { FILTER_SUB };
    size_t len = PIXEL_BYTES * (size_t)p->width;
    memcpy(line + 1, rgb, PIXEL_BYTES);
    for (size_t i = PIXEL_BYTES; i < len; i++)
        line[1 + i] = (uint8_t)(rgb[i] - rgb[i - PIXEL_BYTES]);
    return squeeze(p, line, 1 + len, Z_NO_FLUSH, out);
}

bool png_end(struct png *p, struct buf *out)
{
    if (!squeeze(p, NULL, 0, Z_FINISH, out))
        return false;
    size_t rest = sizeof p->chunk - p->z.avail_out;
    return (rest == 0 || add_chunk(out, "IDAT", p->chunk, rest)) && add_chunk(out, "IEND", NULL, 0);
}

void png_free(struct png *p)
{
    deflateEnd(&p->z); /* of a stream that never began: an error that means nothing */
}
