/* billing/seller.h -- in whose name a document is issued: the operator's, or of the customers of a
 * reseller that one's.
 *
 * A reseller that has said nothing of itself stands on drafts by its buyer's name, without tax; nothing
 * is issued before it has a series.  Any connection, unless it says otherwise.
 */
#ifndef MAAS_SELLER_H
#define MAAS_SELLER_H
#include "billing/report.h"

struct db;

enum { SELLER_SERIES_BYTES_MAX = 20 };

struct seller_own { /* a reseller; without a name: none, the operator sells */
    struct seller is;
    char *name, *address, *tax_id, *series; /* owned */
};
void seller_clear(struct seller_own *s);

/* Who sells to the organization: `house`, or what is put into `own`, which is cleared also after an
 * error. */
MUST_CHECK enum status seller_to(struct db *db, int64_t organization, const struct seller *house,
                                 struct seller_own *own, const struct seller **ret);
/* Before anything gets a number.  MISSING_FIELD: the reseller has no series yet, or the operator no
 * name, without which it is no invoice (Directive 2006/112/EC, article 226); UNSUPPORTED_FIELD: the
 * operator's series is a reseller's. */
MUST_CHECK enum status seller_may_issue(struct db *db, const struct seller *house,
                                        const struct seller_own *own);

struct seller_change { /* what changes; NULL and < 0: as it was, at first as the buyer */
    const char *name, *address, *tax_id, *series;
    int64_t tax_basis_points;
};
/* Inside a ledger_call.  BAD_FIELD, MISSING_FIELD, CONFLICT: with a sentence. */
MUST_CHECK enum status seller_set(struct db *db, int64_t organization,
                                  const struct seller_change *c, const struct seller *house,
                                  int64_t now_us, char err[static 256]);
#endif
