/* backends/refworker/png.h -- writes an 8-bit RGB PNG row by row, compressed by zlib. */
#ifndef REFWORKER_PNG_H
#define REFWORKER_PNG_H
#include "base/buf.h"
#include <stdint.h>
#include <zlib.h>

enum { PNG_SIDE_MAX = 4096, PNG_CHUNK_BYTES = 8192 };

struct png {
    z_stream z;
    uint32_t width;
    uint8_t chunk[PNG_CHUNK_BYTES]; /* compressed bytes not written yet */
};

/* What is ready goes to `out` in each call.  False: no memory; png_free in any case. */
MUST_CHECK bool png_begin(struct png *p, uint32_t width, uint32_t height, struct buf *out);
MUST_CHECK bool png_row(struct png *p, const uint8_t *rgb, struct buf *out);
MUST_CHECK bool png_end(struct png *p, struct buf *out);
void png_free(struct png *p);
#endif
