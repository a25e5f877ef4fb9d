/* backends/error_map.c -- see error_map.h. */
#include "backends/error_map.h"
#include "backends/signer.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define REFUSED_US "the model's backend refused the gateway's credentials"
#define NO_MONEY   "the model's backend refused the gateway's account"
#define BUSY       "the model's backend is overloaded"

/* clang-format off */
static const struct error_row shared_rows[] = {
    { 400, NULL, STATUS_BAD_REQUEST,     true,  false, NULL },
    { 401, NULL, STATUS_BACKEND_FAILED,  false, false, REFUSED_US },
    { 402, NULL, STATUS_BACKEND_FAILED,  false, false, NO_MONEY },
    { 403, NULL, STATUS_BACKEND_FAILED,  false, false, REFUSED_US },
    { 404, NULL, STATUS_MODEL_NOT_FOUND, true,  false, NULL },
    { 413, NULL, STATUS_BODY_TOO_LARGE,  true,  false, NULL },
    { 422, NULL, STATUS_BAD_REQUEST,     true,  false, NULL },
    { 429, NULL, STATUS_OVERLOADED,      false, true,  BUSY },
    { 503, NULL, STATUS_BACKEND_FAILED,  false, true,  NULL },
    { 508, NULL, STATUS_LOOP_DETECTED,   false, false, NULL },
    { 529, NULL, STATUS_OVERLOADED,      false, true,  BUSY },
    { 0,   NULL, STATUS_BACKEND_FAILED,  false, false, NULL },
};

/* Codes that say more than their HTTP status, or come without one, in a stream. */
static const struct error_row openai_rows[] = {
    { 400, "context_length_exceeded",    STATUS_CONTEXT_LENGTH,  true,  false, NULL },
    { 413, "context_length_exceeded",    STATUS_CONTEXT_LENGTH,  true,  false, NULL },
    { 422, "context_length_exceeded",    STATUS_CONTEXT_LENGTH,  true,  false, NULL },
    { 400, "exceed_context_size_error",  STATUS_CONTEXT_LENGTH,  true,  false, NULL }, /* llama.cpp */
    { 0,   "content_filter",             STATUS_CONTENT_FILTER,  true,  false, NULL },
    { 0,   "content_policy_violation",   STATUS_CONTENT_FILTER,  true,  false, NULL },
    { 400, "model_not_found",            STATUS_MODEL_NOT_FOUND, true,  false, NULL },
    { 400, "billing_hard_limit_reached", STATUS_BACKEND_FAILED,  false, true,  NO_MONEY },
    { 429, "insufficient_quota",         STATUS_BACKEND_FAILED,  false, true,  NO_MONEY },
    { 429, "rate_limit_exceeded",        STATUS_OVERLOADED,      false, true,  BUSY },
    { 504, "deadline_exceeded",          STATUS_DEADLINE,        false, false, NULL }, /* a gateway like us */
};
/* clang-format on */

#define OPENAI_SHAPE                                                                           \
    .object = "error", .message = "message", .code = "code", .type = "type", .param = "param", \
    .rows = openai_rows, .count = sizeof openai_rows / sizeof *openai_rows

static const struct error_map maps[ERROR_MAP_COUNT] = {
    [ERROR_MAP_OPENAI] = { OPENAI_SHAPE },
    [ERROR_MAP_SILENT] = { OPENAI_SHAPE, .silent = true },
};

const struct error_map *error_map_find(enum error_map_id id)
{
    return &maps[id];
}

/* ---- text of upstream's ---- */

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

static void copy_member(char *to, size_t size, const struct jfield *f,
                        const struct catalog_backend *conf)
{
    to[0] = '\0';
    if (f->type != J_STRING)
        return;
    char *text = malloc(f->value.len + 1); /* unescaped it is never longer */
    if (text && jscan_string(f, text, f->value.len + 1) && !signer_quoted(conf, text))
        copy_printable(to, size, text);
    free(text);
}

/* ---- one error object ---- */

enum { ERROR_MESSAGE, ERROR_CODE, ERROR_TYPE, ERROR_PARAM, ERROR_FIELDS };

