/* billing/recover_rate.h -- for recover.c: checkpoints of models with prices by the period.
 *
 * A loop noted such a stream as if it were the first of its period (gateway/checkpoint.h); what it
 * really costs the ledger knows as it settles it (books_rate.h), by the price book in the store. */
#ifndef MAAS_RECOVER_RATE_H
#define MAAS_RECOVER_RATE_H
#include "billing/books.h"
#include "conf/price_item.h"

struct arena;

struct recover_sheet { /* zeroed before the first; of the model that was asked for last */
    struct arena *words;
    int64_t version, model;
    const struct price_sheet *sheet; /* NULL: no price of it is by the period */
    struct price_facts facts;        /* of the request that was asked for last */
    char facts_text[FACTS_TEXT_BYTES];
};
void recover_sheet_free(struct recover_sheet *c);

/* What the settlement `t` of a checkpoint lacks: its sheet and what chose its prices, lent until the next
 * call.  BAD_FIELD: the book, or what is noted of the request, does not give its price, or more than its
 * hold: it cannot be charged.  *t is then as it was. */
MUST_CHECK enum status recover_rate(struct recover_sheet *c, struct books *b, int64_t accepted_us,
                                    struct ledger_settle *t);
#endif
