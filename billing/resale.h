/* billing/resale.h -- the second leg of a request of somebody who buys from a reseller.
 *
 * The first leg is any request's: the reseller's project (the twin), at wholesale.  The second is the
 * customer's own project at retail: another purse and budget, rows of its own in the same
 * transaction (billing/schema/0019.sql), the same sums by hour and the same double entry.  Both are held
 * or neither, both grow or neither (running.h), both are settled or neither.  What the reseller pays
 * is its cost of that customer: debit upstream_cost, credit upstream_payable in its books.
 */
#ifndef MAAS_RESALE_H
#define MAAS_RESALE_H
#include "billing/books.h"

/* Of the second ledger_settle all counts but what is one for both: attempts, recount, checkpoint, idem.
 * By this a purse knows the hold of a leg. */
static inline rid_t resale_mark(const struct ledger_settle *t)
{
    return t->is_resale ? -t->rid : t->rid;
}

struct resale_leg { /* of a hold that may be: resale_plan */
    struct budget *budget;
    struct purse *purse;
    struct draws draws;
};

/* Whether the customer may hold it; nothing is taken.  NO_QUOTA; BAD_FIELD: no such project. */
MUST_CHECK enum status resale_plan(struct books *b, const struct ledger_hold *h,
                                   struct resale_leg *ret);
/* Takes it, and writes its row.  A failure has taken nothing, and ends the batch. */
MUST_CHECK enum status resale_take(struct books *b, const struct ledger_hold *h,
                                   const struct resale_leg *leg);
/* The row of a leg that is quoted. */
MUST_CHECK enum status resale_insert(struct books *b, const struct ledger_settle *leg);
/* What follows it: sums, the reseller's cost, an end to its checkpoint. */
MUST_CHECK enum status resale_settled(struct books *b, const struct ledger_settle *t,
                                      struct purse *customer);

/* For recovery: the leg of a request that was left open, with what its checkpoint says when that of
 * the request was read; *ret_found: there is one. */
MUST_CHECK enum status resale_orphan(struct books *b, const struct ledger_settle *t,
                                     struct ledger_settle *ret, char facts[static FACTS_TEXT_BYTES],
                                     bool *ret_found);
#endif
