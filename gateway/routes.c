/* gateway/routes.c -- see routes.h. */
#include "gateway/routes.h"
#include <string.h>

/* clang-format off */
const struct route_row route_table[] = {
    /* suffix                          methods                     key            levels errors          calls           billed as            free answer */
    {"/v1/chat/completions",           METHOD_POST,                KEY_INFERENCE, true,  ERRORS_OPENAI,  CAP_CHAT,       ENDPOINT_CHAT,       NULL},
    {"/v1/embeddings",                 METHOD_POST,                KEY_INFERENCE, true,  ERRORS_OPENAI,  CAP_EMBEDDINGS, ENDPOINT_EMBEDDINGS, NULL},
    {"/v1/images/generations",         METHOD_POST,                KEY_INFERENCE, true,  ERRORS_OPENAI,  CAP_IMAGES,     ENDPOINT_IMAGES,     NULL},
    {"/v1/completions",                METHOD_POST,                KEY_INFERENCE, true,  ERRORS_OPENAI,  CAP_COMPLETIONS, ENDPOINT_COMPLETIONS, NULL},
    {"/v1/audio/speech",               METHOD_POST,                KEY_INFERENCE, true,  ERRORS_OPENAI,  CAP_SPEECH,     ENDPOINT_SPEECH,     NULL},
    {"/v1/audio/transcriptions",       METHOD_POST,                KEY_INFERENCE, true,  ERRORS_OPENAI,  CAP_TRANSCRIPTION, ENDPOINT_TRANSCRIPTION, NULL},
    {"/v1/audio/translations",         METHOD_POST,                KEY_INFERENCE, true,  ERRORS_OPENAI,  CAP_TRANSLATION, ENDPOINT_TRANSLATION, NULL},
    {"/v1/rerank",                     METHOD_POST,                KEY_INFERENCE, true,  ERRORS_OPENAI,  CAP_RERANK,     ENDPOINT_RERANK,     NULL},
    {"/v2/rerank",                     METHOD_POST,                KEY_INFERENCE, true,  ERRORS_COHERE,  CAP_RERANK,     ENDPOINT_RERANK,     NULL},
    {"/rerank",                        METHOD_POST,                KEY_INFERENCE, true,  ERRORS_OPENAI,  CAP_RERANK,     ENDPOINT_RERANK,     NULL},
    {"/v1/moderations",                METHOD_POST,                KEY_INFERENCE, true,  ERRORS_OPENAI,  CAP_MODERATION, ENDPOINT_MODERATION, NULL},
    {"/v1/models",                     METHOD_GET | METHOD_HEAD,   KEY_INFERENCE, true,  ERRORS_OPENAI,  0,              0,                   answer_models},
    {"/v1/models/{model}",             METHOD_GET | METHOD_HEAD,   KEY_INFERENCE, true,  ERRORS_OPENAI,  0,              0,                   answer_model},
    {"/v1/usage",                      METHOD_GET | METHOD_HEAD,   KEY_INFERENCE, false, ERRORS_OPENAI,  0,              0,                   answer_usage},
    {"/v1/organization/usage/{kind}",  METHOD_GET | METHOD_HEAD,   KEY_FINANCE,   false, ERRORS_OPENAI,  0,              0,                   answer_spend},
    {"/v1/organization/costs",         METHOD_GET | METHOD_HEAD,   KEY_FINANCE,   false, ERRORS_OPENAI,  0,              0,                   answer_costs},
    {"/v1/organizations/usage_report/messages", METHOD_GET | METHOD_HEAD, KEY_FINANCE, false, ERRORS_ANTHROPIC, 0,         0,                   answer_usage_report},
    {"/v1/organizations/cost_report",  METHOD_GET | METHOD_HEAD,   KEY_FINANCE,   false, ERRORS_ANTHROPIC, 0,            0,                   answer_cost_report},
    {"/billing/v1/invoices",          METHOD_GET | METHOD_HEAD,   KEY_FINANCE,   false, ERRORS_OPENAI,  0,              0,                   answer_invoices},
    {"/billing/v1/invoices/draft",    METHOD_GET | METHOD_HEAD,   KEY_FINANCE,   false, ERRORS_OPENAI,  0,              0,                   answer_draft},
    {"/billing/v1/invoices/{number}/statements", METHOD_GET | METHOD_HEAD, KEY_FINANCE, false, ERRORS_OPENAI, 0,             0,                   answer_statements},
    {"/billing/v1/invoices/{number}/requests", METHOD_GET | METHOD_HEAD, KEY_FINANCE, false, ERRORS_OPENAI, 0,               0,                   answer_line_requests},
    {"/billing/v1/invoices/{number}", METHOD_GET | METHOD_HEAD,   KEY_FINANCE,   false, ERRORS_OPENAI,  0,              0,                   answer_invoice},
    {"/billing/v1/margin",            METHOD_GET | METHOD_HEAD,   KEY_FINANCE,   false, ERRORS_OPENAI,  0,              0,                   answer_margin},
    {"/v2/models/{model}/versions/1/infer", METHOD_POST,           KEY_INFERENCE, true,  ERRORS_OIP,     CAP_INFER,      ENDPOINT_INFER,      NULL},
    {"/v2/models/{model}/versions/1/ready", METHOD_GET | METHOD_HEAD, KEY_INFERENCE, true, ERRORS_OIP,    0,              0,                   answer_oip_model_ready},
    {"/v2/models/{model}/versions/1",  METHOD_GET | METHOD_HEAD,   KEY_INFERENCE, true,  ERRORS_OIP,     0,              0,                   answer_oip_model},
    {"/v2/models/{model}/infer",       METHOD_POST,                KEY_INFERENCE, true,  ERRORS_OIP,     CAP_INFER,      ENDPOINT_INFER,      NULL},
    {"/v2/models/{model}/ready",       METHOD_GET | METHOD_HEAD,   KEY_INFERENCE, true,  ERRORS_OIP,     0,              0,                   answer_oip_model_ready},
    {"/v2/models/{model}",             METHOD_GET | METHOD_HEAD,   KEY_INFERENCE, true,  ERRORS_OIP,     0,              0,                   answer_oip_model},
    {"/v2/health/live",                METHOD_GET | METHOD_HEAD,   KEY_NONE,      true,  ERRORS_OIP,     0,              0,                   answer_oip_live},
    {"/v2/health/ready",               METHOD_GET | METHOD_HEAD,   KEY_NONE,      true,  ERRORS_OIP,     0,              0,                   answer_oip_ready},
    {"/v2",                            METHOD_GET | METHOD_HEAD,   KEY_NONE,      true,  ERRORS_OIP,     0,              0,                   answer_oip_server},
    {"/healthz",                       METHOD_GET | METHOD_HEAD,   KEY_NONE,      false, ERRORS_OPENAI,  0,              0,                   answer_health},
    {"/readyz",                        METHOD_GET | METHOD_HEAD,   KEY_NONE,      false, ERRORS_OPENAI,  0,              0,                   answer_ready},
    {"/",                              METHOD_GET | METHOD_HEAD,   KEY_NONE,      false, ERRORS_OPENAI,  0,              0,                   answer_root},
};
/* clang-format on */
const unsigned route_count = sizeof route_table / sizeof *route_table;

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* A path no client of ours sends: control or non-ASCII bytes, a bad escape, an
 * escape that hides a dot, a control character or '%', a backslash, an empty or a
 * dot segment. */
