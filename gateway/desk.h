/* gateway/desk.h -- a backend as one loop knows it: beside the driver's connection,
 * what was learned from its calls.  Loop thread; what is atomic may be read anywhere. */
#ifndef MAAS_DESK_H
#define MAAS_DESK_H
#include "backends/backend.h"
#include "backends/health.h"

struct generation;
struct loop;

struct desk {
    struct loop *loop;
    struct generation *lent; /* whose strings the driver borrows */
    unsigned snapshots;      /* that use it */
    struct health health;
    unsigned troubles; /* of the backend, when they were last told */
    uint32_t draining; /* calls that go on after their client has left */
};

static inline struct desk *desk_of(const struct backend *b)
{
    return b->owner;
}

/* Would a call be sent there now? */
bool desk_available(const struct backend *b, int64_t now_ms);
/* Logs why it cannot be reached, or that it can be again; once for each change. */
void desk_tell_trouble(const struct backend *b);

#endif
