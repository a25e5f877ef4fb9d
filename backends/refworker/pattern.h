/* backends/refworker/pattern.h -- a picture made of the hash of a prompt: two colours that run
 * into each other, and a figure in a third. */
#ifndef REFWORKER_PATTERN_H
#define REFWORKER_PATTERN_H
#include "base/span.h"
#include <stdint.h>

struct pattern {
    uint8_t from[3], to[3], ink[3];
    uint32_t figure, grain, size;
    uint32_t centre_x, centre_y;
    uint32_t noise_rows; /* at the top: what does not compress */
    uint64_t noise;
};

/* "#noise=20" in the prompt: the first 20 MiB of pixels are noise. `index` tells the pictures of one request apart. */
void pattern_choose(struct span prompt, uint32_t index, uint32_t size, struct pattern *ret);

/* Row y of a size x size picture, 3 bytes a pixel: red, green, blue. */
void pattern_row(const struct pattern *p, uint32_t y, uint8_t *rgb);
#endif
