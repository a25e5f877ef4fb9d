/* backends/refworker/rerank_order.c -- reading a rerank request, comparing two vectors. */
#include "backends/refworker/embed.h"
#include "backends/refworker/json_text.h"
#include "backends/refworker/rerank.h"

static bool read_documents(struct rerank_order *o, struct fault *fault)
{
    size_t i;
    json_t *document;
    o->documents = json_object_get(o->tree, "documents");
    o->count = json_array_size(o->documents);
    if (!json_is_array(o->documents) || o->count < 1 || o->count > RERANK_DOCUMENTS_MAX)
        return fault_set(fault, "documents must be an array of 1 to %d texts",
                         RERANK_DOCUMENTS_MAX);
    json_array_foreach (o->documents, i, document)
        if (!json_is_string(document) && !json_is_string(json_object_get(document, "text")))
            return fault_set(
                fault, "documents[%zu] must be a string, or an object with the string 'text'", i);
    return true;
}

/* 0 stands for all, as some clients send it. */
static bool read_top_n(struct rerank_order *o, struct fault *fault)
{
    const json_t *field = json_object_get(o->tree, "top_n");
    o->top_n = o->count;
    if (!field || json_is_null(field))
        return true;
    if (!json_is_integer(field) || json_integer_value(field) < 0)
        return fault_set(fault, "top_n must be a whole number from 0");
    size_t wanted = (size_t)json_integer_value(field);
    if (wanted > 0 && wanted < o->count)
        o->top_n = wanted;
    return true;
}

bool rerank_order_read(struct span body, struct rerank_order *ret, struct fault *fault)
{
    *ret = (struct rerank_order){ .tree = json_body(body, fault) };
    if (!ret->tree)
        return false;
    const json_t *query = json_object_get(ret->tree, "query");
    if (!json_is_string(query))
        return fault_set(fault, "query must be a string");
    ret->query = json_span(query);
    ret->return_documents = json_is_true(json_object_get(ret->tree, "return_documents"));
    return read_documents(ret, fault) && read_top_n(ret, fault);
}

struct span rerank_document(const struct rerank_order *o, size_t index)
{
    const json_t *document = json_array_get(o->documents, index);
    const json_t *text = json_is_string(document) ? document : json_object_get(document, "text");
    return json_span(text);
}

uint32_t rerank_score(const int32_t *query, struct span document)
{
    int32_t v[EMBED_DIMENSIONS_DEFAULT];
    int64_t product = 0;
    embed_text(document, EMBED_DIMENSIONS_DEFAULT, v);
    for (int i = 0; i < EMBED_DIMENSIONS_DEFAULT; i++)
        product += (int64_t)query[i] * v[i];
    product /= EMBED_ONE;
    if (product < 0)
        return 0;
    return product < EMBED_ONE ? (uint32_t)product : EMBED_ONE; /* rounding may pass 1 */
}
