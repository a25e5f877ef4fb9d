/* backends/refworker/embeddings.h -- answers embeddings requests with hashed n-gram vectors. */
#ifndef REFWORKER_EMBEDDINGS_H
#define REFWORKER_EMBEDDINGS_H
#include "backends/refworker/fault.h"
#include "backends/refworker/job.h"
#include <jansson.h>

enum { EMBED_INPUTS_MAX = 2048 };

struct embed_order {
    json_t *tree;  /* owns the texts */
    json_t *input; /* a string, or an array of strings */
    size_t count;  /* of texts */
    uint32_t dimensions;
    bool base64;
};

MUST_CHECK bool embed_order_read(struct span body, struct embed_order *ret, struct fault *fault);
struct span embed_order_text(const struct embed_order *o, size_t index);

/* One element of the answer's `data`. */
MUST_CHECK bool embed_write(const struct embed_order *o, size_t index, struct buf *out);

void embeddings_start(struct jobs *jobs, struct maas_call *call);
#endif
