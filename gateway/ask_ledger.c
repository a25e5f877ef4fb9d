/* gateway/ask_ledger.c -- see ask_ledger.h. */
#include "gateway/ask_ledger.h"
#include "gateway/request.h"
#include <assert.h>
#include <stddef.h>

static void wake(struct loop *l, struct loop_message *m)
{
    struct request *r = (struct request *)((char *)m - offsetof(struct request, message_back));
    assert(r->loop == l && r->asked == ASKED_WAITING);
    r->asked = ASKED_ANSWERED;
    request_resume(r);
}

void ask_answered(struct request *r)
{
    r->message_back.run = wake;
    loop_post(r->loop, &r->message_back);
}

static void on_ledger_done(struct ledger_op *op)
{
    ask_answered((struct request *)((char *)op - offsetof(struct request, ledger)));
}

enum verdict ask_ledger(struct request *r, struct ledger_op *op)
{
    op->done = on_ledger_done;
    r->asked = ASKED_WAITING;
    ledger_submit(r->loop->daemon->ledger, op);
    return WAIT;
}
