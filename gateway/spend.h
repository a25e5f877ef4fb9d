/* gateway/spend.h -- what the questions for usage and costs have in common, in whose shape they are
 * asked for whatever: buckets of time, pages of them, filters. */
#ifndef MAAS_SPEND_H
#define MAAS_SPEND_H
#include "billing/usage_page.h"
#include "gateway/question.h"

enum { SPEND_FILTER_BYTES = 2048 };

struct spend_filter {
    char list[SPEND_FILTER_BYTES]; /* of a JSON array, its end missing */
    size_t len;
};

struct spend_question { /* a question first */
    struct question q;
    struct usage_page_query page;
    int64_t start_us, end_us; /* -1: not said */
    int64_t next_us;          /* of the page; -1: the first */
    const char *start;        /* the name of its parameter */
    const char *customer;     /* who buys from the organization of the key; NULL: itself */
    struct spend_filter projects, keys, models, tiers, contexts;
};

/* What a reader of one parameter is: question.h. */
enum verdict spend_read_page(struct request *r, const char *value, void *into);
enum verdict spend_read_width(struct request *r, const char *value, void *into);
enum verdict spend_read_limit(struct request *r, const char *value, void *into);
enum verdict spend_read_customer(struct request *r, const char *value, void *into);
enum verdict spend_read_keys(struct request *r, const char *value, void *into);
enum verdict spend_read_models(struct request *r, const char *value, void *into);
enum verdict spend_filter_add(struct request *r, const char *param, const char *value,
                              struct spend_filter *f);

/* In the request's arena; NULL: the request has failed. */
struct spend_question *spend_new(struct request *r, enum usage_shape shape, enum usage_kind kind);

struct spend_terms {
    const char *start, *end; /* names of the parameters */
    const char *in;          /* what they are written in */
    int64_t days_max;        /* in a page; of smaller buckets it is the same for all */
};
/* Once all parameters are read.  FAIL: the request has failed. */
MUST_CHECK enum verdict spend_finish(struct request *r, struct spend_question *s,
                                     const struct spend_terms *t);
#endif
