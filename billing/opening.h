/* billing/opening.h -- what the beginning of a billing period brings: its row, the usage
 * that a subscription includes, and the end of funds whose time is over. */
#ifndef MAAS_OPENING_H
#define MAAS_OPENING_H
#include "billing/books.h"

/* Makes sure that the row of the period which the purse has entered is there.  Inside a batch;
 * *ret_began: it is new, so the purse was loaded again. */
MUST_CHECK enum status opening_period(struct books *b, struct purse *o, bool *ret_began);
#endif
