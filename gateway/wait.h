/* gateway/wait.h -- a request that waits until a backend has room.
 *
 * It waits for several backends of its model at once, with a place in the queue of
 * each, and is called by the first that can take it; the call it makes then is
 * already counted there.  The wait ends, at the latest, when the patience of the
 * backends (queue_timeout_ms) or the request's own time does, when it loses its last
 * place to a project that waits with less, or when none of the backends could take it
 * any more.  Loop thread of the request, but for wait_offer.
 */
#ifndef MAAS_WAIT_H
#define MAAS_WAIT_H
#include "gateway/loop.h"
#include "gateway/standing.h"

struct request;
struct waiter;

enum wait_end { WAIT_CALLED, WAIT_AGAIN, WAIT_EVICTED, WAIT_EXPIRED };

/* Would it find a place?  It has been found that no backend has room. */
bool wait_possible(struct request *r);
/* OK: it waits; its stage runs again when that has ended, with r->work.wait_end.
 * OVERLOADED: no place is left.  NO_MEMORY. */
MUST_CHECK enum status wait_begin(struct request *r);
/* The client has left.  True: the wait has ended now, run the stage. */
bool wait_leave(struct request *r);
/* Any thread: the backend may have room: calls who is next, as long as there is some. */
void wait_offer(struct roster *ro, struct standing *st, int64_t now_ns);

void wait_open(struct loop *l);

#endif
