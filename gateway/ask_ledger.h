/* gateway/ask_ledger.h -- a request waits for the ledger or the reader thread, and
 * is woken on its own loop.  What is for the ledger goes there at the end of a turn (handover.h). */
#ifndef MAAS_ASK_LEDGER_H
#define MAAS_ASK_LEDGER_H
#include "billing/ledger.h"
#include "gateway/pipeline.h"

struct loop;
struct request;

/* r->ledger's operation goes to the ledger; the stage runs again, with r->asked ==
 * ASKED_ANSWERED, when it is done.  Returns WAIT. */
enum verdict ask_ledger(struct request *r, struct ledger_op *op);
/* The end of a turn.  True: something is kept, and the loop may not sleep before its next one. */
bool ask_ledger_hand_over(struct loop *l);
/* Any thread: wakes a request that is ASKED_WAITING. */
void ask_answered(struct request *r);

#endif
