/* gateway/hold_more.h -- the hold of a stream that grows with it.
 *
 * With stream_hold_tokens a stream holds its input and so many output tokens at first, not
 * all that max_tokens allows; before these are used up, the next ones are held (billing/
 * running.h); of what is resold for both legs at once.  When the budget (of either) has no
 * more, the answer ends where the hold ends: finish_reason "length", an error event, and the
 * bill of what was held.  Nothing is billed that is not held: what a backend already had on its
 * way while the ledger answered (it is held back meanwhile) is sent, and is the operator's; it
 * is counted and logged as beyond the bound.
 */
#ifndef MAAS_HOLD_MORE_H
#define MAAS_HOLD_MORE_H
#include "base/status.h"
#include <stdbool.h>

struct request;

/* Before the hold: lowers the bound to the first part.  Nothing to do for most requests. */
MUST_CHECK enum status hold_more_begin(struct request *r);
/* Before an event is sent, when r->work.more: OK, or why the answer ends here. */
MUST_CHECK enum status hold_more_look(struct request *r);
/* All that is held was sent, and the ledger has not yet said whether there is more. */
bool hold_more_blocks(const struct request *r);
/* The answer was ended by hold_more_look. */
bool hold_more_ended(const struct request *r);
/* Before the bill: holds what the backend says at its end beyond what it had counted.  True: the
 * ledger has still to answer, and the bill waits for it. */
MUST_CHECK bool hold_more_last(struct request *r);

#endif
