/* billing/books.h -- operations applied to the store, inside a transaction.
 *
 * The ledger thread (ledger.c) takes a batch, calls these for each operation and
 * commits.  What they change in memory follows the transaction: books_committed
 * or books_undo ends each batch.  Knows no thread and no queue; recovery uses the
 * same functions.
 */
#ifndef MAAS_BOOKS_H
#define MAAS_BOOKS_H
#include "billing/alert.h"
#include "billing/budget.h"
#include "billing/counted.h"
#include "billing/floor.h"
#include "billing/ledger.h"
#include "billing/minutes.h"
#include "billing/purse.h"
#include "billing/rollup.h"

struct db;
struct db_stmt;

struct books {
    struct db *db;
    struct db_stmt *insert_open, *insert_settlement, *set_floor;
    int64_t boot;
    int64_t batch_us; /* the stamp of this batch: later than that of any batch before */
    rid_t last_rid;   /* the largest in the store at open */
    rid_t floor_stored, floor_written; /* on disk; in this batch */
    struct budgets budgets;            /* of projects */
    struct purses purses;              /* of organisations */
    struct counted counted;            /* what they used of prices by the period */
    struct idem_books idem;
    struct budget *unposted_budgets; /* with settlements that are not in the sums yet: posting.h */
    struct purse *unposted_purses;
    bool began_period; /* in this batch, for some organisation */
    struct floor floor;
    struct rollup rollup;
    struct minutes minutes;
    struct alert_watch alerts;
};

/* Begins a new boot and settles what earlier boots left open, in one transaction
 * (recover.c).  `b` is zeroed before, and closed by the caller also after a failure. */
MUST_CHECK enum status books_open(struct books *b, struct db *db, int64_t now_us,
                                  uint64_t *ret_recovered);
void books_close(struct books *b); /* the connection stays the caller's */
/* Notes that nothing was open at the end: the next start has nothing to look for. */
MUST_CHECK enum status books_mark_clean(struct books *b);

/* For books_open: prepares the statements; counts a row of an earlier boot that is open as held. */
MUST_CHECK enum status books_prepare(struct books *b);
/* Who pays for a project, in the period of this batch.  BAD_FIELD: no such project. */
MUST_CHECK enum status books_payer(struct books *b, int64_t project, struct budget **ret_budget,
                                   struct purse **ret_purse);
MUST_CHECK bool books_adopt(struct books *b, const struct ledger_settle *t);

/* Projects, organisations, contracts and funds from the rows, again after a change. */
MUST_CHECK enum status books_reload(struct books *b);
/* Before the first operation of a batch. */
void books_begin(struct books *b, int64_t now_us);
/* OK, NO_QUOTA, CONFLICT (that id, or idempotency key, exists), BAD_FIELD (the store refuses the row):
 * the answer of this operation.  Anything else: the whole batch must be rolled back. */
MUST_CHECK enum status books_hold(struct books *b, const struct ledger_hold *h);
MUST_CHECK enum status books_settle(struct books *b, struct ledger_settle *s);
/* Rollups and double entry of what was settled so far.  Before a call that reads, and before the commit. */
MUST_CHECK enum status books_flush(struct books *b);
/* The last word of a batch before the commit. */
MUST_CHECK enum status books_end(struct books *b);

void books_committed(struct books *b);
/* The batch was rolled back: forget what is gathered, then take back each
 * operation that had been answered OK. */
void books_rolled_back(struct books *b);
void books_undo(struct books *b, const struct ledger_op *op);
/* After a batch: memory knows what the rows do not (a period that was rolled back), or a contract
 * has begun: books_reload, before the next batch. */
bool books_must_reload(struct books *b, bool rolled_back);

static inline bool books_is_answer(enum status s)
{
    return s == STATUS_OK || s == STATUS_NO_QUOTA || s == STATUS_CONFLICT || s == STATUS_BAD_FIELD;
}
#endif
