/* billing/checkpoint.h -- the bill of a stream as it would be now, so that a crash of the daemon
 * does not make a gift of it (reference/billing.md 3.3 row 24).
 *
 * A loop writes one now and then for a stream that has run for a while: what was certainly
 * sent, rated as a settlement is.  It rides with the ledger's batches and overwrites the one
 * before; the settlement deletes it.  What recovery finds it settles.
 */
#ifndef MAAS_CHECKPOINT_H
#define MAAS_CHECKPOINT_H
#include "billing/ledger.h"
#include "billing/lines.h"

struct books;
struct db_stmt;

struct ledger_checkpoint {
    struct ledger_op op;
    rid_t rid;
    int64_t model, model_served, backend, first_byte_us; /* as in the settlement */
    money_t amount;
    char lines[LINES_TEXT_BYTES];
    struct resale_checkpoint { /* the customer's of a reseller; NULL: nobody sells on */
        int64_t model;
        money_t amount;
        char lines[LINES_TEXT_BYTES];
    } * resale;
};

/* The answer of the operation as that of books_hold (books.h). */
MUST_CHECK enum status books_checkpoint(struct books *b, const struct ledger_checkpoint *c);
/* With the settlement, when there was one. */
MUST_CHECK enum status books_forget_checkpoint(struct books *b, rid_t rid);

/* For recovery.  Columns from `at` on: model, model_served, backend, amount_atoms, lines,
 * first_byte_us.  True: it says what is owed, and `t` is the settlement of it; `facts` holds what
 * its lines say of themselves.  False (there is none, or it cannot be read): `t` is untouched. */
bool checkpoint_read(struct db_stmt *row, int at, struct ledger_settle *t,
                     char facts[static FACTS_TEXT_BYTES]);

#endif
