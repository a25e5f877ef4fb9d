/* billing/contract.h -- the terms under which an organisation pays.
 *
 * A contract is a row that is never changed; the next one takes over at its start.
 * Its plan is canonical JSON with these members, all optional:
 *
 *   fee, fee_every           a subscription: "300.00" each "month" (default) or "year"
 *   included                 usage worth so much is paid by the fee, each period
 *   rollover_basis_points    how much of an unused `included` is carried into the next one
 *   minimum                  what a period costs at least; the shortfall is charged
 *   reserved                 [{"text","hourly","units"}]: capacity that costs by the hour
 *   payment_days             when an invoice is due; 30
 *   approval                 a draft is issued only after it was approved
 *   tax_category, tax_basis_points    instead of the seller's (net.h: S, Z, E, AE, O ...)
 */
#ifndef MAAS_CONTRACT_H
#define MAAS_CONTRACT_H
#include "base/money.h"
#include <jansson.h>
#include <stdbool.h>

struct db;

enum { PLAN_RESERVED_MAX = 8, PLAN_TEXT_BYTES = 80 };

struct plan {
    money_t fee, included, minimum; /* 0: none */
    bool yearly;                    /* the fee is for a year */
    int64_t rollover_basis_points;
    struct reserved {
        char text[PLAN_TEXT_BYTES];
        money_t hourly;
        int64_t units;
    } reserved[PLAN_RESERVED_MAX];
    unsigned reserved_count;
    int64_t payment_days;
    bool approval;
    char tax_category[4];
    int64_t tax_basis_points; /* < 0: the seller's, or 0 in a category without tax */
};

struct contract {
    int64_t id, organization, starts_us;
    char time_zone[64];
    int64_t credit_atoms; /* MONEY_ATOMS_MAX: no limit of its own */
    struct plan plan;
};

/* Of a plan's JSON.  BAD_FIELD, MISSING_FIELD or UNSUPPORTED_FIELD: what is wrong is in `err`. */
MUST_CHECK enum status plan_read(const json_t *plan, struct plan *ret, char err[static 256]);

/* The contract in force at an instant.  NOT_FOUND: none had begun. */
MUST_CHECK enum status contract_at(struct db *db, int64_t organization, int64_t us,
                                   struct contract *ret);

/* What changes; the rest is as in the contract in force at starts_us.  NULL, and < 0: as it was. */
struct contract_change {
    int64_t starts_us;
    const char *time_zone;
    int64_t credit_atoms;
    const json_t *plan; /* members here replace those of the old plan; null takes one away */
};
/* BAD_FIELD with a sentence in `err`, also for a start in the past; CONFLICT: another contract begins at that instant or later, or
 * usage was counted in months of another time zone.  Inside a ledger_call. */
MUST_CHECK enum status contract_change(struct db *db, int64_t organization,
                                       const struct contract_change *c, int64_t now_us,
                                       char err[static 256]);
/* [{"starts","time_zone","credit","plan"}], newest first. */
MUST_CHECK enum status contract_list(struct db *db, int64_t organization, json_t **ret);
#endif
