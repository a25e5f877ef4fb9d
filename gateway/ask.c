/* gateway/ask.c -- see ask.h. */
#include "gateway/ask_parts.h"
#include "gateway/kind.h"
#include <stdarg.h>
#include <stdio.h>

static const char *const field_names[ASK_FIELDS] = {
#define X(NAME, key) [ASK_##NAME] = key,
    ASK_FIELD_MAP(X)
#undef X
};

/* Fields that would let a client choose where, as whom or how urgently it runs. */
static const enum ask_field refused[] = { ASK_API_BASE, ASK_BASE_URL, ASK_API_KEY, ASK_CACHE_SALT,
                                          ASK_PRIORITY };

enum status ask_problem(struct ask_error *e, enum status s, const char *param, const char *fmt, ...)
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
            return ask_problem(e, STATUS_UNSUPPORTED_FIELD, field_names[refused[i]],
                               "'%s' is set by the operator, not by the request",
                               field_names[refused[i]]);
    return STATUS_OK;
}

bool ask_given(const struct jfield *f)
{
    return f->type != J_ABSENT && f->type != J_NULL;
}

enum status ask_int(const struct ask *a, enum ask_field which, int64_t most, int64_t *ret,
                    struct ask_error *e)
{
    const struct jfield *f = &a->field[which];
    int64_t n;
    if (!ask_given(f))
        return STATUS_OK;
    if (!jscan_int(f, &n) || n < 1 || n > most)
        return ask_problem(e, STATUS_BAD_FIELD, f->key,
                           "'%s' must be a whole number from 1 to %lld", f->key, (long long)most);
    *ret = n;
    return STATUS_OK;
}

enum status ask_bool(const struct jfield *f, bool *ret, struct ask_error *e)
{
    if (!ask_given(f))
        return STATUS_OK;
    if (f->type != J_TRUE && f->type != J_FALSE)
        return ask_problem(e, STATUS_BAD_FIELD, f->key, "'%s' must be true or false", f->key);
    *ret = f->type == J_TRUE;
    return STATUS_OK;
}

enum status ask_want(const struct ask *a, enum ask_field which, unsigned types, const char *what,
                     struct ask_error *e)
{
    const struct jfield *f = &a->field[which];
    if (!ask_given(f))
        return ask_problem(e, STATUS_MISSING_FIELD, f->key, "the field '%s' is missing", f->key);
    if (!(types >> f->type & 1))
        return ask_problem(e, STATUS_BAD_FIELD, f->key, "'%s' must be %s", f->key, what);
    return STATUS_OK;
}

enum status ask_stream(struct ask *a, struct ask_error *e)
{
    const struct jfield *options = &a->field[ASK_STREAM_OPTIONS];
    struct jfield usage = { .key = "include_usage" };
    enum status s = ask_bool(&a->field[ASK_STREAM], &a->stream, e);
    if (s != STATUS_OK || !ask_given(options))
        return s;
    if (options->type != J_OBJECT)
        return ask_problem(e, STATUS_BAD_FIELD, "stream_options",
                           "'stream_options' must be an object");
    if (!a->stream)
        return ask_problem(e, STATUS_BAD_FIELD, "stream_options",
                           "'stream_options' needs 'stream': true");
    if (jscan_member(options->value, &usage, 1) != STATUS_OK)
        return ask_problem(e, STATUS_BAD_FIELD, "stream_options",
                           "'stream_options' names a key twice");
    return ask_bool(&usage, &a->include_usage, e);
}

static enum status read_model(struct ask *a, struct ask_error *e)
{
    const struct jfield *f = &a->field[ASK_MODEL];
    if (!ask_given(f))
        return STATUS_OK; /* a level prefix may name it */
    if (f->type != J_STRING || !jscan_string(f, a->model, sizeof a->model))
        return ask_problem(e, STATUS_BAD_FIELD, "model",
                           "'model' must be a string of at most %zu bytes", sizeof a->model - 1);
    return STATUS_OK;
}

enum status ask_read(struct span body, unsigned capability, struct ask *ret, struct ask_error *e)
{
    const struct kind *kind = kind_of(capability);
    struct jscan_error where = { 0, "" };
    size_t fields = capability == CAP_CHAT ? ASK_CHAT_FIELDS : ASK_FIELDS;
    ret->n = 1;
    ret->generated = 1;
    ret->most.input_tokens_max = body.len; /* a token is at least a byte */
    for (size_t i = 0; i < fields; i++)
        ret->field[i] = (struct jfield){ .key = field_names[i] };
    if (jscan_object(body, ret->field, fields, &where) != STATUS_OK)
        return ask_problem(e, STATUS_BAD_JSON, "",
                           "the body is not a valid JSON object: %s at byte %zu", where.what,
                           where.at);
    enum status s = check_refused(ret, e);
    if (s == STATUS_OK && capability != CAP_INFER)
        s = read_model(ret, e);
    return s == STATUS_OK ? kind->read(ret, e) : s;
}

enum status ask_tensors(struct span body, uint64_t header_len, struct ask *ret, struct ask_error *e)
{
    struct span header = { body.at, (size_t)header_len };
    if (header_len > body.len)
        return ask_problem(e, STATUS_BAD_FIELD, "Inference-Header-Content-Length",
                           "Inference-Header-Content-Length is more than the body has");
    ret->n = 1;
    ret->generated = 1;
    enum status s = header_len ? ask_read(header, CAP_INFER, ret, e) : STATUS_OK;
    ret->most.tensor_elements_max = body.len;
    return s;
}
