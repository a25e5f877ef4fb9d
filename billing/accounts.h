/* billing/accounts.h -- the accounts of an organisation in the double-entry ledger.
 *
 * An account's id is computed, so posting needs no lookup.  The codes are on disk
 * (account_kind in the schema): append only.  Debit > 0, credit < 0.
 */
#ifndef MAAS_ACCOUNTS_H
#define MAAS_ACCOUNTS_H
#include <assert.h>
#include <stdint.h>

/*    code  name              what its balance means */
#define ACCOUNT_MAP(X)                                                         \
    X(1, UNBILLED)         /* settled and not yet invoiced: owed */            \
    X(2, REVENUE)          /* */                                               \
    X(3, RECEIVABLE)       /* invoiced and not yet paid */                     \
    X(4, ROUNDING)         /* invoice lines less what they are exactly */      \
    X(5, TAX_PAYABLE)      /* */                                               \
    X(6, CUSTOMER_PROMO)   /* grants used: less revenue */                     \
    X(7, CUSTOMER_COMMIT)  /* bought commitment that is not used yet */        \
    X(8, CUSTOMER_PREPAID) /* topped up and not used yet */                    \
    X(9, DEFERRED_REVENUE) /* invoiced for a time that has not come */         \
    X(10, PARTNER_SHARE)   /* what owners of industry models earned: a cost */ \
    X(11, PARTNER_PAYABLE) /* and are owed */                                  \
    X(12, UPSTREAM_COST)   /* what backends cost */                            \
    X(13, UPSTREAM_PAYABLE)                                                    \
    X(14, GOODWILL) /* cost without revenue: retries, drained answers */       \
    X(15, WRITE_OFF)                                                           \
    X(16, BREAKAGE) /* funds that expired unused */                            \
    X(17, CASH)

enum account_code {
#define X(code, NAME) ACCOUNT_##NAME = code,
    ACCOUNT_MAP(X)
#undef X
};

enum { ACCOUNTS_PER_ORGANIZATION = 32 };

static inline int64_t account_id(int64_t organization, enum account_code code)
{
    assert(organization > 0);
    return ACCOUNTS_PER_ORGANIZATION * organization + code;
}
#endif
