/* base/bpe.h -- how many tokens a text is: byte-pair encoding, exactly as tiktoken does it.
 *
 * A pattern cuts the text into words; each word that is no token itself is made of its bytes by
 * joining, again and again, the two neighbours whose join has the lowest rank.  What looks like a
 * special token is text.  An encoder is immutable and may be used by several threads at once.
 *
 * The ranks come from a file as tiktoken has it: a line a token, its bytes in base64, a space and
 * its rank.  Memory of an encoder: about 24 to 48 bytes a token and the bytes of all; for
 * cl100k_base 4 MB, for o200k_base 8 MB.
 *
 * Time: n log n in the length of a word, so a megabyte of one letter costs no more than a text.
 */
#ifndef MAAS_BPE_H
#define MAAS_BPE_H
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

struct bpe;

enum {
    BPE_ERROR_BYTES = 200,
    BPE_FILE_BYTES_MAX = 32 << 20,
    BPE_TOKENS_MAX = 1 << 20,
    BPE_TOKEN_BYTES_MAX = 1024,
    BPE_PATTERN_BYTES_MAX = 4096,
    BPE_WORD_BYTES_MAX = 1 << 20, /* a longer word is not counted: see BPE_FAILED */
};

/* How texts are cut into words: those of tiktoken's encodings of that name, or one's own. */
#define BPE_PATTERNS(X) X(CL100K, "cl100k_base") X(O200K, "o200k_base") X(R50K, "r50k_base")

enum bpe_pattern {
#define X(NAME, name) BPE_##NAME,
    BPE_PATTERNS(X)
#undef X
        BPE_OWN /* a regular expression of PCRE2, UTF and UCP */
};
/* BPE_OWN when there is no such name. */
enum bpe_pattern bpe_pattern_find(const char *name);

/* `own` is the expression of BPE_OWN, else not looked at.  BAD_FIELD or NO_MEMORY, and in err what
 * is wrong with the file (and in which line) or with the expression. */
MUST_CHECK enum status bpe_new(struct span file, enum bpe_pattern pattern, const char *own,
                               struct bpe **ret, char err[static BPE_ERROR_BYTES]);
void bpe_free(struct bpe *b); /* NULL is fine */
/* Of such an expression alone. */
MUST_CHECK enum status bpe_check_pattern(const char *own, char err[static BPE_ERROR_BYTES]);
size_t bpe_tokens(const struct bpe *b);
size_t bpe_memory(const struct bpe *b); /* bytes */

enum bpe_step {
    BPE_MORE,
    BPE_DONE,
    BPE_FAILED, /* a word beyond BPE_WORD_BYTES_MAX, a pattern that took too long, no memory */
};

/* The counting of texts, a slice at a time, by one thread at a time. */
struct bpe_run;
struct bpe_run *bpe_run_new(const struct bpe *b); /* NULL: no memory */
void bpe_run_free(struct bpe_run *r);             /* NULL is fine */
/* Another text, valid UTF-8, borrowed until it is done.  Its tokens are added to the others'. */
void bpe_run_text(struct bpe_run *r, struct span text);
/* About so many bytes of it (at least a word). */
enum bpe_step bpe_run_step(struct bpe_run *r, size_t bytes);
uint64_t bpe_run_tokens(const struct bpe_run *r);
/* For tests: the tokens themselves, four bytes each as the machine has them, are added to `ids`;
 * what does not fit makes the step fail.  NULL: they are only counted. */
void bpe_run_collect(struct bpe_run *r, struct buf *ids);
#endif
