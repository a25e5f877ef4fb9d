/* gateway/ask_media.c -- bodies about sound: speech in JSON, transcription and translation in a form. */
#include "conf/catalog.h"
#include "gateway/ask_parts.h"
#include "gateway/audio.h"
#include "gateway/form.h"
#include <stdio.h>

enum status ask_speech(struct ask *a, struct ask_error *e)
{
    const struct jfield *format = &a->field[ASK_STREAM_FORMAT];
    enum status s = ask_want(a, ASK_INPUT, 1u << J_STRING, "a string", e);
    if (s != STATUS_OK)
        return s;
    a->most.characters_max = jscan_code_points(&a->field[ASK_INPUT]);
    if (!ask_given(format))
        return STATUS_OK;
    a->stream = span_is(format->value, "\"sse\"");
    a->include_usage = true; /* the event that ends the stream has it, for everybody */
    if (!a->stream && !span_is(format->value, "\"audio\""))
        return ask_problem(e, STATUS_BAD_FIELD, "stream_format",
                           "'stream_format' must be \"audio\" or \"sse\"");
    return STATUS_OK;
}

/* ---- forms ---- */

/* Fields that mean something to the gateway, or would choose where and as whom a request runs. */
static const struct form_field {
    const char *name;
    bool refused;
} form_fields[] = { { "model", false },     { "file", false },    { "stream", false },
                    { "api_base", true },   { "base_url", true }, { "api_key", true },
                    { "cache_salt", true }, { "priority", true } };

/* "model", and also "model[]" and "model[x]", which some readers take for it. */
static bool is_field(struct span name, const char *field)
{
    size_t len = strlen(field);
    return name.len >= len && memcmp(name.at, field, len) == 0 &&
           (name.len == len || name.at[len] == '[');
}

static enum status check_part(const struct form_part *p, struct ask_error *e)
{
    for (size_t i = 0; i < sizeof form_fields / sizeof *form_fields; i++) {
        const struct form_field *f = &form_fields[i];
        if (!is_field(p->name, f->name))
            continue;
        if (f->refused)
            return ask_problem(e, STATUS_UNSUPPORTED_FIELD, f->name,
                               "'%s' is set by the operator, not by the request", f->name);
        if (p->name.len != strlen(f->name))
            return ask_problem(e, STATUS_BAD_FIELD, f->name, "'%s' is no list", f->name);
    }
    return STATUS_OK;
}

static enum status read_model(const struct form *f, struct ask *a, struct ask_error *e)
{
    const struct form_part *p = form_find(f, "model");
    if (!p)
        return STATUS_OK; /* a level prefix may name it */
    if (p->file || p->value.len >= sizeof a->model || memchr(p->value.at, '\0', p->value.len))
        return ask_problem(e, STATUS_BAD_FIELD, "model",
                           "'model' must be a text of at most %zu bytes", sizeof a->model - 1);
    snprintf(a->model, sizeof a->model, "%.*s", (int)p->value.len, p->value.at);
    return STATUS_OK;
}

static enum status read_stream(const struct form *f, struct ask *a, struct ask_error *e)
{
    const struct form_part *p = form_find(f, "stream");
    a->include_usage = true; /* the event that ends the stream has it, for everybody */
    a->stream = p && span_is(p->value, "true");
    if (p && !a->stream && !span_is(p->value, "false"))
        return ask_problem(e, STATUS_BAD_FIELD, "stream", "'stream' must be true or false");
    return STATUS_OK;
}

static enum status read_file(const struct form *f, struct ask *a, struct ask_error *e)
{
    const struct form_part *p = form_find(f, "file");
    if (!p)
        return ask_problem(e, STATUS_MISSING_FIELD, "file", "the field 'file' is missing");
    if (!p->file || p->value.len == 0)
        return ask_problem(e, STATUS_BAD_FIELD, "file", "'file' must be a file that is not empty");
    a->audio_bytes = p->value.len;
    a->audio_known = audio_length_ms(p->value, &a->audio_ms);
    return STATUS_OK;
}

enum status ask_form(struct span body, struct span boundary, unsigned capability, struct form *form,
                     struct ask *ret, struct ask_error *e)
{
    const char *what;
    enum status s = STATUS_OK;
    ret->n = 1;
    ret->generated = 1;
    ret->most.input_tokens_max = body.len; /* no model hears more than a token a byte */
    if (!form_read(body, boundary, form, &what))
        return ask_problem(e, STATUS_BAD_FORM, "", "the form is not valid: %s", what);
    for (unsigned i = 0; s == STATUS_OK && i < form->count; i++)
        s = check_part(&form->part[i], e);
    if (s == STATUS_OK)
        s = read_model(form, ret, e);
    if (s == STATUS_OK)
        s = read_stream(form, ret, e);
    if (s == STATUS_OK && ret->stream && capability == CAP_TRANSLATION)
        s = ask_problem(e, STATUS_UNSUPPORTED_FIELD, "stream", "translations are not streamed");
    return s == STATUS_OK ? read_file(form, ret, e) : s;
}
