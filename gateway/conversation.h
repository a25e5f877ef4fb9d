/* gateway/conversation.h -- by what a conversation is told from another. */
#ifndef MAAS_CONVERSATION_H
#define MAAS_CONVERSATION_H
#include <stdint.h>

struct request;

/* The same for every turn of a chat: it is made of what comes before the first answer
 * (the messages up to the first of the user's), the project and the model, with a key
 * that lives as long as the process, so that nobody can aim at another project's
 * cache.  0: there is no such thing. */
uint64_t conversation_key(const struct request *r);

#endif
