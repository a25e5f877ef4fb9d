/* billing/statement.h -- an issued invoice, cost centre by cost centre.
 *
 * What each line comes to is divided by what each cost centre's projects used of it, with the
 * largest remainder (R9), and so is the tax of each group: the statements of an invoice add up to
 * it, to the last unit.  Fees and other charges belong to no project: they stand on the statement
 * of those that have no cost centre ("").  Nothing is stored: roll-ups of a closed period and the
 * cost centre of a project never change.  Any connection; never writes. */
#ifndef MAAS_STATEMENT_H
#define MAAS_STATEMENT_H
#include "base/status.h"
#include <jansson.h>

struct db;

/* [document..] by cost centre, each of the shape of an invoice (document.h prints them) with
 * "object":"statement" and "cost_centre"; one that has nothing on it is left out.  cost_centre: of
 * this one alone; NULL: all.  NOT_FOUND: no such document, or nothing of that cost centre is on it;
 * BAD_FIELD: it is no invoice. */
MUST_CHECK enum status statement_list(struct db *db, const char *number, const char *cost_centre,
                                      json_t **ret);
#endif
