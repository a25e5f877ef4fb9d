/* billing/usage_page.h -- usage and costs of an organization in buckets of time, in OpenAI's shape.
 *
 * From the hourly sums, so nothing finer than an hour can be told.  Each bucket is
 * read by itself: no read transaction is longer than one.  A roll-up does not say by
 * which path a model was called: its requests belong to the kind that the model is
 * for, the first of the list when it is for several, so the kinds never count anything twice. */
#ifndef MAAS_USAGE_PAGE_H
#define MAAS_USAGE_PAGE_H
#include "base/buf.h"
#include "base/status.h"
#include "conf/catalog.h"

struct db;

enum usage_kind {
    USAGE_COMPLETIONS, /* chat, completions; also models that are not in the catalog any more */
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

enum usage_group { GROUP_PROJECT = 1, GROUP_KEY = 2, GROUP_MODEL = 4, GROUP_METER = 8 };

struct usage_page_query {
    const struct catalog *catalog;
    int64_t project; /* whose organization it is about */
    enum usage_kind kind;
    unsigned group; /* enum usage_group bits; costs: a line item is model and meter */
    int64_t first_us, to_us, width_us; /* from the bucket of first_us to the one that to_us ends */
    int64_t buckets;                   /* of a page, >= 1 */
    const char *projects, *keys,
        *models; /* JSON arrays of slugs, key names and model ids; NULL: all */
};

enum { USAGE_PAGE_BYTES = 8 << 20 };
/* {"object":"page","data":[bucket..],"has_more","next_page":"page_SECONDS" or null}.  Amounts are
 * exact decimal numbers of what is owed; x_covered is what funds paid of it.  TOO_LARGE_FOR_LIMIT:
 * one bucket has more groups than a page may have. */
MUST_CHECK enum status usage_page(struct db *db, const struct usage_page_query *q, struct buf *out);
#endif
