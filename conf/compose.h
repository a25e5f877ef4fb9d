/* conf/compose.h -- what an HTTP backend is composed of: names, and what goes with what.
 *
 * Each part is a row of a registry in backends/, found by its number here: dialect.c,
 * signer.c, framer.c, usage_map.c, error_map.c, rate_map.c.  A new row begins with its
 * name in one of these maps.  All zero is what a plain OpenAI-compatible server needs.
 */
#ifndef MAAS_CONF_COMPOSE_H
#define MAAS_CONF_COMPOSE_H
#include <stdbool.h>
#include <stddef.h>

#define DIALECTS(X)   X(OPENAI, "openai") X(OIP2, "oip2")
#define SIGNERS(X)    X(BEARER, "bearer") X(HEADER_KEY, "header-key") X(QUERY_KEY, "query-key")
#define FRAMERS(X)    X(SSE, "sse") X(NDJSON, "ndjson")
#define USAGE_MAPS(X) X(OPENAI, "openai") X(OIP2, "oip2")
#define ERROR_MAPS(X) X(OPENAI, "openai") X(SILENT, "silent")
#define RATE_MAPS(X)  X(OPENAI, "openai") X(ANTHROPIC, "anthropic")

/* clang-format off */
#define X(NAME, name) DIALECT_##NAME,
enum dialect_id { DIALECTS(X) DIALECT_COUNT };
#undef X
#define X(NAME, name) SIGNER_##NAME,
enum signer_id { SIGNERS(X) SIGNER_COUNT };
#undef X
#define X(NAME, name) FRAMER_##NAME,
enum framer_id { FRAMERS(X) FRAMER_COUNT };
#undef X
#define X(NAME, name) USAGE_MAP_##NAME,
enum usage_map_id { USAGE_MAPS(X) USAGE_MAP_COUNT };
#undef X
#define X(NAME, name) ERROR_MAP_##NAME,
enum error_map_id { ERROR_MAPS(X) ERROR_MAP_COUNT };
#undef X
#define X(NAME, name) RATE_MAP_##NAME,
enum rate_map_id { RATE_MAPS(X) RATE_MAP_COUNT };
#undef X
/* clang-format on */

struct header_row {
    const char *name, *value;
};

struct compose {
    enum dialect_id dialect;
    enum signer_id signer;   /* of the backend's secret; means nothing when it has none */
    const char *signer_name; /* of the header or the query parameter; NULL: the signer's own */
    enum framer_id framer;
    enum usage_map_id usage;
    enum error_map_id errors;
    enum rate_map_id rates;
    const struct header_row *headers; /* sent with each request, beside our own */
    size_t header_count;
};

enum { HEADERS_MAX = 16 };

const char *dialect_name(enum dialect_id d);
const char *signer_name(enum signer_id s);
const char *framer_name(enum framer_id f);
const char *usage_map_name(enum usage_map_id u);
const char *error_map_name(enum error_map_id e);
const char *rate_map_name(enum rate_map_id r);

/* Bits of enum capability: what a dialect has words for. */
unsigned dialect_capabilities(enum dialect_id d);
bool dialect_streams(enum dialect_id d);
/* The name that a secret has in a header or a query; NULL: the signer takes none. */
const char *compose_signer_name(const struct compose *c);
bool compose_same(const struct compose *a, const struct compose *b);

#endif
