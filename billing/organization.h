/* billing/organization.h -- who pays: organisations and their contracts, as rows.
 *
 * Runs on the ledger thread inside its transaction (a ledger_call); afterwards
 * ledger_reload_projects makes memory follow.
 */
#ifndef MAAS_ORGANIZATION_H
#define MAAS_ORGANIZATION_H
#include "base/status.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct db;

struct organization_new {
    const char *slug, *display_name; /* slug: [a-z0-9-]{1,63} */
    const char *buyer_name, *buyer_address, *buyer_tax_id, *po_number,
        *buyer_reference; /* for documents; may be "" */
    int64_t reseller;     /* from whom it buys, for good; 0: from the operator */
};
/* With a first contract: postpaid without a limit of its own, months of UTC, the list's prices.
 * CONFLICT: it exists; BAD_FIELD: no slug; FORBIDDEN: the reseller is somebody's customer itself. */
MUST_CHECK enum status organization_create(struct db *db, const struct organization_new *o,
                                           int64_t now_us, int64_t *ret_id);
/* [{"slug","display_name","buyer_name","reseller","projects","credit","funds_left","unbilled","receivable"}] */
MUST_CHECK enum status organization_list(struct db *db, int64_t now_us, json_t **ret);
/* Of a reseller. */
MUST_CHECK enum status organization_is_customer(struct db *db, int64_t organization, bool *ret);
MUST_CHECK enum status organization_find(struct db *db, const char *slug, int64_t *ret_id);
#endif
