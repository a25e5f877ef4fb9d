/* backends/refworker/ngram_model.h -- what an n-gram model is made of.  For ngram.c, which
 * walks it, and ngram_model.c, which builds it; nobody else. */
#ifndef REFWORKER_NGRAM_MODEL_H
#define REFWORKER_NGRAM_MODEL_H
#include "backends/refworker/map64.h"
#include "base/span.h"
#include <stdint.h>

struct ngram_follower {
    uint32_t piece;
    uint32_t upto; /* its count and those of all before it in the context */
};

struct ngram_context { /* its followers, the most frequent first */
    uint32_t first, count;
};

/* Pieces have ids from 1; 0 is "none". */
struct ngram {
    struct map64 ids;     /* bytes of a piece -> id */
    uint64_t *pieces;     /* by id: up to 8 bytes, NUL-padded */
    uint32_t piece_count; /* id 0 included */
    uint32_t *corpus;     /* ids in the order of the text */
    uint32_t corpus_len;
    struct map64 context_at; /* key -> index into contexts, from 1 */
    struct ngram_context *contexts;
    struct ngram_follower *followers;
    uint32_t *openings;     /* corpus positions where a sentence begins, ascending */
    uint32_t opening_count; /* >= 1 */
    uint32_t *places;       /* corpus positions grouped by piece ... */
    uint32_t
        *places_from; /* ... those of id are places[places_from[id]] up to places_from[id + 1] */
};

/* A single piece is a pair whose older half is 0. */
static inline uint64_t ngram_context_key(uint32_t older, uint32_t last)
{
    return (uint64_t)older << 32 | last;
}

static inline struct span ngram_piece(const struct ngram *m, uint32_t id)
{
    const char *at = (const char *)&m->pieces[id];
    return (struct span){ at, strnlen(at, sizeof m->pieces[id]) };
}
#endif
