/* billing/posting.h -- the end of a batch: what it settled goes into the double entry,
 * the funds' balances and the projects' totals, one row each and not one a request. */
#ifndef MAAS_POSTING_H
#define MAAS_POSTING_H
#include "billing/accounts.h"
#include "billing/books.h"

/* Notes what was settled. */
void posting_note(struct books *b, struct budget *budget, struct purse *purse, int64_t atoms);
/* Likewise what backends cost. */
void posting_note_cost(struct books *b, struct purse *purse, int64_t atoms, int64_t wasted);
/* Writes what was noted; forgets it also when that fails. */
MUST_CHECK enum status posting_flush(struct books *b);
void posting_forget(struct books *b);

/* One entry of a ledger_tx and its account's balance; nothing for 0 atoms. */
MUST_CHECK enum status posting_entry(struct db *db, int64_t tx, int64_t account, int64_t atoms);
/* A new ledger_tx; ref may be NULL. */
MUST_CHECK enum status posting_tx(struct db *db, const char *kind, int64_t at_us,
                                  int64_t organization, const char *ref, int64_t *ret_tx);

struct transfer {
    const char *kind, *ref;
    int64_t organization; /* whose both accounts are */
    enum account_code debit, credit;
    int64_t atoms;
};

/* A ledger_tx of two entries: debit gets the atoms, credit the same with the other sign. */
MUST_CHECK enum status posting_transfer(struct db *db, const struct transfer *t, int64_t at_us);
#endif
