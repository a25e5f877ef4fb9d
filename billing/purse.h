/* billing/purse.h -- what an organisation can pay with: its funds, then its credit.
 *
 * The ledger thread's alone, rebuilt from rows at start.  A hold earmarks: it takes
 * what it needs out of funds in the order of drawing and the rest out of credit,
 * and is refused unless all of it is there.  So a settlement, never more than its
 * hold, is always covered, and N holds against a fund for one admit exactly one.
 *
 * Order of drawing (reference/billing.md 2.4): promo, commit, prepaid; inside of a
 * kind what is for one model (and serves that alone) first, then by priority, expiry, age.
 * One request draws on at most DRAWS_MAX funds; the rest of it is credit.
 */
#ifndef MAAS_PURSE_H
#define MAAS_PURSE_H
#include "billing/marks.h"
#include "billing/zone.h"

struct db;

enum fund_kind { FUND_PROMO, FUND_COMMIT, FUND_PREPAID, FUND_KINDS };

struct fund {
    int64_t id, model; /* model: the id of its name; 0: any */
    int64_t period;    /* that includes it in its subscription; 0: none */
    enum fund_kind kind;
    int64_t from_us, to_us;
    int64_t left;  /* atoms: the amount less what was drawn, has expired or is earmarked */
    int64_t drawn; /* in this batch: its row has to follow */
};

struct purse {               /* of one organisation; all money in atoms */
    int64_t organization;    /* 0: an empty slot */
    int64_t contract;        /* in force */
    const struct zone *zone; /* of the contract; the table's */
    int64_t credit_limit, credit_used, credit_held;
    int64_t period, period_from_us, period_to_us; /* period 0: its row is not known yet */
    struct fund *funds;                           /* in the order of drawing */
    unsigned fund_count;
    int64_t posts[FUND_KINDS],
        on_credit;        /* settled in this batch and not in the double entry yet */
    int64_t cost, wasted; /* of backends' work, likewise; wasted: of the cost */
    bool unposted;
    struct purse *next_unposted;
    /* When so much credit is used, so much drawn on prepaid funds, alert.h looks again; 0: it has
     * not looked. */
    int64_t credit_alert_at, prepaid_to_alert;
    bool stop_noted; /* that a request was refused */
};

struct purses { /* open addressing by organisation; an address changes only in purses_load */
    struct purse *slots;
    size_t room, count;
    struct marks marks;
    struct zone **zones; /* those that contracts name */
    size_t zone_count;
    int64_t next_change_us; /* when the next contract begins: load again */
};

void purses_free(struct purses *p);
/* A batch was rolled back: nothing of it is to be posted, and the row of a period may be gone. */
void purses_forget_batch(struct purses *p);
/* Organisations, the contracts in force at now_us, funds and balances, from the rows; after a
 * start, and after each change by administration.  What is held and earmarked stays so. */
MUST_CHECK enum status purses_load(struct purses *p, struct db *db, int64_t now_us);
struct purse *purse_find(struct purses *p, int64_t organization); /* NULL: no such organisation */

/* The same for one organisation, inside a batch of which all is posted. */
MUST_CHECK enum status purse_load(struct purses *p, struct db *db, int64_t now_us,
                                  int64_t organization);
/* Enters the period that now_us lies in, when that is another one than before: its row is not
 * known then. */
void purse_enter_period(struct purse *o, int64_t now_us);

void purse_forget_alerts(struct purse *o);

/* Where a hold would come from; nothing is taken.  NO_QUOTA: it is not covered. */
MUST_CHECK enum status purse_plan(const struct purse *o, int64_t model, int64_t atoms,
                                  int64_t now_us, struct draws *ret);
/* Takes what purse_plan found.  NO_MEMORY: nothing was taken. */
MUST_CHECK enum status purse_hold(struct purses *p, struct purse *o, rid_t rid,
                                  const struct draws *d);
/* Takes what purse_plan found for another part of a hold of `atoms`.  NO_QUOTA: it would draw on
 * more than DRAWS_MAX funds; NO_MEMORY; nothing was taken. */
MUST_CHECK enum status purse_hold_more(struct purses *p, struct purse *o, rid_t rid, int64_t atoms,
                                       const struct draws *d, struct draws *ret_before);
void purse_unhold_more(struct purses *p, struct purse *o, rid_t rid, const struct draws *d,
                       const struct draws *before);
/* Gives back what the hold of `atoms` took. */
void purse_unhold(struct purses *p, struct purse *o, rid_t rid, int64_t atoms);

/* What pays `amount` out of what the hold of `atoms` took; nothing is taken. */
void purse_quote(const struct purses *p, rid_t rid, int64_t atoms, int64_t amount,
                 struct draws *ret_held, struct draws *ret_paid);
/* Pays it, and gives back the rest of the hold. */
void purse_settle(struct purses *p, struct purse *o, rid_t rid, const struct draws *held,
                  const struct draws *paid);
void purse_unsettle(struct purses *p, struct purse *o, rid_t rid, const struct draws *held,
                    const struct draws *paid);
#endif
