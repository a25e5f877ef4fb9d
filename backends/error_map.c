/* backends/error_map.c -- see error_map.h. */
#include "backends/error_map.h"
#include "base/jscan.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct code_row {
    long code;
    enum status status;
    bool told; /* the client can do something about it: upstream's sentence is passed on */
    bool untouched;
    const char *message; /* ours, when there is something to say and upstream's is not told */
};

#define REFUSED_US "the model's backend refused the gateway's credentials"

static const struct code_row code_rows[] = {
    { 400, STATUS_BAD_REQUEST, true, false, NULL },
    { 401, STATUS_BACKEND_FAILED, false, false, REFUSED_US },
    { 402, STATUS_BACKEND_FAILED, false, false,
      "the model's backend refused the gateway's account" },
    { 403, STATUS_BACKEND_FAILED, false, false, REFUSED_US },
    { 404, STATUS_MODEL_NOT_FOUND, true, false, NULL },
    { 413, STATUS_BODY_TOO_LARGE, true, false, NULL },
    { 422, STATUS_BAD_REQUEST, true, false, NULL },
    { 429, STATUS_OVERLOADED, false, true, "the model's backend is overloaded" },
    { 503, STATUS_BACKEND_FAILED, false, true, NULL },
    { 529, STATUS_OVERLOADED, false, true, "the model's backend is overloaded" },
};

static const struct code_row *find_row(long code)
{
    static const struct code_row other = { 0, STATUS_BACKEND_FAILED, false, false, NULL };
    for (size_t i = 0; i < sizeof code_rows / sizeof *code_rows; i++)
        if (code_rows[i].code == code)
            return &code_rows[i];
    return &other;
}

static void say(struct backend_end *end, const char *text)
{
    snprintf(end->message, sizeof end->message, "%s", text ? text : "");
}

/* Bytes of the UTF-8 character that begins here; the text has been validated. */
static size_t character_bytes(const char *at)
{
    unsigned char c = (unsigned char)*at;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* U+0000..001F, 007F..009F: what a terminal or a log may take for a command. */
static bool is_control(const char *at)
{
    unsigned char c = (unsigned char)at[0], next = (unsigned char)at[1];
    return c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0);
}

/* Copies whole characters, controls as spaces. */
static void copy_printable(char *to, size_t size, const char *from)
{
    size_t used = 0;
    while (*from) {
        size_t len = character_bytes(from);
        if (used + len >= size)
            break;
        if (is_control(from))
            to[used++] = ' ';
        else
            for (size_t i = 0; i < len; i++)
                to[used++] = from[i];
        from += len;
    }
    to[used] = '\0';
}

static void copy_member(char *to, size_t size, const struct jfield *f, const char *secret)
{
    to[0] = '\0';
    if (f->type != J_STRING)
        return;
    char *text = malloc(f->value.len + 1); /* unescaped it is never longer */
    if (text && jscan_string(f, text, f->value.len + 1) &&
        (!secret || !*secret || !strstr(text, secret)))
        copy_printable(to, size, text);
    free(text);
}

enum { ERROR_MESSAGE, ERROR_CODE, ERROR_PARAM, ERROR_FIELDS };

static bool is_context_length(const struct jfield *code)
{
    return code->type == J_STRING && span_is(code->value, "\"context_length_exceeded\"");
}

/* `error` is {"message":..,"code":..,"param":..} or, from some servers, a mere sentence. */
static void apply_error(const struct jfield *error, long code, const char *secret,
                        struct backend_end *end)
{
    struct jfield part[ERROR_FIELDS] = {
        [ERROR_MESSAGE] = { .key = "message" },
        [ERROR_CODE] = { .key = "code" },
        [ERROR_PARAM] = { .key = "param" },
    };
    int64_t own_code;
    if (error->type == J_OBJECT && jscan_member(error->value, part, ERROR_FIELDS) != STATUS_OK)
        for (size_t i = 0; i < ERROR_FIELDS; i++)
            part[i].type = J_ABSENT; /* a key twice: nothing of it is believed */
    if (!code && jscan_int(&part[ERROR_CODE], &own_code) && own_code >= 400 && own_code < 600)
        code = (long)own_code;
    const struct code_row *row = find_row(code);
    end->status = row->status;
    end->untouched = row->untouched;
    say(end, row->message);
    if (!row->told)
        return;
    if (end->status == STATUS_BAD_REQUEST && is_context_length(&part[ERROR_CODE]))
        end->status = STATUS_CONTEXT_LENGTH;
    copy_member(end->message, sizeof end->message,
                error->type == J_STRING ? error : &part[ERROR_MESSAGE], secret);
    copy_member(end->param, sizeof end->param, &part[ERROR_PARAM], secret);
}

/* The `error` member; or the object itself when it is flat: {"message":..,"code":..}. */
static struct jfield find_error(struct span text)
{
    struct jfield fields[] = { { .key = "error" }, { .key = "message" } };
    struct jscan_error at;
    struct jfield none = { .type = J_ABSENT };
    if (jscan_object(text, fields, 2, &at) != STATUS_OK)
        return none;
    if (fields[0].type == J_ABSENT && fields[1].type == J_STRING)
        return (struct jfield){ .type = J_OBJECT, .value = text };
    return fields[0];
}

void error_refused(long code, struct span body, const char *secret, struct backend_end *end)
{
    struct jfield error = find_error(body);
    apply_error(&error, code, secret, end);
    assert(end->status != STATUS_OK);
}

bool error_object(struct span object, bool first, const char *secret, struct backend_end *end)
{
    struct jfield error = find_error(object);
    if (error.type != J_OBJECT && error.type != J_STRING)
        return false;
    apply_error(&error, 0, secret, end);
    end->untouched = false; /* 200 was said: it had begun */
    if (!first) {
        end->status = STATUS_BACKEND_CUT;
        end->message[0] = end->param[0] = '\0';
    }
    return true;
}
