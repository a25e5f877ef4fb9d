/* backends/refworker/ngram.h -- a text model of order 3, built from a corpus in memory.
 *
 * It counts which piece follows each pair of pieces and each single piece; when
 * a pair has been seen with one follower only, or never, the single piece
 * decides (back-off), and when that fails a new sentence begins.  The last
 * words of the prompt choose the sentence an answer opens with.  Immutable after
 * ngram_new; a walk belongs to one answer.
 */
#ifndef REFWORKER_NGRAM_H
#define REFWORKER_NGRAM_H
#include "base/span.h"
#include "base/status.h"
#include <stdint.h>

enum { NGRAM_CORPUS_BYTES_MAX = 4 << 20, NGRAM_CORPUS_BYTES_MIN = 64 };

struct ngram;

struct ngram_sampling {
    double temperature; /* 0: always the likeliest */
    double top_p;
};

struct ngram_walk {
    uint64_t dice;
    uint32_t older, last;              /* pieces just written */
    uint32_t opening_at, opening_left; /* corpus pieces that open the answer */
};

/* NULL and a sentence in err: too small, too large, a NUL byte, no memory. */
struct ngram *ngram_new(struct span corpus, char err[static 256]);
void ngram_free(struct ngram *m);

uint32_t ngram_vocabulary(const struct ngram *m);

void ngram_begin(const struct ngram *m, struct span prompt, uint64_t seed, struct ngram_walk *w);
/* The next piece, at least one byte; lent by the model. */
struct span ngram_next(const struct ngram *m, struct ngram_walk *w, const struct ngram_sampling *s);

/* True when this piece closes a sentence. */
bool ngram_closes(struct span piece);
#endif
