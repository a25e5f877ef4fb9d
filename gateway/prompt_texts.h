/* gateway/prompt_texts.h -- the texts of a request that its model reads, one after the other.
 *
 * Any thread: it reads the body, which does not change, and keeps nothing.
 */
#ifndef MAAS_PROMPT_TEXTS_H
#define MAAS_PROMPT_TEXTS_H
#include "base/span.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalog_tokenizer;
struct request;

struct prompt_texts {
    const struct catalog_tokenizer *by;
    struct span list, parts; /* of messages or prompts; of one message's content */
    size_t list_at, parts_at;
    struct span waiting[2]; /* texts of the message that was read last */
    unsigned waiting_count;
    bool messages;    /* the list is of messages, else of prompts */
    struct span more; /* a message that the gateway puts before them: its recipe's */
    uint64_t extra;   /* tokens that are no text: of the template; ids */
    bool incomplete;  /* there is something that is not counted: a picture, a tool */
};

void prompt_texts_init(struct prompt_texts *p, const struct request *r);
/* What is between the quotes of a JSON string.  False: that was all, and `extra` is known. */
bool prompt_texts_next(struct prompt_texts *p, struct span *ret);
#endif
