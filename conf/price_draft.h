/* conf/price_draft.h -- the prices of one model while its entry is being read.
 *
 * Most models have one plain price a meter, which goes straight into the model.  What is
 * more than that is a list of drafts in the scratch memory, and becomes a sheet.
 */
#ifndef MAAS_CONF_PRICE_DRAFT_H
#define MAAS_CONF_PRICE_DRAFT_H
#include "conf/draft.h"
#include "conf/price_item.h"

struct price_draft {
    struct price_item item;
    const struct yaml_node *node; /* of this item */
    struct price_draft *next;
};

struct price_drafts {
    struct price_draft *first[METER_COUNT]; /* NULL: a plain price, or none */
    const struct yaml_node *node[METER_COUNT];
    unsigned count[METER_COUNT];
};

/* The value of a meter that is a map or a list of maps: its items, in the order of the book,
 * checked by price_lint.h. */
MUST_CHECK enum status price_items_read(struct conf_reader *r, const struct yaml_node *n,
                                        enum meter meter, const struct catalog_model *m,
                                        struct price_drafts *ret);
/* The model's sheet from its drafts and its plain prices. */
MUST_CHECK enum status price_sheet_make(struct conf_reader *r, const struct yaml_node *n,
                                        const struct price_drafts *d, struct catalog_model *m);
/* A parent's sheet without the meters that this model cannot report. */
MUST_CHECK enum status price_sheet_inherit(struct conf_reader *r, const struct price_sheet *parent,
                                           struct catalog_model *m);
/* A map of meters and prices that is not of a model that is sold: what a backend's model costs.
 * `m` has its capabilities and gets the prices. */
MUST_CHECK enum status prices_read(struct conf_reader *r, const struct yaml_node *n,
                                   struct catalog_model *m);
/* Those of one model in the book of an organization, whose list is `list`: `m` has no price yet. */
MUST_CHECK enum status own_prices_read(struct conf_reader *r, const struct yaml_node *n,
                                       const struct catalog_model *list, struct catalog_model *m);
/* The lines of a model in the text of a book.  False: no memory. */
MUST_CHECK bool prices_write(struct buf *b, const struct catalog_model *m);
#endif
