/* conf/compose.c -- the parts of an HTTP backend: defaults, and what may not be together. */
#include "conf/compose.h"
#include "conf/draft.h"
#include <string.h>
#include <strings.h>

/* What a dialect can ask for, and the other parts when the file does not name them. */
static const struct preset {
    unsigned capabilities;
    bool streams;
    enum framer_id framer;
    enum usage_map_id usage;
    enum error_map_id errors;
    enum rate_map_id rates;
} presets[] = {
    [DIALECT_OPENAI] = { CAPS_ALL & ~CAP_INFER, true, FRAMER_SSE, USAGE_MAP_OPENAI,
                         ERROR_MAP_OPENAI, RATE_MAP_OPENAI },
    [DIALECT_OIP2] = { CAP_INFER, false, FRAMER_SSE, USAGE_MAP_OIP2, ERROR_MAP_OPENAI,
                       RATE_MAP_OPENAI },
};

/* What a usage map counts. */
static const unsigned counted_by[] = {
    [USAGE_MAP_OPENAI] = CAPS_ALL,
    [USAGE_MAP_OIP2] = CAP_INFER,
};

static const char *const signer_names[] = {
    [SIGNER_BEARER] = NULL,
    [SIGNER_HEADER_KEY] = "x-api-key",
    [SIGNER_QUERY_KEY] = "key",
};

/* clang-format off */
#define X(NAME, name) name,
const char *dialect_name(enum dialect_id d)
{
    static const char *const names[] = { DIALECTS(X) };
    return names[d];
}

const char *signer_name(enum signer_id s)
{
    static const char *const names[] = { SIGNERS(X) };
    return names[s];
}

const char *framer_name(enum framer_id f)
{
    static const char *const names[] = { FRAMERS(X) };
    return names[f];
}

const char *usage_map_name(enum usage_map_id u)
{
    static const char *const names[] = { USAGE_MAPS(X) };
    return names[u];
}

const char *error_map_name(enum error_map_id e)
{
    static const char *const names[] = { ERROR_MAPS(X) };
    return names[e];
}

const char *rate_map_name(enum rate_map_id r)
{
    static const char *const names[] = { RATE_MAPS(X) };
    return names[r];
}
#undef X
/* clang-format on */

unsigned dialect_capabilities(enum dialect_id d)
{
    return presets[d].capabilities;
}

bool dialect_streams(enum dialect_id d)
{
    return presets[d].streams;
}

const char *compose_signer_name(const struct compose *c)
{
    return c->signer_name ? c->signer_name : signer_names[c->signer];
}

static bool same_headers(const struct compose *a, const struct compose *b)
{
    bool same = a->header_count == b->header_count;
    for (size_t i = 0; same && i < a->header_count; i++)
        same = !strcmp(a->headers[i].name, b->headers[i].name) &&
               !strcmp(a->headers[i].value, b->headers[i].value);
    return same;
}

bool compose_same(const struct compose *a, const struct compose *b)
{
    const char *x = compose_signer_name(a), *y = compose_signer_name(b);
    return a->dialect == b->dialect && a->signer == b->signer && a->framer == b->framer &&
           a->usage == b->usage && a->errors == b->errors && a->rates == b->rates &&
           (x == y || (x && y && !strcmp(x, y))) && same_headers(a, b);
}

/* ---- headers ---- */

/* Those that the gateway writes itself, that belong to one connection, or that say who asks. */
static const char *const reserved_headers[] = {
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "inference-header-content-length",
    "te",
    "trailer",
    "upgrade",
    "transfer-encoding",
    "via",
    "x-request-id",
};
static const char *const reserved_prefixes[] = { "proxy-", "x-forwarded-", "x-maas-" };
static const char *const credentials[] = {
    "authorization", "api-key", "x-api-key", "x-goog-api-key", "x-auth-token",
};
#define LENGTH(array) (sizeof(array) / sizeof *(array))

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcasecmp(name, names[i]))
            return true;
    return false;
}

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < LENGTH(reserved_prefixes); i++)
        if (!strncasecmp(name, reserved_prefixes[i], strlen(reserved_prefixes[i])))
            return true;
    return is_one_of(name, reserved_headers, LENGTH(reserved_headers));
}

static bool is_token(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "!#$%&'*+-.^_`|~");
    return len > 0 && len <= 64 && !text[len];
}

static bool is_query_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return len > 0 && len <= 64 && !text[len];
}

/* Printable ASCII, and nothing at its ends that a reader would strip. */
static bool is_field_value(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    return len > 0 && len <= 1024 && text[0] != ' ' && text[len - 1] != ' ';
}

/* A value is not repeated in a message: it may be what should have been in secret_file. */
static enum status check_header(struct conf_reader *r, const struct yaml_node *n,
                                const struct header_row *rows, size_t count)
{
    if (!is_token(n->key))
        return conf_fail_key(r, n, "'%.80s' is not the name of a header", n->key);
    if (is_one_of(n->key, credentials, LENGTH(credentials)))
        return conf_fail_key(r, n,
                             "'%s' carries a credential: put it into 'secret_file', with 'signer' "
                             "bearer or header-key",
                             n->key);
    if (is_reserved(n->key))
        return conf_fail_key(r, n, "the header '%s' is not yours to set", n->key);
    for (size_t i = 0; i < count; i++)
        if (!strcasecmp(rows[i].name, n->key))
            return conf_fail_key(r, n, "the header '%s' is given twice", n->key);
    if (!is_field_value(n->text))
        return conf_fail(r, n,
                         "is not 1 to 1024 printable ASCII characters, without spaces at "
                         "the ends");
    return STATUS_OK;
}

