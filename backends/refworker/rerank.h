/* backends/refworker/rerank.h -- orders documents by the likeness of their vectors to the query's. */
#ifndef REFWORKER_RERANK_H
#define REFWORKER_RERANK_H
#include "backends/refworker/fault.h"
#include "backends/refworker/job.h"
#include "base/span.h"
#include <jansson.h>

enum { RERANK_DOCUMENTS_MAX = 10000 };

struct rerank_order {
    json_t *tree; /* owns the texts */
    struct span query;
    json_t *documents;   /* strings, or objects with the string `text` */
    size_t count, top_n; /* documents; results, 1..count */
    bool return_documents;
};

MUST_CHECK bool rerank_order_read(struct span body, struct rerank_order *ret, struct fault *fault);
struct span rerank_document(const struct rerank_order *o, size_t index);

/* Cosine in units of 1e-7, 0..10000000: what is not alike at all is not alike either way. */
uint32_t rerank_score(const int32_t *query, struct span document);

void rerank_start(struct jobs *jobs, struct maas_call *call);
#endif
