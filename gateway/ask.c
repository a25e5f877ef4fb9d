/* gateway/ask.c -- see ask.h. */
#include "gateway/ask.h"
#include "conf/catalog.h"
#include <stdarg.h>
#include <stdio.h>

enum { CHOICES_MAX = 128, OUTPUT_TOKENS_MAX = 10 * 1000 * 1000, TENSORS_MAX = 1024 };

static const char *const field_names[ASK_FIELDS] = {
#define X(NAME, key) [ASK_##NAME] = key,
    ASK_FIELD_MAP(X)
#undef X
};

/* Fields that would let a client choose where, as whom or how urgently it runs. */
static const enum ask_field refused[] = { ASK_API_BASE, ASK_BASE_URL, ASK_API_KEY, ASK_CACHE_SALT,
                                          ASK_PRIORITY };

__attribute__((format(printf, 4, 5))) static enum status problem(struct ask_error *e, enum status s,
                                                                 const char *param, const char *fmt,
                                                                 ...)
{
    va_list args;
    snprintf(e->param, sizeof e->param, "%s", param);
    va_start(args, fmt);
    vsnprintf(e->message, sizeof e->message, fmt, args);
    va_end(args);
    return s;
}

static enum status check_refused(const struct ask *a, struct ask_error *e)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (a->field[refused[i]].type != J_ABSENT)
            return problem(e, STATUS_UNSUPPORTED_FIELD, field_names[refused[i]],
                           "'%s' is set by the operator, not by the request",
                           field_names[refused[i]]);
    return STATUS_OK;
}

static bool given(const struct jfield *f)
{
    return f->type != J_ABSENT && f->type != J_NULL;
}

static enum status read_int(const struct ask *a, enum ask_field which, int64_t most, int64_t *ret,
                            struct ask_error *e)
{
    const struct jfield *f = &a->field[which];
    int64_t n;
    if (!given(f))
        return STATUS_OK;
    if (!jscan_int(f, &n) || n < 1 || n > most)
        return problem(e, STATUS_BAD_FIELD, f->key, "'%s' must be a whole number from 1 to %lld",
                       f->key, (long long)most);
    *ret = n;
    return STATUS_OK;
}

static enum status read_bool(const struct jfield *f, bool *ret, struct ask_error *e)
{
    if (!given(f))
        return STATUS_OK;
    if (f->type != J_TRUE && f->type != J_FALSE)
        return problem(e, STATUS_BAD_FIELD, f->key, "'%s' must be true or false", f->key);
    *ret = f->type == J_TRUE;
    return STATUS_OK;
}

static enum status read_model(struct ask *a, struct ask_error *e)
{
    const struct jfield *f = &a->field[ASK_MODEL];
    if (!given(f))
        return STATUS_OK; /* a level prefix may name it */
    if (f->type != J_STRING || !jscan_string(f, a->model, sizeof a->model))
        return problem(e, STATUS_BAD_FIELD, "model",
                       "'model' must be a string of at most %zu bytes", sizeof a->model - 1);
    return STATUS_OK;
}

static enum status want(const struct ask *a, enum ask_field which, unsigned types, const char *what,
                        struct ask_error *e)
{
    const struct jfield *f = &a->field[which];
    if (!given(f))
        return problem(e, STATUS_MISSING_FIELD, f->key, "the field '%s' is missing", f->key);
    if (!(types >> f->type & 1))
        return problem(e, STATUS_BAD_FIELD, f->key, "'%s' must be %s", f->key, what);
    return STATUS_OK;
}

static enum status read_stream(struct ask *a, struct ask_error *e)
{
    const struct jfield *options = &a->field[ASK_STREAM_OPTIONS];
    struct jfield usage = { .key = "include_usage" };
    enum status s = read_bool(&a->field[ASK_STREAM], &a->stream, e);
    if (s != STATUS_OK || !given(options))
        return s;
    if (options->type != J_OBJECT)
        return problem(e, STATUS_BAD_FIELD, "stream_options", "'stream_options' must be an object");
    if (!a->stream)
        return problem(e, STATUS_BAD_FIELD, "stream_options",
                       "'stream_options' needs 'stream': true");
    if (jscan_member(options->value, &usage, 1) != STATUS_OK)
        return problem(e, STATUS_BAD_FIELD, "stream_options", "'stream_options' names a key twice");
    return read_bool(&usage, &a->include_usage, e);
}

static enum status read_chat(struct ask *a, struct ask_error *e)
{
    int64_t completion = 0;
    enum status s = want(a, ASK_MESSAGES, 1u << J_ARRAY, "an array of messages", e);
    if (s == STATUS_OK && jscan_array_count(a->field[ASK_MESSAGES].value) == 0)
        s = problem(e, STATUS_BAD_FIELD, "messages", "'messages' must not be empty");
    if (s == STATUS_OK)
        s = read_stream(a, e);
    if (s == STATUS_OK)
        s = read_int(a, ASK_N, CHOICES_MAX, &a->n, e);
    if (s == STATUS_OK)
        s = read_int(a, ASK_MAX_TOKENS, OUTPUT_TOKENS_MAX, &a->max_out, e);
    if (s == STATUS_OK)
        s = read_int(a, ASK_MAX_COMPLETION_TOKENS, OUTPUT_TOKENS_MAX, &completion, e);
    if (s == STATUS_OK && completion && a->max_out && completion != a->max_out)
        s = problem(e, STATUS_BAD_FIELD, "max_completion_tokens",
                    "'max_tokens' and 'max_completion_tokens' contradict each other");
    if (completion)
        a->max_out = completion;
    return s;
}

static enum status read_images(struct ask *a, struct ask_error *e)
{
    enum status s = want(a, ASK_PROMPT, 1u << J_STRING, "a string", e);
    if (s == STATUS_OK && a->field[ASK_STREAM].type == J_TRUE)
        s = problem(e, STATUS_UNSUPPORTED_FIELD, "stream", "images are not streamed here");
    return s == STATUS_OK ? read_int(a, ASK_N, CHOICES_MAX, &a->n, e) : s;
}

static enum status read_infer(struct ask *a, struct ask_error *e)
{
    enum status s = want(a, ASK_INPUTS, 1u << J_ARRAY, "an array of tensors", e);
    if (s == STATUS_OK && jscan_array_count(a->field[ASK_INPUTS].value) > TENSORS_MAX)
        s = problem(e, STATUS_BAD_FIELD, "inputs", "'inputs' may have at most %d tensors",
                    TENSORS_MAX);
    return s;
}

enum status ask_read(struct span body, unsigned capability, struct ask *ret, struct ask_error *e)
{
    struct jscan_error where = { 0, "" };
    ret->n = 1;
    for (int i = 0; i < ASK_FIELDS; i++)
        ret->field[i] = (struct jfield){ .key = field_names[i] };
    if (jscan_object(body, ret->field, ASK_FIELDS, &where) != STATUS_OK)
        return problem(e, STATUS_BAD_JSON, "",
                       "the body is not a valid JSON object: %s at byte %zu", where.what, where.at);
    enum status s = check_refused(ret, e);
    if (s == STATUS_OK && capability != CAP_INFER)
        s = read_model(ret, e);
    if (s != STATUS_OK)
        return s;
    switch (capability) {
    case CAP_CHAT:
        return read_chat(ret, e);
    case CAP_EMBEDDINGS:
        return want(ret, ASK_INPUT, 1u << J_STRING | 1u << J_ARRAY, "a string or an array", e);
    case CAP_IMAGES:
        return read_images(ret, e);
    default:
        return read_infer(ret, e);
    }
}
