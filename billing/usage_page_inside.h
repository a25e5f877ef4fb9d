/* billing/usage_page_inside.h -- what usage_page.c reads and the two shapes write. */
#ifndef MAAS_USAGE_PAGE_INSIDE_H
#define MAAS_USAGE_PAGE_INSIDE_H
#include "base/db.h"
#include "base/usage.h"
#include "billing/usage_page.h"

enum usage_name { OF_PROJECT, OF_KEY, OF_MODEL, OF_TIER, OF_CONTEXT, GROUP_NAMES };
enum { USAGE_NAME_BYTES = 256, USAGE_ENDPOINTS_BYTES = 512 };

struct usage_group_sums {
    char name[GROUP_NAMES][USAGE_NAME_BYTES]; /* "": not grouped by it */
    int64_t meter;                            /* -1: likewise */
    int64_t qty[METER_COUNT], requests, atoms, covered;
};

struct usage_writer {
    const struct usage_page_query *query;
    struct buf *out;
    char currency[16]; /* as the store has it: "USD" */
    struct usage_group_sums group;
    struct db_stmt *rows;                  /* of the bucket, or of all minutes; NULL: not open */
    enum db_row row;                       /* the last step of them */
    char endpoints[USAGE_ENDPOINTS_BYTES]; /* that are bound to `rows` */
    int64_t from_rid, to_rid;              /* of minutes: where their settlements lie */
    unsigned results;                      /* of this bucket, the one being read included */
    bool ok;                               /* false: no memory */
};

__attribute__((format(printf, 2, 3))) void usage_put(struct usage_writer *w, const char *fmt, ...);
/* `,"key":"name"`; "" is null. */
void usage_put_name(struct usage_writer *w, const char *key, const char *name);
/* The meters of the set added up; INT64_MAX when it is more. */
int64_t usage_sum_of(const struct usage_group_sums *g, uint32_t meters);

/* Input tokens that came from no cache and went into none. */
#define METERS_UNCACHED                                                            \
    (METER_BIT(INPUT_UNCACHED) | METER_BIT(INPUT_AUDIO) | METER_BIT(INPUT_IMAGE) | \
     METER_BIT(INPUT_VIDEO))

/* One shape: the head of a bucket up to its list of results, and one result. */
struct usage_shape_row {
    const char *head; /* of the page, up to its list of buckets */
    void (*bucket)(struct usage_writer *w, int64_t from_us, int64_t to_us);
    void (*result)(struct usage_writer *w);
};
extern const struct usage_shape_row usage_openai, usage_anthropic;
#endif
