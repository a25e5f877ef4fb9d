/* gateway/recount.h -- the gateway's own count of a request's tokens, beside its backend's.
 *
 * Only of models with a tokenizer: for others there is no struct recount.  The counting is done by
 * libuv's threads, RECOUNT_SLICE_BYTES of text at a time, so that no loop waits for a long text and no
 * long text keeps a short one waiting; the stage that needs the count waits for it.  What was not
 * counted in whole (a picture, a tool, a word of a megabyte) is never held against a backend.
 */
#ifndef MAAS_RECOUNT_GATEWAY_H
#define MAAS_RECOUNT_GATEWAY_H
#include "billing/recount.h"
#include "gateway/transcript.h"

struct request;

enum { RECOUNT_SLICE_BYTES = 128 << 10, RECOUNT_NAME_BYTES = 96 };
enum recount_part { RECOUNT_INPUT, RECOUNT_OUTPUT };

struct recounted {
    uint64_t input, text, reasoning; /* tokens; of the texts that could be counted */
    bool input_whole, output_whole;
};

struct recount {
    struct transcript said;
    bool running, input_done, output_done;
    size_t said_end;  /* how much of what was said has been counted */
    int64_t asked_ns; /* when it was first waited for with the work done; 0: not yet */
    struct recounted count;
    char tokenizer[RECOUNT_NAME_BYTES];
    struct recount_row row; /* for the settlement */
};

/* For a model with a tokenizer r->work.recount is made, once.  OK or NO_MEMORY. */
MUST_CHECK enum status recount_begin(struct request *r);
void recount_free(struct recount *c); /* NULL is fine */
/* True: it is being counted, and request_resume comes.  False: it has been. */
bool recount_wait(struct request *r, enum recount_part part);
/* By how many tokens a number may differ from one that was counted. */
uint64_t recount_tolerance(const struct request *r, uint64_t counted);
#endif
