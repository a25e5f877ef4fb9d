/* billing/rate.h -- what usage costs by a price sheet (conf/price_item.h): the evaluator.
 *
 * Three questions: the most that a request can cost (for its hold), what it does cost
 * (for its bill), and what a period comes to (for its close).  Pure arithmetic on whole
 * numbers, 128 bits wide where it must be: no clock, no store, any thread, no allocation.
 * BILLING_OVERFLOW: an amount is beyond what money can hold.  A function that fails leaves
 * its output untouched.
 *
 * Rule R4: kinds that look at a period are charged provisionally with each request, by
 * what the period had used before it, and exactly at its close; the difference is a line
 * of the document.  Whoever keeps the count of a period keeps it for each item (price
 * version, model, meter, number) of each contract.
 */
#ifndef MAAS_RATE_H
#define MAAS_RATE_H
#include "conf/price_item.h"

struct rate_line {
    enum meter meter;
    uint16_t item;  /* its number among the items of the meter */
    int64_t qty;    /* > 0; all lines of a meter add up to what was used and has a price */
    int64_t before; /* units of the period that came before these: 0 of a kind without periods */
    money_t amount;
};

/* A request: `qty` of the meters in `meters` (METER_BIT), each at most INT64_MAX.  f->context is
 * the sum of all input tokens (rule R2: it chooses the band for output, too).  before: units that
 * the period has used of each item of the sheet, in its order; NULL: none.
 * *ret_unpriced: meters with a quantity for which no item holds (they have no line). */
struct rate_request {
    uint32_t meters;
    const uint64_t *qty; /* METER_COUNT of them */
    const struct price_facts *facts;
    const int64_t *before;
};
MUST_CHECK enum status rate_request(const struct price_sheet *s, const struct rate_request *r,
                                    struct rate_line lines[static PRICE_LINES_MAX],
                                    unsigned *ret_count, uint32_t *ret_unpriced);

/* The most that `qty` units, split in any way over `meters`, can come to for a request of at most
 * context_max input tokens.  facts: what is already known of it (its context is not); whatever
 * the period has used before.  What rate_request then charges of these meters is never more. */
MUST_CHECK enum status rate_most(const struct price_sheet *s, uint32_t meters, uint64_t qty,
                                 const struct price_facts *facts, int64_t context_max,
                                 money_t *ret);

/* ---- one item ------------------------------------------------------------------------------ */

/* What a request adds: `qty` units that come after `before` others of the period.
 *   unit       qty * price, half to even (R1)
 *   graduated  the same for the units that fall into each tier
 *   volume     qty at the dearest of its prices
 *   package    the packages that it begins
 *   flat       the amount; of a period, when nothing came before
 *   included   nothing */
MUST_CHECK enum status rate_item(const struct price_item *i, int64_t before, int64_t qty,
                                 money_t *ret);
/* The same at list price; a kind without one is its own list. */
MUST_CHECK enum status rate_list(const struct price_item *i, int64_t before, int64_t qty,
                                 money_t *ret);

/* ---- the close of a period ----------------------------------------------------------------- */

struct rate_period {
    int64_t before;  /* units under earlier versions of the book, when tiers go on (R5); else 0 */
    int64_t qty;     /* units under this one */
    int64_t total;   /* units of the whole period under all versions: what picks a volume tier */
    money_t charged; /* the sum of what requests were charged for `qty` */
};

struct rate_close_line {
    bool reversal; /* takes back what was charged; then `price` says nothing */
    int64_t qty;   /* units; of a package: packages; of a flat amount: 1 */
    struct price price;
    money_t amount; /* a reversal's is negative */
};
enum { RATE_CLOSE_LINES_MAX = PRICE_TIERS_MAX + 1 };

/* What the period comes to by the item, and how it gets there from what was charged: first the
 * reversal, then the right lines (vector V17: -15 at 10, +16 at 5).  *ret_count is 0 when nothing
 * differs.  *ret_total: charged plus all lines, never negative. */
MUST_CHECK enum status rate_close(const struct price_item *i, const struct rate_period *p,
                                  struct rate_close_line lines[static RATE_CLOSE_LINES_MAX],
                                  unsigned *ret_count, money_t *ret_total);
#endif
