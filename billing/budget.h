/* billing/budget.h -- how much a project may still spend: the first gate of a hold.
 *
 * The second one is its organisation's purse.  In memory, because the ledger thread
 * decides every hold in turn: N requests against a budget for one admit exactly
 * one.  Rebuilt from rows at start.  What a batch did is taken back by the opposite
 * call when its commit fails.
 */
#ifndef MAAS_BUDGET_H
#define MAAS_BUDGET_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

struct budget {      /* of one project; all money in atoms */
    int64_t project; /* 0: an empty slot */
    int64_t organization;
    int64_t limit;
    bool monthly; /* the limit is for a billing period; else for ever */
    int64_t spent_month, spent_total, held;
    int64_t period_from_us; /* which period spent_month is of */
    int64_t unposted;       /* settled in this batch and not yet in its row */
    struct budget *next_unposted;
    int64_t alert_at; /* when so much is spent alert.h looks again; 0: it has not looked */
    bool stop_noted;  /* that a request was refused */
};

struct budgets { /* open addressing by project id; a slot's address changes only in budgets_load */
    struct budget *slots;
    size_t room, count;
};

void budgets_free(struct budgets *b);
/* New projects and new limits from the rows; what is spent and held stays. */
MUST_CHECK enum status budgets_load(struct budgets *b, struct db *db);
/* What was spent so far, and in the period that now_us lies in; once, after budgets_load. */
MUST_CHECK enum status budgets_load_spent(struct budgets *b, struct db *db, int64_t now_us);

struct budget *budget_find(struct budgets *b, int64_t project); /* NULL: no such project */
/* In another period than before nothing is spent yet. */
void budget_enter_period(struct budget *b, int64_t period_from_us);
void budget_forget_alerts(struct budget *b);
bool budget_admits(const struct budget *b, int64_t atoms);    /* nothing is held */
MUST_CHECK bool budget_hold(struct budget *b, int64_t atoms); /* false: not covered */
void budget_unhold(struct budget *b, int64_t atoms);
void budget_settle(struct budget *b, int64_t hold, int64_t amount);
void budget_unsettle(struct budget *b, int64_t hold, int64_t amount);
#endif
