/* backends/refworker/embed.h -- text to a vector: character n-grams, hashed, signed, normalised.
 *
 * Components are whole multiples of 1e-7, so that the float32 a client decodes
 * from base64 and the one it reads from decimal text are the same number.
 */
#ifndef REFWORKER_EMBED_H
#define REFWORKER_EMBED_H
#include "base/span.h"
#include <stdint.h>

enum { EMBED_DIMENSIONS_DEFAULT = 256, EMBED_DIMENSIONS_MAX = 1024, EMBED_ONE = 10000000 };

/* vector[i] / EMBED_ONE is the component; the vector's length is 1 to within rounding. */
void embed_text(struct span text, uint32_t dimensions, int32_t *vector);

float embed_float(int32_t component);
#endif