READER(read_headers)
{
    struct compose *c = field;
    enum status status = conf_want(r, value, YAML_MAP);
    if (status)
        return status;
    if (value->count < k->min || value->count > k->max)
        return conf_fail(r, value, "has %zu headers; expected %llu to %llu", value->count,
                         (unsigned long long)k->min, (unsigned long long)k->max);
    struct header_row *rows = arena_alloc(r->keep, value->count * sizeof *rows);
    if (!rows)
        return conf_no_memory(r);
    for (const struct yaml_node *n = value->first; n; n = n->next) {
        const char *text;
        status = conf_text(r, n, &text);
        if (!status)
            status = check_header(r, n, rows, n->at);
        if (status)
            return status;
        rows[n->at].name = arena_strdup(r->keep, n->key);
        rows[n->at].value = arena_strdup(r->keep, text);
        if (!rows[n->at].name || !rows[n->at].value)
            return conf_no_memory(r);
    }
    c->headers = rows;
    c->header_count = value->count;
    return STATUS_OK;
}

/* ---- what fits with what ---- */

static enum status only_http(struct conf_reader *r, const struct yaml_node *n, enum transport t)
{
    static const char *const keys[] = { "dialect",   "signer",    "signer_name",    "framer",
                                        "usage_map", "error_map", "rate_limit_map", "headers" };
    for (size_t i = 0; i < LENGTH(keys); i++)
        if (yaml_get(n, keys[i]))
            return conf_fail_key(r, yaml_get(n, keys[i]), "'%s' has no effect with transport %s",
                                 keys[i], transport_name(t));
    return STATUS_OK;
}

static enum status check_signer(struct conf_reader *r, const struct yaml_node *n,
                                const struct compose *c)
{
    const struct yaml_node *signer = yaml_get(n, "signer"), *name = yaml_get(n, "signer_name");
    if (signer && !yaml_get(n, "secret_file"))
        return conf_fail(r, signer, "needs a 'secret_file' with what it signs with");
    if (name && !signer_names[c->signer])
        return conf_fail_key(r, name, "'signer_name' has no effect with signer %s",
                             signer_name(c->signer));
    if (name && c->signer == SIGNER_HEADER_KEY &&
        (!is_token(name->text) || is_reserved(name->text)))
        return conf_fail(r, name, "'%.80s' is not the name of a header for a key", name->text);
    if (name && c->signer == SIGNER_QUERY_KEY && !is_query_name(name->text))
        return conf_fail(r, name,
                         "'%.80s' is not the name of a query parameter; expected letters, "
                         "digits, '.', '_', '-'",
                         name->text);
    const char *own = c->signer == SIGNER_HEADER_KEY ? compose_signer_name(c) : NULL;
    for (size_t i = 0; own && i < c->header_count; i++)
        if (!strcasecmp(c->headers[i].name, own))
            return conf_fail_key(r, yaml_get(n, "headers"),
                                 "'headers' sets '%s', which is the signer's", own);
    return STATUS_OK;
}

enum status compose_complete(struct conf_reader *r, const struct yaml_node *n,
                             struct catalog_backend *b)
{
    struct compose *c = &b->http;
    const struct preset *p = &presets[c->dialect];
    if (b->transport != TRANSPORT_HTTP)
        return only_http(r, n, b->transport);
    if (!yaml_get(n, "framer"))
        c->framer = p->framer;
    else if (!p->streams)
        return conf_fail_key(r, yaml_get(n, "framer"),
                             "'framer' has no effect: nothing streams in the dialect %s",
                             dialect_name(c->dialect));
    if (!yaml_get(n, "usage_map"))
        c->usage = p->usage;
    else if (!(counted_by[c->usage] & p->capabilities))
        return conf_fail(r, yaml_get(n, "usage_map"),
                         "%s has no effect: it counts nothing of the dialect %s",
                         usage_map_name(c->usage), dialect_name(c->dialect));
    if (!yaml_get(n, "error_map"))
        c->errors = p->errors;
    if (!yaml_get(n, "rate_limit_map"))
        c->rates = p->rates;
    return check_signer(r, n, c);
}

static const struct yaml_node *child(const struct yaml_node *list, size_t at)
{
    const struct yaml_node *n = list->first;
    while (n->at != at)
        n = n->next;
    return n;
}

/* The first of the dialects that has all of these. */
static const char *fitting_dialect(unsigned capabilities)
{
    for (unsigned d = 0; d < DIALECT_COUNT; d++)
        if (!(capabilities & ~presets[d].capabilities))
            return dialect_name((enum dialect_id)d);
    return "no dialect";
}

enum status compose_check_routes(struct conf_reader *r, const struct model_draft *d)
{
    const struct yaml_node *routes = yaml_get(d->node, "routes");
    for (size_t i = 0; routes && i < d->m.route_count; i++) {
        const struct catalog_backend *b = d->m.routes[i].backend;
        unsigned missing = d->m.capabilities & ~presets[b->http.dialect].capabilities;
        if (b->transport == TRANSPORT_HTTP && missing)
            return conf_fail(r, yaml_get(child(routes, i), "backend"),
                             "the model can be asked for %s, but the dialect %s of '%.80s' has no "
                             "words for it; %s has",
                             capability_name((unsigned)__builtin_ctz(missing)),
                             dialect_name(b->http.dialect), b->name,
                             fitting_dialect(d->m.capabilities));
    }
    return STATUS_OK;
}
