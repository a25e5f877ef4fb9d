/* backends/refworker/embed.c -- the hashing trick over character n-grams of 3 to 5 bytes.
 *
 * Words that share letters share n-grams, so related texts come out nearer to
 * each other than unrelated ones.  No more meaning than that is in it. */
#include "backends/refworker/embed.h"
#include "backends/refworker/mix64.h"
#include <assert.h>
#include <math.h>

enum { GRAM_BYTES_MIN = 3, GRAM_BYTES_MAX = 5 };

float embed_float(int32_t component)
{
    return (float)((double)component / EMBED_ONE);
}

/* Letters in lower case; everything that is no letter or digit is one kind of gap. */
static char folded(struct span text, ptrdiff_t i)
{
    if (i < 0 || (size_t)i >= text.len)
        return ' ';
    char c = text.at[i];
    if (c >= 'A' && c <= 'Z')
        return (char)(c | 0x20);
    bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
    return plain ? c : ' ';
}

static void count_gram(uint64_t gram, uint32_t dimensions, int32_t *counts)
{
    uint64_t h = mix64(gram);
    counts[(h >> 32) % dimensions] += h & 1 ? 1 : -1;
}

/* All n-grams that end at position `end`; they do not reach over a gap, but may begin with it. */
static void count_grams_to(struct span text, ptrdiff_t end, uint32_t dimensions, int32_t *counts)
{
    uint64_t gram = 0;
    for (ptrdiff_t n = 1; n <= GRAM_BYTES_MAX; n++) {
        char c = folded(text, end - n + 1);
        gram = gram << 8 | (unsigned char)c;
        if (n >= GRAM_BYTES_MIN)
            count_gram(gram, dimensions, counts);
        if (n > 1 && c == ' ')
            return;
    }
}

static void normalise(uint32_t dimensions, int32_t *v)
{
    double squares = 0;
    for (uint32_t i = 0; i < dimensions; i++)
        squares += (double)v[i] * v[i];
    if (squares <= 0) { /* no n-gram, or they cancelled out: still a vector of length 1 */
        v[0] = EMBED_ONE;
        return;
    }
    double scale = EMBED_ONE / sqrt(squares);
    for (uint32_t i = 0; i < dimensions; i++)
        v[i] = (int32_t)lround(v[i] * scale);
}

void embed_text(struct span text, uint32_t dimensions, int32_t *vector)
{
    assert(dimensions >= 1 && dimensions <= EMBED_DIMENSIONS_MAX);
    memset(vector, 0, dimensions * sizeof *vector);
    for (size_t i = 0; i <= text.len; i++)
        count_grams_to(text, (ptrdiff_t)i, dimensions, vector);
    normalise(dimensions, vector);
}
