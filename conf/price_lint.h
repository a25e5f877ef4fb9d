/* conf/price_lint.h -- whether a price book says one price for everything, and how exactly.
 *
 * Pure.  Used by the reader of the configuration, which refuses a book with a flaw, and
 * by whoever wants to know about a book before it is published.
 */
#ifndef MAAS_CONF_PRICE_LINT_H
#define MAAS_CONF_PRICE_LINT_H
#include "conf/price_item.h"
#include <limits.h>

struct catalog;

enum { PRICE_FLAW_BYTES = 240 };

#define PRICE_FLAW_ALL UINT_MAX

struct price_flaw {
    unsigned item;               /* which one to look at; PRICE_FLAW_ALL: no one of them */
    char text[PRICE_FLAW_BYTES]; /* a sentence that names the request that it fails for */
};

/* The items of one meter, at most PRICE_ITEMS_MAX.  Every request must find exactly one that
 * holds: with each value that an item names and with any other, with every number of input
 * tokens up to context_end, at each minute of the week.  Tiers must ascend and end open.
 * False, then *ret: the first flaw. */
MUST_CHECK bool price_items_check(const struct price_item *const *items, unsigned count,
                                  int64_t context_end, struct price_flaw *ret);

/* What a book should be read again for, one sentence a line: prices that not every quantity can
 * be charged exactly, tiers that become dearer, contracted prices above list.  At most `most`
 * lines and a last one that says how many there were.  False: no memory. */
MUST_CHECK bool prices_report(const struct catalog *c, unsigned most, struct buf *ret);
#endif
