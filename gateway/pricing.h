/* gateway/pricing.h -- which price book is in force when: the catalog, once for each book that a
 * request may still be accepted under.
 *
 * Made on the main thread ahead of time, part of a generation, never changed: at the moment a book is
 * in force from, nothing has to happen.  Each request takes the one of its own acceptance; when its key
 * is known, the one of the organization that pays, if that has a book of its own.
 */
#ifndef MAAS_PRICING_H
#define MAAS_PRICING_H
#include "billing/publication.h"
#include "conf/catalog.h"

struct price_term {
    int64_t from_us; /* until the next one's */
    struct catalog *catalog;
};
struct pricing_own { /* of an organization: its book on the list; before the first term the list */
    struct book_owner owner;
    size_t count;
    struct price_term *term; /* without a catalog: the list holds */
};
struct pricing {
    size_t count;            /* >= 1 */
    struct pricing_own *own; /* by owner; NULL: nobody has a book of their own */
    size_t own_count;
    struct price_term term[]; /* of the list; the first one is from ever */
};

/* One book from ever to ever: that of the configuration.  Keeps the catalog.  NULL: no memory. */
struct pricing *pricing_of(struct catalog *c);
/* The books of the store for the models of `models`; without a term nothing has a price.  A model
 * without a price is said in the log.  INTERNAL: a text is no price book. */
MUST_CHECK enum status pricing_new(struct catalog *models, const struct publication_terms *terms,
                                   struct pricing **ret);
void pricing_free(struct pricing *p); /* NULL is fine */
/* A list with a book of an organization on it, which need not be published: what it would be.
 * CONFLICT: a request could have more lines on its bill than there may be. */
struct own_book {
    const char *name, *text;
    const uint8_t *sha256;
};
MUST_CHECK enum status pricing_layered(struct catalog *list, const struct own_book *own,
                                       struct catalog **ret);

/* The list. */
static inline const struct catalog *pricing_list_at(const struct pricing *p, int64_t us)
{
    size_t i = p->count - 1;
    while (i > 0 && p->term[i].from_us > us)
        i--;
    return p->term[i].catalog;
}
/* The whole catalog at the prices that an organization's book says, and else the list's.  NULL: it has
 * no book in force then. */
const struct catalog *pricing_own_at(const struct pricing *p, int64_t us, struct book_owner owner);
/* The same, and the list when there is none: what somebody pays who pays by that book. */
static inline const struct catalog *pricing_at(const struct pricing *p, int64_t us,
                                               struct book_owner owner)
{
    const struct catalog *own = p->own ? pricing_own_at(p, us, owner) : NULL;
    return own ? own : pricing_list_at(p, us);
}
#endif
