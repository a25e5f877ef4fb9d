/* gateway/handover.h -- what the requests of one loop have for the ledger, kept for a moment.
 *
 * A commit costs much and an operation in it little, so a loop does not hand over one by one: as long
 * as each of its turns brings another operation it gathers them, for a few turns and without ever
 * sleeping on them.  A loop with little to do hands over at once.  Pure; one loop's thread. */
#ifndef MAAS_HANDOVER_H
#define MAAS_HANDOVER_H
#include "base/mpsc.h"

enum { HANDOVER_OPS_MAX = 64, HANDOVER_TURNS_MAX = 8 };

struct handover {
    struct mpsc_node *newest, *oldest; /* linked from the newest on; NULL: nothing is kept */
    unsigned ops, ops_before,
        turns; /* ops_before: at the end of the turn before; turns: kept so long */
};

static inline void handover_add(struct handover *h, struct mpsc_node *op)
{
    op->next = h->newest;
    if (!h->newest)
        h->oldest = op;
    h->newest = op;
    h->ops++;
}

/* At the end of a turn of a loop with so many requests, if anything is kept.  False: the next turn may
 * bring more, since this one did and not all requests wait here already. */
static inline bool handover_is_due(struct handover *h, unsigned requests)
{
    bool due = h->ops == h->ops_before || h->ops >= requests || h->ops >= HANDOVER_OPS_MAX ||
               h->turns >= HANDOVER_TURNS_MAX;
    h->ops_before = h->ops;
    h->turns++;
    return due;
}
#endif
