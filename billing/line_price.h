/* billing/line_price.h -- what a line of a document says of its price.
 *
 * {"unit_price":"0.40 per 1000000","price_book":"autumn","list_unit_price":"0.50 per 1000000"}: the
 * price, the book that says it, and what the list says when that differs: of an organization's own
 * price that of the list on which its book lay, else the `list` of the price itself.
 */
#ifndef MAAS_LINE_PRICE_H
#define MAAS_LINE_PRICE_H
#include "billing/pricebook.h"
#include <jansson.h>

struct db;

struct line_key {
    const char *model;
    enum meter meter;
    int64_t version;
    unsigned item;
};
/* Any connection.  *ret_item: the price; its words are gone.  MODEL_NOT_PRICED: the version has none. */
MUST_CHECK enum status line_price_read(struct db *db, const struct line_key *k,
                                       struct pricebook_line *ret_item, json_t **ret);
/* The book and the list's price of another line; unit_price is left alone. */
void line_price_copy(const json_t *from, json_t *to);
#endif