/* The members of {"message":..,"code":..,"param":..}; a key twice: nothing of it is believed. */
static void read_parts(const struct error_map *m, const struct jfield *object,
                       struct jfield part[static ERROR_FIELDS])
{
    static const char none[] = ""; /* no key of interest is empty */
    part[ERROR_MESSAGE] = (struct jfield){ .key = m->message ? m->message : none };
    part[ERROR_CODE] = (struct jfield){ .key = m->code ? m->code : none };
    part[ERROR_TYPE] = (struct jfield){ .key = m->type ? m->type : none };
    part[ERROR_PARAM] = (struct jfield){ .key = m->param ? m->param : none };
    if (object->type == J_OBJECT && jscan_member(object->value, part, ERROR_FIELDS) != STATUS_OK)
        for (size_t i = 0; i < ERROR_FIELDS; i++)
            part[i].type = J_ABSENT;
}

/* A code is a text or a number; in rows both are written as text. */
static bool is_code(const struct jfield *f, const char *code)
{
    if (f->type == J_NUMBER)
        return span_is(f->value, code);
    size_t len = strlen(code);
    return f->type == J_STRING && f->value.len == len + 2 &&
           memcmp(f->value.at + 1, code, len) == 0;
}

static bool fits(const struct error_row *row, long http,
                 const struct jfield part[static ERROR_FIELDS])
{
    if (row->code)
        return (is_code(&part[ERROR_CODE], row->code) || is_code(&part[ERROR_TYPE], row->code)) &&
               (!row->http || !http || row->http == http);
    return !row->http || row->http == http;
}

static const struct error_row *find_row(const struct error_map *m, long http,
                                        const struct jfield part[static ERROR_FIELDS])
{
    for (size_t i = 0; i < m->count; i++)
        if (fits(&m->rows[i], http, part))
            return &m->rows[i];
    const struct error_row *row = shared_rows;
    while (!fits(row, http, part))
        row++;
    return row; /* the last one fits all */
}

/* `error` is an object or, from some servers, a mere sentence. */
static void apply(const struct error_map *m, const struct jfield *error, long http,
                  const struct catalog_backend *conf, struct backend_end *end)
{
    struct jfield part[ERROR_FIELDS];
    int64_t own;
    read_parts(m, error, part);
    if (!http && jscan_int(&part[ERROR_CODE], &own) && own >= 400 && own < 600)
        http = (long)own;
    const struct error_row *row = find_row(m, http, part);
    end->status = row->status;
    end->untouched = row->untouched;
    snprintf(end->message, sizeof end->message, "%s", row->message ? row->message : "");
    if (!row->told || m->silent)
        return;
    copy_member(end->message, sizeof end->message,
                error->type == J_STRING ? error : &part[ERROR_MESSAGE], conf);
    copy_member(end->param, sizeof end->param, &part[ERROR_PARAM], conf);
}

/* ---- where it stands ---- */

bool error_map_told(const struct error_map *m, const struct jfield *object)
{
    struct jfield part[ERROR_FIELDS];
    if (object->type != J_OBJECT && (m->fine || object->type != J_STRING))
        return false;
    if (!m->fine)
        return true;
    read_parts(m, object, part);
    for (const char *const *fine = m->fine; *fine; fine++)
        if (is_code(&part[ERROR_CODE], *fine))
            return false;
    return part[ERROR_CODE].type != J_ABSENT && part[ERROR_CODE].type != J_NULL;
}

/* The member with the error; or the object itself when it is flat: {"message":..,"code":..}. */
static struct jfield find_error(const struct error_map *m, struct span text)
{
    struct jfield fields[] = { { .key = m->object }, { .key = m->message } };
    struct jscan_error at;
    struct jfield none = { .type = J_ABSENT };
    if (jscan_object(text, fields, 2, &at) != STATUS_OK)
        return none;
    if (fields[0].type == J_ABSENT && fields[1].type == J_STRING)
        return (struct jfield){ .type = J_OBJECT, .value = text };
    return fields[0];
}

void error_map_refused(const struct error_map *m, long http, struct span body,
                       const struct catalog_backend *conf, struct backend_end *end)
{
    struct jfield error = find_error(m, body);
    apply(m, &error, http, conf, end);
    assert(end->status != STATUS_OK);
}

bool error_map_object(const struct error_map *m, struct span text, bool first,
                      const struct catalog_backend *conf, struct backend_end *end)
{
    struct jfield error = find_error(m, text);
    if (!error_map_told(m, &error))
        return false;
    apply(m, &error, 0, conf, end);
    end->untouched = false; /* 200 was said: it had begun */
    if (!first) {
        end->status = STATUS_BACKEND_CUT;
        end->message[0] = end->param[0] = '\0';
    }
    return true;
}
