/* billing/net.h -- from exact atoms to what stands on a document: lines, then taxes.
 *
 * Pure arithmetic: no store, no clock, any thread.  Amounts of a document are in minor
 * units (cents; `digits` of them after the point, 0 to MONEY_ATOM_EXP).  A function
 * that fails leaves its output untouched: BILLING_OVERFLOW when a result is beyond
 * what money can hold, BAD_FIELD when an argument is none.
 */
#ifndef MAAS_NET_H
#define MAAS_NET_H
#include "base/money.h"

/* R6: ties go away from zero unless the legal entity's books say to even. */
enum net_rounding { NET_HALF_UP, NET_HALF_EVEN };

struct net_line {
    int64_t minor;          /* what the line asks for */
    int64_t rounding_atoms; /* minor, in atoms, less the exact amount: for the rounding account */
};

/* One line, rounded once (R6).  The net of a document is the sum of its lines (R7). */
MUST_CHECK enum status net_line(money_t exact, int digits, enum net_rounding rounding,
                                struct net_line *ret);

/* The categories of EN 16931 (UNCL5305), and AA. */
struct tax_kind {
    const char *category;
    bool free; /* no tax is taken, and a document says why: */
    const char *text;
};
/* NULL: there is no such category. */
const struct tax_kind *tax_kind_find(const char *category);

struct tax_line {
    const char *category; /* "S", "Z"; borrowed */
    int64_t basis_points; /* 600: 6 % */
    int64_t net_minor;
};

struct tax_group {
    const char *category; /* borrowed from the first line of it */
    int64_t basis_points;
    int64_t net_minor, tax_minor;
};

enum { TAX_GROUPS_MAX = 32 };

/* R8: one tax for each category and rate, on the sum of its nets, ties away from zero.
 * The groups come in the order of category, then rate.  BAD_FIELD: a rate outside
 * 0 to 10000, or more than TAX_GROUPS_MAX groups. */
MUST_CHECK enum status tax_groups(const struct tax_line *lines, size_t count,
                                  struct tax_group groups[static TAX_GROUPS_MAX],
                                  unsigned *ret_count);
#endif