static bool is_plain_path(struct span p)
{
    if (p.len == 0 || p.at[0] != '/')
        return false;
    for (size_t i = 0; i < p.len; i++) {
        unsigned char c = (unsigned char)p.at[i];
        if (c <= 0x20 || c >= 0x7f || c == '\\' || c == ';' || c == '#')
            return false;
        if (c == '/' && i + 1 < p.len && (p.at[i + 1] == '/' || p.at[i + 1] == '.'))
            return false;
        if (c != '%')
            continue;
        int byte =
            i + 2 < p.len && hex(p.at[i + 1]) >= 0 ? hex(p.at[i + 1]) * 16 + hex(p.at[i + 2]) : -1;
        if (i + 2 >= p.len || hex(p.at[i + 2]) < 0 || byte <= 0x20 || byte >= 0x7f || byte == '.' ||
            byte == '%' || byte == '\\')
            return false;
    }
    return true;
}

static struct span first_segment(struct span p) /* "/v1/x" -> "v1" */
{
    const char *end = p.len > 1 ? memchr(p.at + 1, '/', p.len - 1) : NULL;
    return (struct span){ p.at + 1, end ? (size_t)(end - p.at - 1) : p.len - (p.len > 0) };
}

static struct span skip_segment(struct span p)
{
    size_t n = first_segment(p).len + 1;
    return (struct span){ p.at + n, p.len - n };
}

/* Where the level prefix ends: no part of a model's id may be called so. */
static bool begins_suffix(struct span s)
{
    return span_is(s, "v1") || span_is(s, "v2") || span_is(s, "rerank");
}

