/* billing/simulate_inside.h -- what the files of the simulation share. */
#ifndef MAAS_SIMULATE_INSIDE_H
#define MAAS_SIMULATE_INSIDE_H
#include "billing/simulate.h"
#include "billing/tally.h"
#include "conf/catalog.h"

struct db;

/* Why a request cannot be rated again. */
#define SIMULATE_WHY_MAP(X)                                                      \
    X(RATED, "")                                                                 \
    X(NO_MODEL, "the model is not in the catalog any more")                      \
    X(NO_PRICE, "the book has no price for something that it used")              \
    X(UNPRICED, "it used something without a price, and nobody knows how much")  \
    X(UNCOUNTED, "the book has a price for something that was not counted then") \
    X(UNKNOWN, "the book asks for something of the request that is not stored")

enum simulate_why {
#define X(NAME, text) WHY_##NAME,
    SIMULATE_WHY_MAP(X)
#undef X
};

struct simulate_request { /* one settlement */
    int64_t organization, period, asked, billed, served, version, accepted_us;
    uint64_t qty[METER_COUNT];
    uint32_t meters; /* with a quantity */
    bool charged, unpriced;
    struct price_facts facts; /* its words are borrowed */
};

struct simulate { /* what stays from one settlement to the next */
    struct db *db;
    const struct simulate_books *books;
    const struct catalog_model **by_id; /* of names, in books->book; room of them */
    int64_t room;
    struct tally then;   /* version, model -> meters priced, dimensions, meters by volume */
    struct tally counts; /* organization, period, model, item -> units, charged */
    struct tally volume; /* organization, period, model, meter, version, item -> units, charged */
};

struct simulate_back { /* what the close of a period gives back */
    int64_t organization, model, then, now;
};

MUST_CHECK enum status simulate_open(struct simulate *s, struct db *db,
                                     const struct simulate_books *books);
/* The book that the organization would pay by. */
const struct catalog *simulate_book(const struct simulate *s, int64_t organization);
void simulate_close(struct simulate *s);
/* What the request would have cost.  OK with WHY_RATED or another reason; then *ret is not set. */
MUST_CHECK enum status simulate_rate(struct simulate *s, struct simulate_request *r,
                                     enum simulate_why *ret_why, int64_t *ret);

/* simulate_volume.c: a line that was charged and is rated again; remembered if by volume. */
MUST_CHECK enum status simulate_charged(struct simulate *s, const struct simulate_request *r,
                                        int64_t meter, int64_t item, int64_t qty, int64_t atoms);
/* For each model of each organization what volume prices give back, then and now. */
MUST_CHECK enum status simulate_close_periods(
    struct simulate *s, enum status (*take)(void *arg, const struct simulate_back *b), void *arg);
#endif
