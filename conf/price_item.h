/* conf/price_item.h -- what one meter of a model costs, and when that price holds.
 *
 * A meter has a list of items.  For a request exactly one of them holds: the one whose
 * conditions fit and that names the most of them (price_lint.h refuses a book in which
 * two do, or none).  What a multiplier would do elsewhere (a batch at half the price, a
 * cached token at a tenth) is an item of its own here, so that each line of a bill names
 * its price (billing rule R3).  An item is known by (price version, model, meter, number);
 * the number is its place among the items of its meter, in the order of the book's text.
 *
 * Items are immutable and belong to the catalog; spans and tiers are borrowed from it.
 */
#ifndef MAAS_CONF_PRICE_ITEM_H
#define MAAS_CONF_PRICE_ITEM_H
#include "base/buf.h"
#include "base/money.h"
#include "base/usage.h"
#include "conf/time_band.h"
#include <stdbool.h>

/* The words are in price books on disk. */
#define PRICE_KIND_MAP(X)                                                                        \
    X(UNIT, "unit")           /* qty * price, each request by itself */                          \
    X(GRADUATED, "graduated") /* each unit of a period at the price of the tier it falls into */ \
    X(VOLUME, "volume")       /* all units of a period at the price of the tier they end in */   \
    X(PACKAGE, "package")     /* an amount for each begun per_units of a period */               \
    X(FLAT, "flat")           /* an amount for each request, or period, that uses the meter */   \
    X(INCLUDED, "included")   /* the first units of a period are free, the others fall through */

enum price_kind {
#define X(NAME, word) PRICE_##NAME,
    PRICE_KIND_MAP(X)
#undef X
        PRICE_KINDS
};

/* What of a request, beside its size and its hour, a price may depend on. */
#define PRICE_DIM_MAP(X)  \
    X(SIZE, "size")       \
    X(QUALITY, "quality") \
    X(TIER, "service_tier") /* "standard", of a request that says nothing, is a value like others */

enum price_dim {
#define X(NAME, word) PRICE_DIM_##NAME,
    PRICE_DIM_MAP(X)
#undef X
        PRICE_DIMS
};

enum {
    PRICE_ITEMS_MAX = 32, /* of one meter of one model */
    PRICE_TIERS_MAX = 16,
    PRICE_WORD_BYTES_MAX = 32,         /* of the value of a dimension */
    PRICE_LINES_MAX = METER_COUNT + 6, /* of a bill: one a meter, and one more of an INCLUDED */
};
#define PRICE_NO_END INT64_MAX /* of a tier or of a band of the context: no upper end */

struct price_tier {
    int64_t up_to; /* units of the period, the last one included; PRICE_NO_END of the last tier */
    struct price price;
};

struct price_item {
    enum meter meter;
    enum price_kind kind;
    bool per_period;    /* FLAT: once a period, not once a request */
    struct price price; /* UNIT; PACKAGE: for each per_units begun; FLAT: per_units is 1 */
    int64_t included;   /* INCLUDED: units */
    const struct price_tier *tiers; /* GRADUATED, VOLUME; ascending */
    unsigned tier_count;
    struct price list; /* what a unit costs others; per_units 0: the same as this */
    /* Conditions: an INCLUDED item has none. */
    int64_t context_min, context_max; /* input tokens of the request, both ends included */
    struct span dim[PRICE_DIMS];      /* len 0: any */
    struct time_band time;            /* of the moment of acceptance */
};

/* All prices of a model, for one that has more than one plain price a meter. */
struct price_sheet {
    const struct price_item *items;  /* by meter, then in the order of the book's text */
    uint16_t first[METER_COUNT + 1]; /* items of meter m: first[m] to first[m + 1] - 1 */
    unsigned dims;                   /* bit per dimension that some item names */
    bool periodic;                   /* some item is */
};

/* What is known of a request when it is priced. */
struct price_facts {
    int64_t context;             /* all input tokens, of whatever kind */
    int64_t accepted_us;         /* the price is pinned then */
    struct span dim[PRICE_DIMS]; /* len 0: a value that no item names */
};

const char *price_kind_name(enum price_kind k);
const char *price_dim_name(enum price_dim d);

static inline struct price_item price_plain(enum meter m, struct price p)
{
    return (struct price_item){ .meter = m, .price = p, .context_max = PRICE_NO_END };
}
/* One price for any quantity, at any time: what most models have. */
bool price_item_plain(const struct price_item *i);
/* Whether its amount depends on what was used before it in the period. */
bool price_item_periodic(const struct price_item *i);

/* What a period's count is kept by: the same for every price of this meter, kind and conditions,
 * whatever its amounts, so that tiers go on when a new version of the book changes them (R5).
 * Only in memory: it may be another one in another version of the program. */
uint64_t price_series(const struct price_item *i);

/* How far a line of it can be from the exact amount: the number of halves of an atom, 0 when
 * every quantity comes to whole atoms. */
unsigned price_item_halves(const struct price_item *i);

/* Conditions alone; an INCLUDED item is never held by them. */
bool price_item_fits(const struct price_item *i, const struct price_facts *f);
/* How many dimensions (time is one) it names: of two items that fit, the higher one holds. */
unsigned price_item_rank(const struct price_item *i);
/* Once the items are there, by meter: where each meter's begin, and what they name. */
void price_sheet_close(struct price_sheet *s, unsigned count);
/* The item of a meter that holds; NULL: none does. */
const struct price_item *price_select(const struct price_sheet *s, enum meter m,
                                      const struct price_facts *f);
/* The INCLUDED item of a meter; NULL: it has none. */
const struct price_item *price_included(const struct price_sheet *s, enum meter m);
static inline unsigned price_item_number(const struct price_sheet *s, const struct price_item *i)
{
    return (unsigned)(i - s->items) - s->first[i->meter];
}

/* The order of the items of a meter in a book: a total one, so that what was written in
 * another order is the same book. */
int price_item_order(const struct price_item *a, const struct price_item *b);

/* What stands in a price book behind model and meter: "2500/1" of a plain price, else the kind
 * and the conditions: "unit 2500/1 context=0..32768 size=1024x1024".  False: no memory. */
MUST_CHECK bool price_item_write(struct buf *b, const struct price_item *i);
/* Only the conditions, " context=0..32768" and so on; nothing when there are none. */
MUST_CHECK bool price_conditions_write(struct buf *b, const struct price_item *i);
#endif