/* Takes the level prefix off `p`. */
static struct span take_scope(struct span p, struct catalog_scope *scope)
{
    struct span first = first_segment(p), rest;
    *scope = (struct catalog_scope){ .whole = true };
    if (span_is(first, "base"))
        *scope = (struct catalog_scope){ .level = LEVEL_BASE };
    else if (span_is(first, "domain"))
        *scope = (struct catalog_scope){ .level = LEVEL_DOMAIN };
    else if (span_is(first, "industry"))
        *scope = (struct catalog_scope){ .level = LEVEL_INDUSTRY };
    else
        return p;
    rest = skip_segment(p);
    const char *from = rest.at + 1;
    while (rest.len > 1 && !begins_suffix(first_segment(rest)))
        rest = skip_segment(rest);
    if (rest.at > from && rest.len > 0)
        scope->segment = (struct span){ from, (size_t)(rest.at - from) };
    return rest;
}

static bool decode_model(struct span raw, struct arena *a, struct span *ret)
{
    char *text = arena_memdup(a, raw.at, raw.len);
    size_t n = 0;
    for (size_t i = 0; text && i < raw.len; i++) {
        text[n] = raw.at[i];
        if (raw.at[i] == '%') { /* two hex digits follow: is_plain_path has seen them */
            text[n] = (char)(hex(raw.at[i + 1]) * 16 + hex(raw.at[i + 2]));
            i += 2;
        }
        n++;
    }
    *ret = (struct span){ text, n };
    return text != NULL && n > 0;
}

/* Matches "before{name}after"; a pattern without a {name} must be equal. */
static bool matches(const char *pattern, struct span path, struct span *ret_model)
{
    const char *hole = strchr(pattern, '{'), *behind = hole ? strchr(hole, '}') + 1 : NULL;
    *ret_model = (struct span){ "", 0 };
    if (!hole)
        return span_is(path, pattern);
    size_t before = (size_t)(hole - pattern), after = strlen(behind);
    if (path.len <= before + after || memcmp(path.at, pattern, before) != 0 ||
        memcmp(path.at + path.len - after, behind, after) != 0)
        return false;
    *ret_model = (struct span){ path.at + before, path.len - before - after };
    return true;
}

static const struct route_row *find_row(struct span path, bool prefixed, struct span *ret_model)
{
    for (unsigned i = 0; i < route_count; i++)
        if ((!prefixed || route_table[i].levels) && matches(route_table[i].suffix, path, ret_model))
            return &route_table[i];
    return NULL;
}

static unsigned method_bit(const char *method)
{
    return strcmp(method, "GET") == 0    ? METHOD_GET
           : strcmp(method, "HEAD") == 0 ? METHOD_HEAD
           : strcmp(method, "POST") == 0 ? METHOD_POST
                                         : 0;
}

enum status route_match(const char *method, struct span path, struct arena *a, struct target *ret,
                        const char **ret_allow)
{
    struct span raw_model;
    if (!is_plain_path(path))
        return STATUS_BAD_FRAMING;
    struct span rest = take_scope(path, &ret->scope);
    if (rest.len > 1 && rest.at[rest.len - 1] == '/')
        rest.len--; /* "/v2/" is "/v2" */
    const struct route_row *row = find_row(rest, !ret->scope.whole, &raw_model);
    if (!row)
        return memchr(rest.at, '%', rest.len) ? STATUS_BAD_FRAMING : STATUS_NOT_FOUND;
    ret->row = row;
    ret->scope.does = row->capability;
    if (!(row->methods & method_bit(method))) {
        *ret_allow = row->methods & METHOD_POST ? "POST" : "GET, HEAD";
        return STATUS_METHOD_NOT_ALLOWED;
    }
    if (raw_model.len && !decode_model(raw_model, a, &ret->model))
        return STATUS_NO_MEMORY;
    return memchr(rest.at, '%', rest.len) && !raw_model.len ? STATUS_BAD_FRAMING : STATUS_OK;
}

const char *route_meant(struct span path)
{
    static const char version[] = "/v1";
    for (unsigned i = 0; i < route_count; i++) {
        const char *suffix = route_table[i].suffix, *tail = suffix + sizeof version - 1;
        if (strncmp(suffix, version, sizeof version - 1) == 0 && path.len >= strlen(tail) &&
            memcmp(path.at + path.len - strlen(tail), tail, strlen(tail)) == 0)
            return suffix;
    }
    return NULL;
}

enum error_shape route_errors(struct span path)
{
    struct catalog_scope scope;
    struct span model;
    if (!is_plain_path(path))
        return ERRORS_OPENAI;
    struct span rest = take_scope(path, &scope);
    const struct route_row *row = find_row(rest, !scope.whole, &model);
    if (row)
        return row->errors;
    return span_is(first_segment(rest), "v2") ? ERRORS_OIP : ERRORS_OPENAI;
}
