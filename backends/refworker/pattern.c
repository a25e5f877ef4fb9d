/* backends/refworker/pattern.c -- pixels from a hash, in whole numbers. */
#include "backends/refworker/pattern.h"
#include "backends/refworker/directive.h"
#include "backends/refworker/mix64.h"

enum { NOISE_MIB_MAX = 64 };

enum figure { RINGS, STRIPES, CHECKS, WEAVE, FIGURES };

static void choose_colour(uint64_t *dice, uint8_t *rgb)
{
    uint64_t bits = mix64_next(dice);
    for (int i = 0; i < 3; i++)
        rgb[i] = (uint8_t)(bits >> 8 * i);
}

void pattern_choose(struct span prompt, uint32_t index, uint32_t size, struct pattern *ret)
{
    uint64_t dice = mix64_bytes(index, prompt.at, prompt.len);
    *ret = (struct pattern){ .size = size, .figure = (uint32_t)(mix64_next(&dice) % FIGURES) };
    choose_colour(&dice, ret->from);
    choose_colour(&dice, ret->to);
    choose_colour(&dice, ret->ink);
    ret->grain = size / (uint32_t)(4 + mix64_next(&dice) % 9);
    ret->centre_x = (uint32_t)(mix64_next(&dice) % size);
    ret->centre_y = (uint32_t)(mix64_next(&dice) % size);
    uint32_t noise_mib = 0;
    directive(prompt, "#noise=", NOISE_MIB_MAX, &noise_mib);
    ret->noise_rows = (noise_mib << 20) / (3 * size);
    ret->noise = dice;
}

static bool inked(const struct pattern *p, uint32_t x, uint32_t y)
{
    int64_t dx = (int64_t)x - p->centre_x, dy = (int64_t)y - p->centre_y;
    uint64_t grain = p->grain;
    switch ((enum figure)p->figure) {
    case RINGS:
        return (uint64_t)(dx * dx + dy * dy) / (grain * grain) & 1;
    case STRIPES:
        return (x + y) / grain & 1;
    case CHECKS:
        return (x / grain + y / grain) & 1;
    default:
        return (uint64_t)x * y / (grain * grain) & 1;
    }
}

static void noise_row(const struct pattern *p, uint32_t y, uint8_t *rgb)
{
    uint64_t dice = p->noise + y;
    dice = mix64(dice);
    for (uint32_t i = 0; i < 3 * p->size; i += 8) {
        uint64_t bits = mix64_next(&dice);
        memcpy(rgb + i, &bits, sizeof bits); /* a size is a multiple of 8 */
    }
}

void pattern_row(const struct pattern *p, uint32_t y, uint8_t *rgb)
{
    if (y < p->noise_rows) {
        noise_row(p, y, rgb);
        return;
    }
    for (uint32_t x = 0; x < p->size; x++, rgb += 3) {
        uint32_t way = (x + y) * 256 / (2 * p->size); /* 0..255 from one colour to the other */
        bool ink = inked(p, x, y);
        for (int i = 0; i < 3; i++) {
            uint32_t ground = (p->from[i] * (255 - way) + p->to[i] * way) / 255;
            rgb[i] = (uint8_t)(ink ? (ground + p->ink[i]) / 2 : ground);
        }
    }
}
