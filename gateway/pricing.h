/* gateway/pricing.h -- which price book is in force when: the catalog, once for each book that a
 * request may still be accepted under.
 *
 * Made on the main thread ahead of time, part of a generation, never changed: at the moment a book is
 * in force from, nothing has to happen.  Each request takes the one of its own acceptance.
 */
#ifndef MAAS_PRICING_H
#define MAAS_PRICING_H
#include "billing/publication.h"
#include "conf/catalog.h"

struct pricing {
    size_t count; /* >= 1 */
    struct price_term {
        int64_t from_us; /* until the next one's; of the first one it does not matter */
        struct catalog *catalog;
    } term[];
};

/* One book from ever to ever: that of the configuration.  Keeps the catalog.  NULL: no memory. */
struct pricing *pricing_of(struct catalog *c);
/* The books of the store for the models of `models`; without a term nothing has a price.  A model
 * without a price is said in the log.  INTERNAL: a text is no price book. */
MUST_CHECK enum status pricing_new(struct catalog *models, const struct publication_terms *terms,
                                   struct pricing **ret);
void pricing_free(struct pricing *p); /* NULL is fine */

static inline const struct catalog *pricing_at(const struct pricing *p, int64_t us)
{
    size_t i = p->count - 1;
    while (i > 0 && p->term[i].from_us > us)
        i--;
    return p->term[i].catalog;
}
#endif
