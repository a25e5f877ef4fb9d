/* billing/recount.h -- what a backend reported and what the gateway counted, side by side.
 *
 * A row of a settlement of a model with a tokenizer (reference/billing.md 3.3, row 11). */
#ifndef MAAS_RECOUNT_H
#define MAAS_RECOUNT_H
#include "base/json.h"
#include "base/rid.h"
#include "base/status.h"

struct db;

struct recount_side {
    int64_t reported, counted; /* tokens; < 0: not reported, not counted */
    int64_t tolerance;         /* more than counted + tolerance is not billed */
};

struct recount_row {
    const char *tokenizer; /* "NAME@16 hex digits" */
    struct recount_side input, output;
    int64_t hidden; /* reasoning that was reported and not shown: not among the output's numbers */
};

/* Both numbers are known and further apart than may be. */
static inline bool recount_differs(const struct recount_side *s)
{
    int64_t apart = s->reported > s->counted ? s->reported - s->counted : s->counted - s->reported;
    return s->reported >= 0 && s->counted >= 0 && apart > s->tolerance;
}

/* In the transaction of its settlement. */
MUST_CHECK enum status recount_insert(struct db *db, rid_t rid, const struct recount_row *row);

struct recount_query {
    int64_t from_us, to_us;
    const char *project; /* slug; NULL: all */
    bool all;            /* also those within the tolerance */
    int64_t limit;
};
/* {"object":"list","data":[{"request","settled_at","project","model","backend","outcome","tokenizer",
 * "input":{"reported","counted","tolerance"},"output":{..},"hidden"}],"has_more":..}, oldest first.  NOT_FOUND:
 * there is no such project. */
MUST_CHECK enum status recount_list(struct db *db, const struct recount_query *q, json_t **ret);
#endif
