/* gateway/facts.h -- what a request's prices depend on, when its model has more than one
 * plain price a meter (conf/price_item.h).  Taken once, before the hold: the bill is made of
 * the same facts, so it cannot come to more than was held. */
#ifndef MAAS_FACTS_H
#define MAAS_FACTS_H
#include "billing/price.h"

struct request;
struct catalog_model;

struct facts {
    struct price_facts of; /* its context is known when the bill is */
    char word[PRICE_DIMS][PRICE_WORD_BYTES_MAX + 1];
    char text[FACTS_TEXT_BYTES];
};

/* Sets r->facts, once; NULL stays when neither the model nor a parent that may answer for it has a
 * sheet.  OK or NO_MEMORY. */
MUST_CHECK enum status facts_take(struct request *r);
/* The prices of a model for this request. */
struct price_list facts_prices(const struct request *r, const struct catalog_model *m);
/* For the bill: what chose the prices of m; NULL: they are plain. */
const char *facts_text(struct request *r, const struct catalog_model *m, int64_t context);
/* The same of what a backend's model costs, in memory of its own. */
const char *facts_cost_text(struct request *r, const struct catalog_model *m, int64_t context,
                            char text[static FACTS_TEXT_BYTES]);
#endif
