/* gateway/ask_other.c -- bodies of the endpoints that do not write text. */
#include "gateway/ask_parts.h"

enum {
    TENSORS_MAX = 1024,
    DOCUMENTS_MAX = 10000,
    INPUTS_MAX = 2048,
    PAIR_TOKENS = 8, /* what a model may put around and between a query and a document */
};

static enum status no_stream(const struct ask *a, const char *what, struct ask_error *e)
{
    if (a->field[ASK_STREAM].type != J_TRUE)
        return STATUS_OK;
    return ask_problem(e, STATUS_UNSUPPORTED_FIELD, "stream", "%s are not streamed here", what);
}

enum status ask_embeddings(struct ask *a, struct ask_error *e)
{
    enum status s = ask_want(a, ASK_INPUT, 1u << J_STRING | 1u << J_ARRAY,
                             "a string or an array of strings or token ids", e);
    if (s == STATUS_OK && a->field[ASK_INPUT].type == J_ARRAY &&
        jscan_array_count(a->field[ASK_INPUT].value) == 0)
        s = ask_problem(e, STATUS_BAD_FIELD, "input", "'input' must not be empty");
    return s == STATUS_OK ? no_stream(a, "embeddings", e) : s;
}

enum status ask_images(struct ask *a, struct ask_error *e)
{
    enum status s = ask_want(a, ASK_PROMPT, 1u << J_STRING, "a string", e);
    if (s == STATUS_OK)
        s = no_stream(a, "images", e);
    if (s == STATUS_OK)
        s = ask_int(a, ASK_N, ASK_CHOICES_MAX, &a->n, e);
    a->most.images_max = (uint64_t)a->n;
    return s;
}

enum status ask_infer(struct ask *a, struct ask_error *e)
{
    enum status s = ask_want(a, ASK_INPUTS, 1u << J_ARRAY, "an array of tensors", e);
    if (s == STATUS_OK && jscan_array_count(a->field[ASK_INPUTS].value) > TENSORS_MAX)
        s = ask_problem(e, STATUS_BAD_FIELD, "inputs", "'inputs' may have at most %d tensors",
                        TENSORS_MAX);
    a->most.tensor_elements_max = a->most.input_tokens_max; /* an element is at least a byte */
    a->most.input_tokens_max = 0;
    return s;
}

/* A model that reads query and document together reads the query once for each document. */
enum status ask_rerank(struct ask *a, struct ask_error *e)
{
    const struct jfield *documents = &a->field[ASK_DOCUMENTS], *query = &a->field[ASK_QUERY];
    enum status s = ask_want(a, ASK_QUERY, 1u << J_STRING, "a string", e);
    if (s == STATUS_OK)
        s = ask_want(a, ASK_DOCUMENTS, 1u << J_ARRAY, "an array of strings or objects", e);
    if (s == STATUS_OK)
        s = no_stream(a, "rankings", e);
    if (s != STATUS_OK)
        return s;
    size_t count = jscan_array_count(documents->value);
    if (count < 1 || count > DOCUMENTS_MAX)
        return ask_problem(e, STATUS_BAD_FIELD, "documents",
                           "'documents' must have 1 to %d elements", DOCUMENTS_MAX);
    a->most.input_tokens_max += count * (query->value.len + PAIR_TOKENS);
    return STATUS_OK;
}

enum status ask_moderation(struct ask *a, struct ask_error *e)
{
    const struct jfield *input = &a->field[ASK_INPUT];
    enum status s = ask_want(a, ASK_INPUT, 1u << J_STRING | 1u << J_ARRAY,
                             "a string or an array of strings or objects", e);
    if (s == STATUS_OK)
        s = no_stream(a, "moderations", e);
    if (s != STATUS_OK || input->type == J_STRING)
        return s;
    size_t count = jscan_array_count(input->value);
    if (count < 1 || count > INPUTS_MAX)
        return ask_problem(e, STATUS_BAD_FIELD, "input", "'input' must have 1 to %d elements",
                           INPUTS_MAX);
    return STATUS_OK;
}
