/* billing/alert.h -- money that runs low is noticed where it is spent, once.
 *
 * The end of a batch compares what each project and organisation that paid has spent
 * with the amount at which its next threshold lies; nothing is compared per request.
 * What is crossed becomes a row of `alert`, and one of `alert_delivery` for each
 * webhook that takes it, in the transaction of the settlements that crossed: a crash
 * loses both or none.  A row is unique by its limit and its round (schema/0021.sql),
 * so whoever looks twice writes once: after a start, a change of limits, a new period
 * or a rollback everything is simply looked at again.
 *
 * The ledger thread's alone, inside its transaction.
 */
#ifndef MAAS_ALERT_H
#define MAAS_ALERT_H
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct books;
struct budget;
struct catalog_alerts;
struct ledger;
struct purse;

struct alert_watch {                     /* zeroed: nobody wants alerts */
    const struct catalog_alerts *wanted; /* lent until the next alert_want */
    void (*recorded)(void *arg);         /* on the ledger thread, after the commit */
    void *arg;
    bool sweep;  /* all have to be looked at in the next batch */
    bool swept;  /* and were, in this one */
    bool failed; /* that went wrong: it comes with the next batch that has other work */
    bool news;   /* something was recorded in this batch */
};

/* From now on; `wanted` NULL, or without webhooks: nothing is recorded. */
void alert_want(struct books *b, const struct catalog_alerts *wanted, void (*recorded)(void *arg),
                void *arg);
/* The same, inside a ledger_call: lent until the next such call is committed, or the ledger closed. */
void ledger_want_alerts(struct ledger *l, const struct catalog_alerts *wanted,
                        void (*recorded)(void *arg), void *arg);
/* Limits have changed. */
void alert_look_again(struct books *b);
bool alert_waits(const struct books *b); /* for a batch, and none may come by itself */

/* Of one that has paid in this batch, when its sums are written: false costs a comparison. */
bool alert_budget_due(const struct budget *p);
bool alert_purse_due(struct purse *o);
MUST_CHECK enum status alert_budget(struct books *b, struct budget *p);
MUST_CHECK enum status alert_purse(struct books *b, struct purse *o);

/* A request was refused: NO_QUOTA, or what failed while it was noted. */
MUST_CHECK enum status alert_budget_stop(struct books *b, struct budget *p);
MUST_CHECK enum status alert_purse_stop(struct books *b, struct purse *o);

/* The last word of a batch, and how it ended. */
MUST_CHECK enum status alert_sweep(struct books *b);
void alert_committed(struct books *b);
void alert_rolled_back(struct books *b);
#endif
