/* backends/workertest/asks.h -- what a worker is asked: plain requests of each capability, or the author's own. */
#ifndef MAAS_WORKERTEST_ASKS_H
#define MAAS_WORKERTEST_ASKS_H
#include "backends/workertest/convo.h"

enum { ASKS_MAX = 16 };

struct ask_kind { /* "chat=MODEL" of the command line */
    enum capability capability;
    char model[256];
};

struct asks {
    struct ask_kind kind[ASKS_MAX];
    unsigned count;
    struct span body; /* of the first; lent */
};

/* "chat=MODEL,embeddings=MODEL"; false: a sentence on stderr. */
bool asks_read(struct asks *a, const char *text, struct span body);
bool asks_streams(const struct ask_kind *k); /* its answers may be streams of events */
/* A body in memory of its own, to be freed; `words` is how long the text in it is. */
char *asks_body(const struct asks *a, unsigned kind, bool stream, unsigned words,
                unsigned max_tokens);
#endif
