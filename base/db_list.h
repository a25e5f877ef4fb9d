/* base/db_list.h -- the rows of a query as a JSON list. */
#ifndef MAAS_DB_LIST_H
#define MAAS_DB_LIST_H
#include "base/db.h"
#include <jansson.h>

/* The JSON of the row that the statement stands on; NULL: no memory. */
typedef json_t *db_list_row(struct db_stmt *s, const void *arg);

/* Steps a bound query to its end, and resets it.  *ret, the caller's, is set when all is well.
 * s may be NULL, of a db_prepare that failed. */
MUST_CHECK enum status db_list(struct db *db, struct db_stmt *s, db_list_row *row, const void *arg,
                               json_t **ret);
/* A row that is the text of its first column. */
json_t *db_list_text(struct db_stmt *s, const void *arg);
#endif
