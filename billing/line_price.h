/* billing/line_price.h -- what a line of a document says of its price.
 *
 * {"unit_price":"0.40 per 1000000","price_book":"autumn","list_unit_price":"0.50 per 1000000"}: the
 * price, the book that says it, and what the list says when that differs: of an organization's own
 * price that of the list on which its book lay, else the `list` of the price itself.
 */
#ifndef MAAS_LINE_PRICE_H
#define MAAS_LINE_PRICE_H
#include "billing/volume.h"
#include <jansson.h>

struct line_used { /* of a model, meter, version and item */
    const char *model;
    enum meter meter;
    int64_t version;
    unsigned item;
    int64_t qty, charged, covered;
    size_t line; /* its place in the document */
};
/* A price by volume is noted in `v`.  Any connection.  MODEL_NOT_PRICED: the version has none. */
MUST_CHECK enum status line_price_read(struct db *db, const struct line_used *u, struct volume *v,
                                       json_t **ret);
/* The book and the list's price of another line; unit_price is left alone. */
void line_price_copy(const json_t *from, json_t *to);
#endif
