/* gateway/judgement.h -- what of a request is billed, and by whose word. */
#ifndef MAAS_JUDGEMENT_H
#define MAAS_JUDGEMENT_H
#include "base/usage.h"
#include "billing/names.h"
#include "gateway/delivery.h"

struct request;

struct judgement {
    enum outcome outcome;
    enum evidence evidence;
    struct usage usage;
};

/* The three of them only where r->work.recount has counted both sides. */

/* Row 11: what was reported, but no more than the gateway can understand; both numbers are noted. */
void recount_compare(struct request *r, struct judgement *j);
/* Row 9: what no backend has reported is what the gateway counted.  After recount_compare. */
void recount_fill(const struct request *r, struct judgement *j);
/* Rows 13, 14 and 16: input, and what was sent, by the count.  False: it was not to be counted. */
bool recount_sent(struct request *r, const struct progress *sent, struct judgement *j);
#endif
