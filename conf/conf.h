/* conf/conf.h -- settings, declared once as rows of conf_table.
 *
 * One row gives the parser, the limits, the default, the reload rule, --help-config
 * and docs/settings.md.  A configuration is built whole, checked whole and then never
 * changed; reload builds a new one.  No setting is itself a secret: secrets stand in
 * files of their own, whose content is never printed.
 */
#ifndef MAAS_CONF_H
#define MAAS_CONF_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct catalog;

struct conf {
    /* where */
    char *listen;         /* "127.0.0.1:8080", "[::1]:8080" or "unix:/path" */
    char *metrics_listen; /* own listener for /metrics; "" = none */
    char *admin_socket;   /* path */
    char *state_dir;      /* ledger.db and its lock live here */
    /* >= 32 bytes; "": $CREDENTIALS_DIRECTORY/pepper, else state_dir/pepper, made at first start */
    char *pepper_file;
    /* size of the daemon */
    uint64_t loop_threads; /* 0 = one per core */
    uint64_t connections_max, connections_per_ip_max;
    uint64_t header_bytes_max, header_fields_max;
    uint64_t body_bytes_max, bodies_bytes_max, request_memory_max;
    uint64_t answer_bytes_max, answers_bytes_max;
    /* Idempotency-Key: of one kept answer, of all of them */
    uint64_t idempotency_answer_bytes_max, idempotency_answers_bytes_max;
    /* Bytes queued towards one slow client before its backend is held back. */
    uint64_t stream_buffer_max;
    char *stream_writes;         /* "direct", "library": see gateway/direct.h */
    uint64_t stream_hold_tokens; /* 0: all that the request may use */
    /* time, milliseconds */
    uint64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, request_timeout_ms;
    uint64_t first_byte_timeout_ms, chunk_timeout_ms, connect_timeout_ms;
    uint64_t stream_keepalive_ms, stream_stall_ms, stream_checkpoint_ms, drain_timeout_ms;
    uint64_t idempotency_keep_ms, idempotency_answer_keep_ms;
    /* defaults for keys and projects that say nothing else */
    uint64_t default_requests_per_minute, default_tokens_per_minute, default_concurrency;
    char *default_budget; /* money per month, e.g. "100.00" */
    /* money */
    char *currency; /* ISO 4217 */
    uint64_t currency_minor_digits;
    char *seller_name, *seller_tax_id, *seller_address, *invoice_series;
    uint64_t tax_basis_points, retention_months;
    char *house_organization;
    char *backend_header; /* hidden, shown */
    char *price_source;   /* configuration, published */
    uint64_t price_notice_ms;
    /* logging */
    char *log_level; /* error, warning, info, debug */

    struct catalog *catalog; /* owned: models, backends, prices of the same file */
};

enum conf_type {
    CONF_STR,
    CONF_COUNT,
    CONF_BYTES,    /* 512, 32K, 4M, 1G */
    CONF_MSEC,     /* 250, 250ms, 10s, 2m, 1h */
    CONF_ENUM,     /* one of the row's choices */
    CONF_LISTEN,   /* HOST:PORT, [V6]:PORT or unix:/PATH */
    CONF_PATH,     /* absolute */
    CONF_MONEY,    /* 100.00 */
    CONF_CURRENCY, /* three capital letters */
};
enum conf_flag {
    CONF_RELOAD = 1 << 0, /* a changed value takes effect at SIGHUP; else the reload is refused */
};

struct conf_row {
    const char *key;
    size_t offset;
    enum conf_type type;
    const char *def;   /* parsed by the same code as the file */
    uint64_t min, max; /* of a number; of the bytes of a text (min 0: may be empty) */
    unsigned flags;
    const char *choices; /* of a CONF_ENUM: "error|warning" */
    const char *doc;
};

extern const struct conf_row conf_table[]; /* alphabetical; ends with key == NULL */

enum { CONF_ERROR_BYTES = 512 };

/* Reads and checks the whole file.  On failure returns BAD_FIELD (or NOT_FOUND,
 * NO_MEMORY) and err holds one line "file:line:column: what was wrong, what was
 * expected, the nearest known key".  *ret is then untouched. */
MUST_CHECK enum status conf_load(const char *path, struct conf **ret,
                                 char err[static CONF_ERROR_BYTES]);
MUST_CHECK enum status conf_parse(const char *name, const char *text, size_t len, struct conf **ret,
                                  char err[static CONF_ERROR_BYTES]);
void conf_free(struct conf *c); /* NULL is fine */

/* Whether the prices are those of published books, and the catalog has none. */
static inline bool conf_published_prices(const struct conf *c)
{
    return c->price_source[0] == 'p';
}

/* False and a sentence when `next` changes a setting that needs a restart. */
MUST_CHECK bool conf_may_reload(const struct conf *now, const struct conf *next,
                                char err[static CONF_ERROR_BYTES]);

void conf_print(const struct conf *c,
                FILE *out);               /* as YAML; secrets masked; default or set is said */
void conf_help(FILE *out, bool markdown); /* every row */
#endif
