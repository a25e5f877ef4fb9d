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
    handover_add(&r->loop->to_ledger, &op->node);
    return WAIT;
}

bool ask_ledger_hand_over(struct loop *l)
{
    struct handover *h = &l->to_ledger;
    if (!h->newest)
        return false;
    if (!handover_is_due(h, l->request_count))
        return true;
    ledger_submit_all(l->daemon->ledger, h->newest, h->oldest);
    *h = (struct handover){ 0 };
    return false;
}
