/* gateway/hold_more.c -- see hold_more.h. */
#include "gateway/hold_more.h"
#include "billing/running.h"
#include "gateway/kind.h"
#include "gateway/request.h"
#include "gateway/retail.h"
#include "gateway/stream.h"
#include <assert.h>

enum { LEAD = 4 }; /* asked for when less than that part of a step is left */

struct hold_more { /* in the request's arena */
    struct ledger_more op;
    struct ledger_more resale; /* of the second leg, where there is one */
    struct loop_message back;
    struct request *request;
    uint64_t step; /* tokens that were asked for */
    bool asked;
    enum status refused; /* there is no more, and why */
};

enum status hold_more_begin(struct request *r)
{
    uint64_t first = r->snapshot->conf->stream_hold_tokens;
    bool asks = kind_of(r->target.row->capability)->output == OUTPUT_ASKED;
    r->work.output_most = r->bound.output_tokens_max;
    if (!first || !asks || !r->ask.stream || r->ask.generated != 1 ||
        r->bound.output_tokens_max <= first)
        return STATUS_OK;
    r->work.more = arena_alloc(r->arena, sizeof *r->work.more);
    if (!r->work.more)
        return STATUS_NO_MEMORY;
    r->work.more->request = r;
    r->bound.output_tokens_max = first;
    return STATUS_OK;
}

/* As the backend counts; when it does not, an event is a token. */
static uint64_t used(const struct request *r)
{
    const struct progress *p = &r->work.delivery.added;
    return p->counted ? p->text + p->reasoning : p->events;
}

static bool is_spent(const struct request *r)
{
    return used(r) >= r->bound.output_tokens_max;
}

bool hold_more_blocks(const struct request *r)
{
    return r->work.more && r->work.more->asked && is_spent(r);
}

bool hold_more_ended(const struct request *r)
{
    return r->work.more && r->work.more->refused && is_spent(r);
}

/* ---- the ledger's answer ------------------------------------------------------------------- */

static void granted(struct request *r)
{
    struct hold_more *m = r->work.more;
    r->bound.output_tokens_max += m->step;
    r->work.hold.atoms += m->op.more.atoms;
    if (r->retail)
        r->retail->held.hold.atoms += m->resale.more.atoms;
}

static void answered(struct loop *l, struct loop_message *message)
{
    struct hold_more *m = (struct hold_more *)((char *)message - offsetof(struct hold_more, back));
    struct request *r = m->request;
    assert(r->loop == l && m->asked);
    m->asked = false;
    if (m->op.op.status == STATUS_OK)
        granted(r);
    else
        m->refused = m->op.op.status;
    stream_pace(r);
    if (r->state == S_METER)
        request_resume(r);
}

static void on_ledger_done(struct ledger_op *op)
{
    struct hold_more *m = (struct hold_more *)op;
    m->back.run = answered;
    loop_post(m->request->loop, &m->back);
}

/* ---- asking -------------------------------------------------------------------------------- */

/* What so many output tokens more can cost, of the model in the catalog of either leg. */
static enum status price_of(struct request *r, const struct catalog_model *model, uint64_t tokens,
                            money_t *ret)
{
    struct price_list prices = facts_prices(r, model);
    struct price_bound next = r->bound;
    money_t now, then;
    next.output_tokens_max += tokens;
    enum status s = price_upper_bound(&prices, &r->bound, &now);
    if (!s)
        s = price_upper_bound(&prices, &next, &then);
    if (!s)
        ret->atoms = then.atoms - now.atoms;
    return s;
}

static void submit(struct request *r, money_t more, money_t retail)
{
    struct hold_more *m = r->work.more;
    m->op.op = (struct ledger_op){ .kind = LEDGER_MORE, .done = on_ledger_done };
    m->op.rid = r->rid;
    m->op.project = r->key->payer_id;
    m->op.model = r->model->db_id;
    m->op.leg++;
    m->op.held = r->work.hold;
    m->op.more.atoms = more.atoms ? more.atoms : 1; /* free for the reseller alone */
    if (r->retail) {
        m->resale = (struct ledger_more){ .project = r->key->project_id,
                                          .model = r->model->db_id,
                                          .held = r->retail->held.hold,
                                          .more = retail };
        m->op.resale = &m->resale;
    }
    m->asked = true;
    ledger_submit(r->loop->daemon->ledger, &m->op.op);
}

static void ask(struct request *r)
{
    struct hold_more *m = r->work.more;
    uint64_t left = r->work.output_most - r->bound.output_tokens_max;
    money_t more, retail = { 0 };
    m->step = r->snapshot->conf->stream_hold_tokens;
    if (!m->step || m->step > left) /* 0: the setting was changed meanwhile */
        m->step = left;
    enum status s = price_of(r, r->model, m->step, &more);
    if (!s && r->retail)
        s = price_of(r, retail_model(r, r->model), m->step, &retail);
    if (s)
        m->refused = s;
    else if (more.atoms == 0 && retail.atoms == 0)
        r->bound.output_tokens_max += m->step;
    else
        submit(r, more, retail);
}

static bool has_more(const struct request *r)
{
    return r->bound.output_tokens_max < r->work.output_most;
}

enum status hold_more_look(struct request *r)
{
    const struct hold_more *m = r->work.more;
    uint64_t lead = r->snapshot->conf->stream_hold_tokens / LEAD;
    if (used(r) + lead < r->bound.output_tokens_max || !has_more(r))
        return STATUS_OK;
    if (!m->asked && !m->refused)
        ask(r);
    stream_pace(r);
    return is_spent(r) ? m->refused : STATUS_OK;
}

bool hold_more_last(struct request *r)
{
    const struct hold_more *m = r->work.more;
    if (!m)
        return false;
    const struct usage *u = &r->work.end.usage;
    uint64_t told = usage_sum(u, METER_BIT(OUTPUT_TEXT) | METER_BIT(OUTPUT_REASONING));
    if (!m->asked && !m->refused && r->status == STATUS_OK && has_more(r) &&
        told > r->bound.output_tokens_max)
        ask(r);
    return m->asked;
}
