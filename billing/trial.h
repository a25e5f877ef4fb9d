/* billing/trial.h -- the trial balance of a legal entity: each kind of account over all whom it sells to.
 * Any connection; never writes. */
#ifndef MAAS_TRIAL_H
#define MAAS_TRIAL_H
#include "base/status.h"
#include <jansson.h>
#include <stdint.h>

struct db;

/* Of the operator (0), or of a reseller.  {"currency","accounts":[{"account","debit","credit"}],"debit",
 * "credit"}: those with a balance, exact; both sums are equal unless the store is wrong. */
MUST_CHECK enum status trial_balance(struct db *db, int64_t reseller, json_t **ret);
#endif
