/* billing/usage_page.h -- usage and costs of an organization in buckets of time, in the shapes of
 * OpenAI and of Anthropic.
 *
 * Hours and days are of the hourly sums, each bucket read by itself, so that no read transaction is longer
 * than one.  Minutes are of the settlements themselves, a page at a time, which ends early rather than
 * look at more than USAGE_ROWS_MAX of them.  Both shapes are written of the same rows, so their totals are
 * equal, and so are those of minutes and of their hours.  A request is of the kind that its endpoint says,
 * so the kinds never count anything twice. */
#ifndef MAAS_USAGE_PAGE_H
#define MAAS_USAGE_PAGE_H
#include "base/buf.h"
#include "base/status.h"
#include "billing/names.h"
#include <stdint.h>

struct db;

enum usage_kind {
    USAGE_COMPLETIONS, /* chat, completions and whatever else answers in text */
    USAGE_EMBEDDINGS,
    USAGE_MODERATIONS,
    USAGE_IMAGES,
    USAGE_SPEECHES,
    USAGE_TRANSCRIPTIONS, /* and translations */
    USAGE_KIND_COUNT,
    USAGE_COSTS = USAGE_KIND_COUNT, /* of all kinds, and of rerank and tensors, which have none */
};
/* "completions", "audio_speeches"; USAGE_KIND_COUNT: no such kind. */
enum usage_kind usage_kind_find(const char *name);
const char *usage_kind_name(enum usage_kind kind);
/* USAGE_KIND_COUNT: of none. */
enum usage_kind usage_kind_of(enum endpoint e);

enum usage_shape { SHAPE_OPENAI, SHAPE_ANTHROPIC };

enum usage_group {
    GROUP_PROJECT = 1,
    GROUP_KEY = 2,
    GROUP_MODEL = 4,
    GROUP_METER = 8, /* with the model */
    GROUP_TIER = 16,
    GROUP_CONTEXT = 32,
};

struct usage_page_query {
    enum usage_shape shape;
    int64_t project; /* whose organization it is about */
    enum usage_kind kind;
    unsigned group;          /* enum usage_group bits; costs: a line item is model and meter */
    int64_t first_us, to_us; /* from the bucket of first_us to the one that to_us ends */
    int64_t width_us;        /* MINUTE_US, of usage; else whole hours */
    int64_t buckets;         /* of a page, >= 1 */
    /* JSON arrays of slugs, key names, model ids, tiers as stored and context windows as Anthropic
     * calls them; NULL: all */
    const char *projects, *keys, *models, *tiers, *contexts;
    bool no_region;   /* Anthropic: the one region that there is was asked for in the groups */
    int minor_digits; /* Anthropic's costs are in minor units of so many digits */
};

enum { USAGE_PAGE_BYTES = 8 << 20, USAGE_ROWS_MAX = 100000 };
/* {"object":"page","data":[bucket..],"has_more","next_page":"page_SECONDS" or null}; of Anthropic's
 * shape without "object".  Amounts are exact decimals of what is owed; x_covered is what funds paid
 * of it.  TOO_LARGE_FOR_LIMIT: one bucket has more groups than a page may have, or its minute more
 * settlements.  CONFLICT: the requests of these minutes are in an archive. */
MUST_CHECK enum status usage_page(struct db *db, const struct usage_page_query *q, struct buf *out);
#endif
