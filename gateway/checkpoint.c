/* gateway/checkpoint.c -- see checkpoint.h.  Sent and forgotten: the operation owns itself. */
#include "gateway/checkpoint.h"
#include "billing/checkpoint.h"
#include "gateway/request.h"
#include <stdlib.h>

static void on_ledger_done(struct ledger_op *op)
{
    free(op); /* one that could not be written is followed by another */
}

/* In one piece with the second leg of the customer of a reseller. */
static struct ledger_checkpoint *make(const struct ledger_settle *t)
{
    struct ledger_checkpoint *c = malloc(sizeof *c + (t->resale ? sizeof *c->resale : 0));
    if (!c)
        return NULL;
    c->resale = t->resale ? (struct resale_checkpoint *)(c + 1) : NULL;
    if (c->resale) {
        c->resale->model = t->resale->model;
        c->resale->amount = t->resale->amount;
        lines_text(t->resale->lines, t->resale->line_count, t->resale->facts, c->resale->lines);
    }
    return c;
}

static void submit(struct request *r, const struct ledger_settle *t)
{
    struct ledger_checkpoint *c = make(t);
    if (!c)
        return;
    c->op = (struct ledger_op){ .kind = LEDGER_CHECKPOINT, .done = on_ledger_done };
    c->rid = r->rid;
    c->model = t->model;
    c->model_served = r->work.served->db_id;
    c->backend = r->work.backend->conf->db_id;
    c->first_byte_us = (r->work.first_byte_ns - r->started_ns) / 1000;
    c->amount = t->amount;
    lines_text(t->lines, t->line_count, t->facts, c->lines);
    r->work.checkpoint_ns = request_now_ns(r);
    r->work.checkpoint_events = r->work.delivery.sent.events;
    COUNT(&r->loop->counters, checkpoints);
    ledger_submit(r->loop->daemon->ledger, &c->op);
}

static bool is_time(const struct request *r)
{
    const struct work *w = &r->work;
    int64_t every_ns = (int64_t)r->snapshot->conf->stream_checkpoint_ms * 1000000;
    int64_t since_ns = w->checkpoint_ns ? w->checkpoint_ns : w->first_byte_ns;
    return every_ns && request_now_ns(r) - since_ns >= every_ns &&
           w->delivery.sent.events > w->checkpoint_events;
}

void checkpoint_tick(struct request *r)
{
    struct ledger_settle t;
    if (r->state == S_BACKEND && is_time(r) && meter_so_far(r, &t))
        submit(r, &t);
}
