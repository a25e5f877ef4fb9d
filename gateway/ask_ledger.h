/* gateway/ask_ledger.h -- a request waits for the ledger or the reader thread, and
 * is woken on its own loop. */
#ifndef MAAS_ASK_LEDGER_H
#define MAAS_ASK_LEDGER_H
#include "billing/ledger.h"
#include "gateway/pipeline.h"

struct request;

/* Submits r->ledger's operation; the stage runs again, with r->asked ==
 * ASKED_ANSWERED, when it is done.  Returns WAIT. */
enum verdict ask_ledger(struct request *r, struct ledger_op *op);
/* Any thread: wakes a request that is ASKED_WAITING. */
void ask_answered(struct request *r);

#endif
