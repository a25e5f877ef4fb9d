/* billing/books_roll.h -- for books.c: what a settlement adds to the sums by hour. */
#ifndef MAAS_BOOKS_ROLL_H
#define MAAS_BOOKS_ROLL_H
#include "billing/books.h"

/* Line by line, in a period of whoever pays.  What funds paid covers the lines in their order. */
MUST_CHECK enum status books_roll_up(struct books *b, const struct ledger_settle *t,
                                     int64_t period);
#endif
