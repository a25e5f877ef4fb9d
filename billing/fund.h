/* billing/fund.h -- grants, commitments and top-ups: how money comes into a purse.
 *
 * Inside a ledger_call; afterwards ledger_reload_projects.  A top-up is cash that
 * the customer is owed usage for; a commitment is owed by the customer from now on
 * and stands on the next invoice; a grant is a gift and is posted when it is used.
 */
#ifndef MAAS_FUND_H
#define MAAS_FUND_H
#include "base/money.h"
#include <jansson.h>
#include <stdbool.h>

struct db;
struct marks;

struct fund_new {
    int64_t organization;
    const char *kind;  /* promo, commit, prepaid */
    const char *model; /* id of the one model it is for; "" any */
    const char *note;  /* a payment's reference, an order ...; may be "" */
    money_t amount;    /* > 0 */
    int64_t priority;
    int64_t from_us, to_us; /* to_us INT64_MAX: never expires */
};
/* BAD_FIELD: no such kind, no amount, no time. */
MUST_CHECK enum status fund_add(struct db *db, const struct fund_new *f, int64_t now_us,
                                int64_t *ret_id);

struct charge_new {
    int64_t organization;
    const char *kind;         /* subscription, commitment, minimum, reserved, other */
    const char *text;         /* for the invoice's line */
    money_t amount;           /* > 0 */
    int64_t at_us;            /* the period in which it lies is the one it is invoiced for */
    int64_t fund;             /* that it bought; 0: none */
    bool deferred;            /* for a year, earned month by month */
    const char *tax_category; /* NULL, and < 0: those of the contract */
    int64_t tax_basis_points;
};
/* Owed from now on.  CONFLICT: the period it lies in is closed. */
MUST_CHECK enum status charge_add(struct db *db, const struct charge_new *c, int64_t now_us);

/* What is left of funds whose time is over, and is not earmarked, becomes breakage.  Repeatable:
 * what was earmarked and came back expires with the next call.  Those of the organisation that are
 * used up are not looked at any more. */
MUST_CHECK enum status funds_expire(struct db *db, const struct marks *marks, int64_t organization,
                                    int64_t now_us);

/* [{"id","kind","amount","drawn","expired","left","model","priority","from","to","note","state"}]; state: later,
 * now, or over, of which what is left is breakage with the next period that begins. */
MUST_CHECK enum status fund_list(struct db *db, int64_t organization, int64_t now_us, json_t **ret);
#endif
