/* backends/signer.c -- see signer.h. */
#include "backends/signer.h"
#include <ctype.h>

enum { ENCODED_BYTES_MAX = 16 * 1024 };

static const struct signer {
    bool in_query;
    const char *name; /* NULL: the configuration has it, or its default */
    const char *word; /* before the secret */
} signers[SIGNER_COUNT] = {
    [SIGNER_BEARER] = { false, "Authorization", "Bearer " },
    [SIGNER_HEADER_KEY] = { false, NULL, "" },
    [SIGNER_QUERY_KEY] = { true, NULL, "" },
};

static const struct signer *find(const struct catalog_backend *conf)
{
    return conf->secret && *conf->secret ? &signers[conf->http.signer] : NULL;
}

static const char *name_of(const struct signer *s, const struct catalog_backend *conf)
{
    return s->name ? s->name : compose_signer_name(&conf->http);
}

bool signer_header(const struct catalog_backend *conf, struct buf *line)
{
    const struct signer *s = find(conf);
    return !s || s->in_query ||
           buf_printf(line, "%s: %s%s", name_of(s, conf), s->word, conf->secret);
}

/* Of RFC 3986 all that need not be encoded stays. */
static bool add_encoded(struct buf *b, const char *text)
{
    bool ok = true;
    for (; ok && *text; text++)
        if (isalnum((unsigned char)*text) || strchr("-._~", *text))
            ok = buf_add(b, text, 1);
        else
            ok = buf_printf(b, "%%%02X", (unsigned char)*text);
    return ok;
}

bool signer_query(const struct catalog_backend *conf, struct buf *pair)
{
    const struct signer *s = find(conf);
    return !s || !s->in_query ||
           (buf_printf(pair, "%s=", name_of(s, conf)) && add_encoded(pair, conf->secret));
}

bool signer_quoted(const struct catalog_backend *conf, const char *text)
{
    struct buf encoded;
    if (!conf->secret || !*conf->secret)
        return false;
    buf_init(&encoded, ENCODED_BYTES_MAX);
    bool quoted = strstr(text, conf->secret) || !add_encoded(&encoded, conf->secret) ||
                  strcasestr(text, encoded.at);
    signer_wipe(&encoded);
    return quoted;
}

void signer_wipe(struct buf *b)
{
    if (b->at)
        explicit_bzero(b->at, b->room);
    buf_free(b);
}
