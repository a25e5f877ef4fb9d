/* gateway/transcript.h -- the text of an answer, as it came: what the gateway counts of it.
 *
 * Pieces in their order, so that what had been said up to some moment is a length.  Kept only for
 * models with a tokenizer; as long as the answer's text, at most.
 */
#ifndef MAAS_TRANSCRIPT_H
#define MAAS_TRANSCRIPT_H
#include "base/buf.h"
#include <stdint.h>

enum said_kind { SAID_TEXT, SAID_REASONING, SAID_KINDS };

struct transcript {
    struct buf log;  /* its length is what delivery.h remembers */
    bool incomplete; /* something was said that is no text, or that could not be kept */
};

void transcript_init(struct transcript *t, size_t max);
void transcript_free(struct transcript *t);
/* An event of a stream, or a whole answer: an object with `choices`.  What is none says nothing. */
void transcript_add(struct transcript *t, struct span json);

struct said {
    uint32_t choice;
    enum said_kind kind;
    struct span text; /* lies in the log */
};
/* The piece that begins at *at (0 first), which then is where the next one does.  False: there is
 * none before `end`. */
bool transcript_next(const struct transcript *t, size_t *at, size_t end, struct said *ret);
#endif
