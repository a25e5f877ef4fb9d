/* billing/pricebook.h -- reads the text of a published price book (conf/prices.c writes it).
 *
 * A head `currency CODE book NAME`, then a line for each item:
 *
 *     MODEL METER ATOMS/UNITS                       a plain price
 *     MODEL METER KIND AMOUNT [list=ATOMS/UNITS] [context=MIN..[MAX]] [size=WORD]
 *         [quality=WORD] [service_tier=WORD] [time=UTC/Mon,Tue/01:00-04:00,06:00-10:00]
 *
 * AMOUNT by KIND: `unit` and `package` ATOMS/UNITS; `flat` ATOMS/request or ATOMS/period;
 * `included` UNITS; `graduated` and `volume` UP_TO:ATOMS/UNITS,...,*:ATOMS/UNITS.  Items of
 * a meter follow one another; the place of an item among them is its number for good.
 * Everything is a whole number; docs/finance.md shows each kind.
 */
#ifndef MAAS_PRICEBOOK_H
#define MAAS_PRICEBOOK_H
#include "conf/price_item.h"

struct pricebook_line {
    struct span model;
    unsigned number;        /* of the item, among those of its model and meter */
    struct price_item item; /* its tiers are the ones below, its words lie in the text */
    struct price_tier tiers[PRICE_TIERS_MAX];
};

/* The next line; *text moves behind it.  *ret is zeroed before the first line and then holds
 * the line before, from which the number follows.  False: the end, or (then *ret_bad) a line
 * that is none of a price book. */
MUST_CHECK bool pricebook_next(const char **text, struct pricebook_line *ret, bool *ret_bad);
/* All prices of a model, as the evaluator takes them (rate.h); what they name is copied to the
 * arena.  NOT_FOUND: the book has none; BAD_FIELD: it is no price book; NO_MEMORY. */
struct arena;
MUST_CHECK enum status pricebook_sheet(const char *text, const char *model, struct arena *a,
                                       const struct price_sheet **ret);
/* One item of a model; false: there is none. */
MUST_CHECK bool pricebook_find(const char *text, const char *model, enum meter meter,
                               unsigned number, struct pricebook_line *ret);
#endif
