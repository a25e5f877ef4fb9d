/* billing/volume.h -- what the close of a period gives back of volume prices (rule R4).
 *
 * Each request was charged at the dearest tier; once the period has ended, its number of units says
 * which tier's price all of them have.  What was charged too much is taken off what is owed, and what
 * funds had paid of it goes back into funds.  Nothing is ever asked for on top.
 */
#ifndef MAAS_VOLUME_H
#define MAAS_VOLUME_H
#include "billing/pricebook.h"

struct db;

struct volume_part { /* of one model, meter, price version and item */
    char *model;     /* owned */
    int64_t version;
    unsigned item;
    enum meter meter;
    uint64_t series;
    struct price_tier tiers[PRICE_TIERS_MAX];
    unsigned tier_count;
    int64_t qty, charged, covered; /* covered: what funds paid of what was charged */
    size_t line;                   /* its place in the document */
    /* By volume_close: */
    int64_t due;              /* what it comes to, at most what was charged */
    struct price then, after; /* the dearest price, and the one of the tier */
};

struct volume {
    struct volume_part *part;
    size_t count, room;
};

void volume_free(struct volume *v);
/* Keeps the line when its price is one by volume.  OK or NO_MEMORY. */
MUST_CHECK enum status volume_note(struct volume *v, const struct pricebook_line *price,
                                   int64_t version, int64_t qty, int64_t charged, int64_t covered,
                                   size_t line);
/* What each part comes to, by the units of its series in all versions (rule R5). */
MUST_CHECK enum status volume_close(struct volume *v);
static inline int64_t volume_owed(const struct volume_part *p) /* of what is due, less funds */
{
    return p->due > p->covered ? p->due - p->covered : 0;
}

struct volume_period {
    int64_t organization, from_us, to_us;
    const char *number; /* of the invoice */
};
/* Takes it off revenue and what is unbilled, and gives funds theirs: a fund of the same kind, for the
 * same model, that lasts at least another 31 days.  Inside the call that issues the invoice. */
MUST_CHECK enum status volume_post(struct db *db, const struct volume *v,
                                   const struct volume_period *p, int64_t now_us);
#endif
