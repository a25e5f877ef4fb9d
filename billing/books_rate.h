/* billing/books_rate.h -- for books.c: bills that depend on the count of the period. */
#ifndef MAAS_BOOKS_RATE_H
#define MAAS_BOOKS_RATE_H
#include "billing/books.h"

/* Makes the lines and the amount anew when the settlement brings a sheet; repeatable.  OK;
 * BAD_FIELD: cannot be counted any more; NO_MEMORY. */
MUST_CHECK enum status books_rate(struct books *b, const struct purse *p, struct ledger_settle *t);
/* Counts what books_rate billed, or takes it back. */
void books_count(struct books *b, const struct purse *p, const struct ledger_settle *t, bool back);
#endif
