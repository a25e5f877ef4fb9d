/* gateway/retail.h -- what the customer of a reseller pays, beside what the reseller does.
 *
 * A key of such a customer has a payer that is not its project (auth/keys.h): the reseller's twin.
 * r->catalog is at the reseller's prices; here is the second catalog, at what the reseller asks, and the
 * second leg of hold and settlement (billing/resale.h).  For any other key r->retail is NULL.
 */
#ifndef MAAS_RETAIL_H
#define MAAS_RETAIL_H
#include "billing/ledger.h"
#include "billing/price.h"

struct catalog;
struct catalog_model;
struct request;

struct retail { /* in the request's arena */
    const struct catalog *catalog;
    struct resale_hold held;
    struct ledger_settle bill;
    struct price_facts chosen_by;
    char facts[FACTS_TEXT_BYTES];
};

/* At what prices the caller buys: what lists and headers say. */
const struct catalog *retail_catalog(const struct request *r);
/* For stage_auth, of a key with a reseller: sets r->retail.  NO_MEMORY. */
MUST_CHECK enum status retail_begin(struct request *r);
/* For stage_hold: what the bound can cost.  Errors as price_upper_bound's. */
MUST_CHECK enum status retail_hold(struct request *r);
/* The same model at retail. */
const struct catalog_model *retail_model(const struct request *r, const struct catalog_model *m);
/* Meters that have a price on either side. */
uint32_t retail_priced(const struct request *r);
/* What chose the prices of m, for the bill; NULL: they are plain. */
const char *retail_facts(struct request *r, const struct catalog_model *m, int64_t context);
/* For stage_settle: the second leg, once the first is whole. */
void retail_settle(struct request *r);
#endif
