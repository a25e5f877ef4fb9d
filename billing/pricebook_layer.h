/* billing/pricebook_layer.h -- the book of an organization on the list, as one text.
 *
 * What the organization's book says of a meter of a model holds instead of all that the list says of
 * it; everything else is the list's.  An item of the organization whose unit the list sells at another
 * price has that as its `list=`.  The head names both books by their hashes:
 *
 *     currency CODE book NAME over SHA256 of the list, own SHA256 of the other
 *
 * so that the text says what it was made of, and no two pairs of books have the same.
 */
#ifndef MAAS_PRICEBOOK_LAYER_H
#define MAAS_PRICEBOOK_LAYER_H
#include "base/buf.h"
#include <stdint.h>

enum { LAYER_BYTES_MAX = 64 << 20 };

struct layer_of {
    const char *text; /* canonical: in the order of models, then of the meters' names */
    const uint8_t *sha256;
};
/* INTERNAL: one of the texts is no price book; NO_MEMORY. */
MUST_CHECK enum status pricebook_layer(const char *currency, const char *name,
                                       const struct layer_of *list, const struct layer_of *own,
                                       struct buf *ret);
/* Whether it says anything: a book without a price leaves its organization to the list. */
bool pricebook_says(const char *text);
#endif
