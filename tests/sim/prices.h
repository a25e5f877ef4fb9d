/* tests/sim/prices.h -- what who pays when in the simulated world: the list, and the books that an
 * organization has of its own, published by two people as the run goes on.
 */
#ifndef MAAS_SIM_PRICES_H
#define MAAS_SIM_PRICES_H
#include "billing/ledger.h"
#include "billing/publication.h"

struct db;

struct sim_price { /* of base/chat in one version; the same address until prices_forget */
    int64_t version;
    const struct price_sheet *sheet;
    int64_t unit; /* atoms for a token; 0: that depends on what the period has used before */
};

void prices_forget(void);
/* The versions in force now and later, from the rows.  Inside a transaction. */
MUST_CHECK enum status prices_load(struct db *db, int64_t now_us);
/* Proposed and published by two people, in force at effective_us: another price of everybody's, or of
 * that owner.  What customers of a reseller pay falls with what their period has used. */
MUST_CHECK enum status prices_publish(struct db *db, struct book_owner owner, int64_t atoms,
                                      int64_t effective_us, int64_t now_us);
/* What is in force then; `below` while the owner has no book.  The list: { BOOK_LIST }, NULL. */
const struct sim_price *prices_at(struct book_owner owner, int64_t us,
                                  const struct sim_price *below);

int64_t prices_most(const struct sim_price *p, uint64_t tokens);
/* Fills in the lines of a bill of so many tokens, as a loop does: as the first of its period. */
struct sim_words { /* what a bill borrows */
    struct price_facts facts;
    char text[FACTS_TEXT_BYTES];
};
void prices_bill(const struct sim_price *p, uint64_t tokens, struct ledger_settle *ret,
                 struct sim_words *words);
#endif
