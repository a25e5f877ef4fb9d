/* backends/refworker/pieces.h -- the tokenizer: text cut into pieces of 1 to 8 bytes.
 *
 * Deterministic, and reversible by writing the pieces one after the other.  A
 * piece is a word or the beginning or rest of one, with the space before it; a
 * run of spaces or line ends; or a punctuation mark.  A character of valid UTF-8
 * is never split.  So there are never more tokens than bytes.
 */
#ifndef REFWORKER_PIECES_H
#define REFWORKER_PIECES_H
#include "base/span.h"
#include <stdint.h>

enum { PIECE_BYTES_MAX = 8 };

/* Length of the first piece of a text that is not empty: 1..8, at most text.len. */
size_t piece_len(struct span text);

uint32_t pieces_count(struct span text);
#endif
