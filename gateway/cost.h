/* gateway/cost.h -- what the calls of a request to backends cost the operator: the other side of
 * the path table (reference/billing.md 3.3).
 *
 * Only calls over a route whose cost is configured are noted; of all others not an instruction
 * more is spent than to see that.  Any loop thread; what is noted lies in the request's arena. */
#ifndef MAAS_COST_H
#define MAAS_COST_H
#include "base/usage.h"

struct request;

/* The call that has ended is followed by another one: whatever it cost is ours. */
void cost_lost(struct request *r);
/* For stage_meter, once the settlement has its outcome: the last call, and all of them into the
 * settlement.  `billed`: what the customer is judged to have had. */
void cost_take(struct request *r, const struct usage *billed);
#endif
