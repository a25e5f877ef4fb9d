/* billing/minutes.h -- which request ids were settled in each minute of the ledger's clock.
 *
 * The hourly sums cannot tell a minute, and settlements have no index by time
 * (docs/decisions/0001-integer-row-ids.md); so a row for each minute says between which ids its settlements
 * lie.  To the ledger that is two comparisons a request, and a statement a minute or for a request that was
 * long under way. */
#ifndef MAAS_MINUTES_H
#define MAAS_MINUTES_H
#include "base/rid.h"
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct db;

#define MINUTE_US (INT64_C(60) * 1000000)

struct minutes { /* the ledger thread's; zeroed: no minute */
    int64_t minute_us;
    rid_t from, to; /* what the store's row says at least, once `changed` is written */
    bool changed;
};
/* Before the settlements of a batch; after a batch that was rolled back with 0. */
void minutes_begin(struct minutes *m, int64_t batch_us);
void minutes_widen(struct minutes *m, rid_t rid);
static inline void minutes_note(struct minutes *m, rid_t rid)
{
    if (rid < m->from || rid >= m->to)
        minutes_widen(m, rid);
}
/* Within the batch's transaction. */
MUST_CHECK enum status minutes_write(struct minutes *m, struct db *db);

/* Any connection.  All that was settled in [from_us, to_us), whole minutes, lies in these ids; equal: nothing
 * was. */
MUST_CHECK enum status minutes_ids(struct db *db, int64_t from_us, int64_t to_us, rid_t *ret_from,
                                   rid_t *ret_to);
/* Whether so many settlements, or more, lie in these ids: reads no more than that. */
MUST_CHECK enum status minutes_are_many(struct db *db, rid_t from, rid_t to, int64_t many,
                                        bool *ret);
/* Whether what the organization of that project used then has left for an archive, if only in part. */
MUST_CHECK enum status minutes_archived(struct db *db, int64_t project, int64_t from_us,
                                        int64_t to_us, bool *ret);
#endif
