/* billing/recount_inside.h -- how the two numbers of a side stand in a row; for recount.c and its audit. */
#ifndef MAAS_RECOUNT_INSIDE_H
#define MAAS_RECOUNT_INSIDE_H
#include "base/db.h"
#include "billing/recount.h"

/* Of three columns: reported, counted, tolerance. */
void recount_read_side(struct db_stmt *s, int column, struct recount_side *ret);
#endif
