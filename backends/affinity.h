/* backends/affinity.h -- the same conversation to the same backend.  Pure.
 *
 * Every conversation, told by a key, has its own order of a rung's backends
 * (weighted rendezvous hashing): its home is the first, and a backend that is added
 * or removed moves only the conversations whose home it becomes or was.  A backend
 * is passed over while it has no room, or while it runs more than its share by a
 * quarter and AFFINITY_SLACK calls, so that no home is crowded.
 */
#ifndef MAAS_AFFINITY_H
#define MAAS_AFFINITY_H
#include "backends/route.h"

enum { AFFINITY_SLACK = 4 };

/* As route_choose.  *ret_home: it is the conversation's first choice of those that could. */
int affinity_choose(const struct route_view *v, uint64_t key, bool *ret_home);

#endif
