/* billing/opening.h -- what the beginning of a billing period brings: its row, the usage
 * that a subscription includes, and the end of funds whose time is over. */
#ifndef MAAS_OPENING_H
#define MAAS_OPENING_H
#include "billing/books.h"

/* Makes sure that the row of the period which the purse has entered is there.  Inside a batch;
 * *ret_began: it is new, so the purse was loaded again. */
MUST_CHECK enum status opening_period(struct books *b, struct purse *o, bool *ret_began);

/* Ends the current period of an organisation behind now_us, for an invoice before the month is
 * over: what this batch settles is still in it, the next period begins where it ends.  NOT_FOUND:
 * nothing was used in it.  Inside a ledger_call; afterwards ledger_reload_projects. */
MUST_CHECK enum status opening_cut(struct db *db, int64_t organization, int64_t now_us);
#endif
