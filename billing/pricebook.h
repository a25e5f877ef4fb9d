/* billing/pricebook.h -- reads the text of a published price book (conf/prices.c): a
 * head `currency CODE book NAME`, then a line `model meter atoms/per_units` for each price. */
#ifndef MAAS_PRICEBOOK_H
#define MAAS_PRICEBOOK_H
#include "base/money.h"
#include "base/span.h"
#include "base/usage.h"

struct pricebook_line {
    struct span model;
    enum meter meter;
    struct price price;
};

/* The next line; *text moves behind it.  False: the end, or (then *ret_bad) a line
 * that is none of a price book. */
MUST_CHECK bool pricebook_next(const char **text, struct pricebook_line *ret, bool *ret_bad);
/* The price of a meter of a model; false: it has none. */
MUST_CHECK bool pricebook_find(const char *text, const char *model, enum meter meter,
                               struct price *ret);
#endif
