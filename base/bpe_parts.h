/* base/bpe_parts.h -- what the files of the encoder share; no other file includes it.
 *
 * bpe.c        the joining, and the counting slice by slice
 * bpe_ranks.c  the rank file, and which run of bytes is a token
 * bpe_words.c  the pattern
 */
#ifndef MAAS_BPE_PARTS_H
#define MAAS_BPE_PARTS_H
#include "base/bpe.h"

#define BPE_NO_RANK UINT32_MAX

struct bpe_slot {
    uint32_t at, rank; /* at: of its bytes; len 0: the slot is empty */
    uint16_t len, tag; /* tag: some of the hash */
};

struct bpe_ranks { /* open addressing, at most half full */
    struct bpe_slot *slots;
    uint32_t mask;
    char *bytes; /* of all tokens, one after the other */
    size_t bytes_len, count, longest;
    uint32_t byte[256], pair[65536]; /* ranks of all runs of one byte and of two */
};

MUST_CHECK enum status bpe_ranks_read(struct bpe_ranks *r, struct span file,
                                      char err[static BPE_ERROR_BYTES]);
void bpe_ranks_free(struct bpe_ranks *r);
size_t bpe_ranks_memory(const struct bpe_ranks *r);
/* BPE_NO_RANK: these bytes are no token. */
uint32_t bpe_rank(const struct bpe_ranks *r, const char *at, size_t len);

struct bpe_words;
struct bpe_match; /* the working memory of one run */
MUST_CHECK enum status bpe_words_new(enum bpe_pattern pattern, const char *own,
                                     struct bpe_words **ret, char err[static BPE_ERROR_BYTES]);
void bpe_words_free(struct bpe_words *w);
struct bpe_match *bpe_match_new(const struct bpe_words *w); /* NULL: no memory */
void bpe_match_free(struct bpe_match *m);
/* Looks whether the text has characters that need the slower pattern. */
void bpe_match_text(struct bpe_match *m, struct span text);
enum bpe_found { BPE_FOUND, BPE_NONE, BPE_TROUBLE };
/* The next word from `at` on; what lies before it belongs to no word. */
enum bpe_found bpe_match_next(struct bpe_match *m, size_t at, struct span *ret);
#endif
