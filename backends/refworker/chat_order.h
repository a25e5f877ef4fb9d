/* backends/refworker/chat_order.h -- a request for text, read and checked: chat or completions. */
#ifndef REFWORKER_CHAT_ORDER_H
#define REFWORKER_CHAT_ORDER_H
#include "backends/refworker/fault.h"
#include "backends/refworker/ngram.h"
#include "backends/refworker/prefix.h"
#include "backends/refworker/stops.h"
#include <jansson.h>

enum {
    CHAT_TOKENS_MAX = 32768,
    CHAT_TOKENS_DEFAULT = 512, /* when the client does not say */
    COMPLETION_TOKENS_DEFAULT = 16,
    CHAT_DELAY_MS_MAX = 60000,
};

struct chat_order {
    json_t *tree;                         /* owns what the spans point to */
    struct span prompt;                   /* text of the last user message, or all there is */
    bool echo;                            /* completions: the answer begins with the prompt */
    uint32_t input_tokens, cached_tokens; /* disjoint */
    uint32_t tokens_max;                  /* most pieces to produce, >= 1 */
    uint32_t tokens_exact; /* "#tokens=N": exactly so many, at most tokens_max; 0: end naturally */
    uint32_t delay_ms;     /* between pieces */
    uint64_t seed;
    struct ngram_sampling sampling;
    struct stops stops;
};

struct chat_limits {             /* what is not in the body */
    uint32_t max_output_tokens;  /* the gateway's cap; 0: none */
    uint32_t delay_ms;           /* unless the prompt says "#delay=MS" */
    struct prefix_cache *prefix; /* NULL: no prefix is remembered */
    bool completion;             /* the body is of the completions endpoint */
};

/* False: *fault says why.  Clear the order in either case. */
MUST_CHECK bool chat_order_read(struct span body, const struct chat_limits *limits,
                                struct chat_order *ret, struct fault *fault);
void chat_order_clear(struct chat_order *o);
#endif
