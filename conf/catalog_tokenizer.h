/* conf/catalog_tokenizer.h -- how the gateway itself counts the tokens of a model. */
#ifndef MAAS_CATALOG_TOKENIZER_H
#define MAAS_CATALOG_TOKENIZER_H
#include <stdint.h>

struct bpe;

enum tokenizer_hold {                       /* what a hold's input is bounded by */
                      TOKENIZER_HOLD_BYTES, /* a token is at least a byte */
                      TOKENIZER_HOLD_COUNT, /* the count, and what it may differ by */
};

enum { TOKENIZER_DIGEST_BYTES = 8 };

struct catalog_tokenizer {
    const char *name, *rank_file;
    const char *pattern;       /* of an encoding; "" when it is the operator's own: */
    const char *pattern_regex; /* else "" */
    /* What the chat template puts around a message, its role included, and around all of them. */
    uint64_t message_tokens, request_tokens;
    /* A backend's number may differ from ours by so much, by the larger one. */
    uint64_t tolerance_basis_points, tolerance_tokens;
    enum tokenizer_hold hold;
    struct bpe *bpe;                        /* the catalog's own */
    uint8_t digest[TOKENIZER_DIGEST_BYTES]; /* the first bytes of the rank file's SHA-256 */
};
#endif
