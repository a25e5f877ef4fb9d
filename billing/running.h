/* billing/running.h -- what the ledger is told of a request between its hold and its
 * settlement.  Most requests are too short to say anything.
 *
 * more   another leg of its hold, durable before what it pays for is sent; refused with
 *        NO_QUOTA like a hold.  The settlement's `hold` is the sum of all that was granted.
 */
#ifndef MAAS_RUNNING_H
#define MAAS_RUNNING_H
#include "billing/ledger.h"

struct books;

struct ledger_more {
    struct ledger_op op;
    rid_t rid;
    int64_t project, model;     /* as in the hold */
    int64_t leg;                /* 1, 2, .. */
    money_t held, more;         /* up to now; > 0, to be held beside it */
    struct draws before, added; /* the ledger's: what the hold had taken, and takes now */
    /* What the customer of a reseller holds more of its own, lent until done: project, model, held and
     * more (here >= 0) count.  Both or neither; NULL: nobody sells on. */
    struct ledger_more *resale;
};

/* The answer of the operation as that of books_hold (books.h). */
MUST_CHECK enum status books_more(struct books *b, struct ledger_more *m);
void books_more_undo(struct books *b, const struct ledger_more *m);

#endif
