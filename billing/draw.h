/* billing/draw.h -- which of a customer's funds pays, and in what order (billing rules 2.4).
 *
 * Restricted grants before free ones, grants before commitments, commitments before
 * prepaid money, and credit last; within a class by priority, then by what expires
 * first, then by age.  Amounts are in the fund's own unit: atoms, or units of a meter
 * for a free quota.  Pure: the caller brings the funds and the time and books what
 * comes back.  Any thread.
 */
#ifndef MAAS_DRAW_H
#define MAAS_DRAW_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fund_class { /* in the order in which they pay */
                  FUND_RESTRICTED_GRANT,
                  FUND_GRANT,
                  FUND_COMMITMENT,
                  FUND_PREPAID,
                  FUND_POSTPAID
};

struct fund {
    int64_t id; /* the caller's; the last tie-breaker */
    enum fund_class class;
    int64_t priority;   /* lower first */
    int64_t expires_us; /* from this instant on it pays nothing; 0: never */
    int64_t created_us;
    int64_t left; /* >= 0: what it can still pay; of FUND_POSTPAID: the credit that is left */
    bool applies; /* false: its restriction does not fit this usage */
};

/* Puts the funds into draw order; a total order, so equal inputs give equal outputs. */
void draw_sort(struct fund *funds, size_t count);

/* Takes `amount` >= 0 from sorted funds: taken[i] is what funds[i] pays, *ret_short what none
 * could.  Changes no fund.  BAD_FIELD: a negative amount or balance, or funds out of order. */
MUST_CHECK enum status draw_take(const struct fund *funds, size_t count, int64_t amount,
                                 int64_t now_us, int64_t *taken, int64_t *ret_short);

/* What a minimum commitment still asks for at the end of its term: committed - used, not
 * below 0.  BAD_FIELD: one of them is negative. */
MUST_CHECK enum status draw_shortfall(int64_t committed, int64_t used, int64_t *ret);
#endif
