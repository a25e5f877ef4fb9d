/* backends/refworker/base64.h -- base64 with padding, and texts that are written piece by piece. */
#ifndef REFWORKER_BASE64_H
#define REFWORKER_BASE64_H
#include "base/buf.h"
#include <stdint.h>

struct base64 { /* up to two bytes wait for their third */
    uint8_t waiting[3];
    size_t count;
};

MUST_CHECK bool base64_add(struct base64 *b, const void *bytes, size_t len, struct buf *out);
MUST_CHECK bool base64_end(struct base64 *b, struct buf *out);
#endif
