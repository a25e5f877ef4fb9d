/* conf/catalog.h -- what can be called, where it runs and what it costs.
 *
 * An immutable snapshot made from the configuration file.  The gateway publishes
 * it to the loops; a request pins the snapshot it was accepted under.  Every
 * name that a route, a parent or a recipe mentions has been checked to exist.
 */
#ifndef MAAS_CATALOG_H
#define MAAS_CATALOG_H
#include "base/money.h"
#include "base/span.h"
#include "base/usage.h"
#include "conf/capability.h"
#include "conf/catalog_alerts.h"
#include "conf/catalog_backend.h"
#include "conf/catalog_route.h"
#include "conf/catalog_tokenizer.h"
#include "conf/price_item.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum level { LEVEL_BASE, LEVEL_DOMAIN, LEVEL_INDUSTRY, LEVEL_SCENE };
enum life { LIFE_PREVIEW, LIFE_GA, LIFE_DEPRECATED, LIFE_RETIRED, LIFE_UNAVAILABLE };
enum affinity { AFFINITY_NONE, AFFINITY_PREFIX };

/* A model made of its parent: the parent's backends, its own instructions and price. */
struct catalog_recipe {
    struct span system_json; /* the system message as a JSON object; len 0 = none */
    struct span params_json; /* `"temperature":0.2,"top_p":0.9` ready to splice; len 0 = none.
                                A parameter the client sent itself wins. */
    const char **param_keys; /* names in params_json, NULL-terminated */
};

struct catalog_model {
    const char *id;         /* "base/chat", "domain/code/review", "industry/finance/risk" */
    const char *short_name; /* last segment */
    enum level level;
    const char *domain, *industry; /* second segment of its path, "" when not of that level */
    const char *description, *owned_by;
    unsigned capabilities;
    uint64_t created; /* Unix seconds */
    uint64_t context_length, max_output_tokens, default_output_tokens;
    uint64_t images_max;
    uint64_t audio_bytes_per_second_min; /* of sound whose length is not known: the hold is by it */
    uint64_t video_ms_max;               /* of film; 0: none is sold by its length */
    enum life life;
    const char *life_note;              /* why unavailable, or what replaces it */
    const struct catalog_model *parent; /* NULL: none */
    bool fallback_to_parent;
    struct catalog_recipe recipe;
    const struct catalog_route *routes; /* its own, or its parent's when it is a recipe */
    size_t route_count;
    bool conditions; /* some route has one */
    /* What costs us some route of its own has a sheet, and the dimensions that they name. */
    bool cost_facts;
    unsigned cost_dims;
    enum affinity affinity;
    /* METER_BIT of each meter that has a price; of those whose price is a copy, because the file
     * names none: all input tokens cost what uncached text does, all output what visible text does. */
    uint32_t priced, derived;
    struct price price[METER_COUNT]; /* only when there is no sheet */
    const struct price_sheet *sheet; /* of a model with other than plain prices, else NULL */
    const struct catalog_tokenizer *tokenizer; /* NULL: only backends count */
    /* For CAP_INFER: the Open Inference Protocol's model metadata,
     * `{"name":..,"platform":"maasgate","inputs":[..],"outputs":[..]}`; "" none. */
    const char *tensor_json;
    bool scope_default; /* what a level's prefix without a model name means */
    unsigned index;     /* position in catalog.models */
    int64_t db_id; /* row id of the name in the store; set once by the gateway before publication */
};

struct catalog {
    const struct catalog_model *models; /* sorted by id */
    size_t model_count;
    const struct catalog_backend *backends; /* sorted by name */
    size_t backend_count;
    const struct catalog_tokenizer *tokenizers;
    size_t tokenizer_count;
    struct egress egress;
    struct catalog_alerts alerts; /* of the configuration: a repriced catalog has none */
    const char *currency;
    const char *price_book;   /* name */
    uint8_t price_sha256[32]; /* of the canonical text of all prices */
    const char *price_text;   /* that canonical text, one line per (model, meter) */
    int64_t price_version;    /* row id in the store; set once by the gateway before publication */
    uint8_t cost_sha256[32];  /* the same of what backends cost; "" when nothing is said of it */
    const char *cost_text;
    int64_t cost_version; /* 0: there are none */
    atomic_uint refs;
};

static inline bool model_priced(const struct catalog_model *m, unsigned meter)
{
    return m->priced >> meter & 1;
}

struct price_items { /* of a meter, in the order of the book; count 0: it has no price */
    const struct price_item *at;
    unsigned count;
};
/* However the model keeps them; `plain` is room for the one item of a plain price. */
struct price_items model_prices(const struct catalog_model *m, enum meter meter,
                                struct price_item *plain);

/* Where a path prefix points: "/", "/base", "/domain/code", "/industry/finance". */
struct catalog_scope {
    bool whole;          /* no prefix: every model */
    enum level level;    /* LEVEL_INDUSTRY covers scenes below it */
    struct span segment; /* "code", "finance", "mining/gas"; len 0 = the whole level */
    unsigned does;       /* who names no model means one with this capability; 0: any */
};

/* Resolves a model name inside a scope: a full id; or, under a prefix, a short
 * name or nothing when the scope has one model that does the work (or one of them
 * marked `default: true`).  NULL: not there. */
const struct catalog_model *catalog_find(const struct catalog *c, const struct catalog_scope *scope,
                                         struct span name);
bool catalog_in_scope(const struct catalog_scope *scope, const struct catalog_model *m);

const char *level_name(enum level l);
const char *life_name(enum life l);

/* The same models and backends, which stay those of `of` (it is kept): for whoever has other prices
 * for them, to be written before anybody else sees it; name, text and version of a book are not
 * copied.  NULL: no memory. */
struct arena;
struct catalog *catalog_copy(struct catalog *of, struct arena **ret_keep);
struct catalog *catalog_unpriced(struct catalog *of, struct arena **ret_keep); /* nor any price */
struct catalog *catalog_ref(struct catalog *c);
void catalog_unref(struct catalog *c); /* the last one frees */
#endif
