/* gateway/order_body.h -- the body as one backend gets it. */
#ifndef MAAS_ORDER_BODY_H
#define MAAS_ORDER_BODY_H
#include "base/status.h"

struct request;

/* Fills in r->work.body, .body_memory and .format for r->work.route; what an earlier attempt left
 * there is freed.  OK or NO_MEMORY. */
MUST_CHECK enum status order_body(struct request *r);

#endif
