/* billing/attempt.h -- what the calls to backends cost us, written with the settlement of their
 * request: a row each, its sums, and at the end of the batch the double entry (debit upstream_cost
 * or, of what no customer pays, goodwill; credit upstream_payable). */
#ifndef MAAS_ATTEMPT_H
#define MAAS_ATTEMPT_H
#include "billing/books.h"

/* Of t's attempts; notes their cost in the purse.  A failure rolls the batch back. */
MUST_CHECK enum status attempt_write(struct books *b, struct purse *p,
                                     const struct ledger_settle *t);
#endif
