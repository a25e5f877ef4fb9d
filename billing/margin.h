/* billing/margin.h -- what models and customers bring, less what the backends that worked for them
 * cost, from the hourly sums.  Any connection; never writes. */
#ifndef MAAS_MARGIN_H
#define MAAS_MARGIN_H
#include "base/status.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct db;

enum { MARGIN_BY_MODEL = 1, MARGIN_BY_ORGANIZATION = 2 };

struct margin_query {
    int64_t from_us, to_us; /* half-open; whole hours */
    unsigned group;         /* the bits above; 0: one row of all */
    int64_t reseller;       /* what its customers bring, less what it pays; 0: the operator's */
};
/* "model", "organization" or "model,organization" (also of NULL).  False: none of them. */
MUST_CHECK bool margin_group(const char *text, unsigned *ret);

/* Of a reseller revenue is what its customers were charged, cost what it was charged for the same
 * requests, which are its calls; nothing is wasted.
 * {"object":"list","currency","from","to","data":[row..],"total":row}; a row is {"model",
 * "organization" (as grouped), "requests","calls","revenue","cost","wasted","margin",
 * "margin_basis_points" (null without revenue)}.  calls: those of which a cost is known.
 * TOO_LARGE_FOR_LIMIT: more than 10000 rows. */
MUST_CHECK enum status margin_report(struct db *db, const struct margin_query *q, json_t **ret);
/* Whose margin a key of the project may ask for: 0, the operator's, when it is of the organization of
 * that slug; else its own organization's, which others buy from.  FORBIDDEN: nobody does. */
MUST_CHECK enum status margin_whose(struct db *db, int64_t project, const char *house,
                                    int64_t *ret_reseller);
#endif
