/* billing/simulate.h -- a month that has been, rated again with another price book: who would have
 * paid what.
 *
 * Reads settlements and writes nothing; any connection.  Each is rated as the gateway would have
 * rated it: the cheaper model when a parent answered, the conditions of each price by what is stored
 * of the request, prices by the period in the order in which requests came.  What is not stored
 * cannot be rated again: such requests are counted by themselves, with the reason, and are in no sum.
 */
#ifndef MAAS_SIMULATE_H
#define MAAS_SIMULATE_H
#include "base/status.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct catalog;
struct db;

struct simulate_own { /* an organization with a book of its own */
    int64_t organization;
    const struct catalog *book; /* all that it would pay */
};
struct simulate_books {
    const struct catalog *book; /* of everybody else */
    struct simulate_own *own;   /* by organization; the same models in the same order */
    size_t own_count;
};

/* {"month","price_book","currency",
 *  "data":[{"organization","model","requests","amount","would","difference"}],
 *  "not_rated":[{"organization","model","requests","amount","why"}],
 *  "requests","amount","would","difference"}
 * organization NULL: all.  NOT_FOUND: no such organization; BAD_FIELD: not a month;
 * BILLING_OVERFLOW: a sum is beyond what money can hold. */
MUST_CHECK enum status simulate_month(struct db *db, const struct simulate_books *books,
                                      const char *month, const char *organization, json_t **ret);
#endif
