/* gateway/stage_hold.c -- the most it can cost is reserved, on disk, before any
 * backend sees a byte. */
#include "gateway/ask_ledger.h"
#include "gateway/hold_more.h"
#include "gateway/idempotency.h"
#include "gateway/kind.h"
#include "gateway/recount.h"
#include "gateway/request.h"
#include "gateway/retail.h"

static enum verdict submit(struct request *r)
{
    struct ledger_hold *h = &r->ledger.hold;
    money_t most;
    enum status s = hold_more_begin(r);
    if (s == STATUS_OK)
        s = facts_take(r);
    if (s == STATUS_OK) {
        struct price_list prices = facts_prices(r, r->model);
        s = price_upper_bound(&prices, &r->bound, &most);
    }
    if (s == STATUS_OK && r->retail)
        s = retail_hold(r);
    if (s != STATUS_OK)
        return request_fail(r, s, "model", NULL);
    if (r->in.idempotency_headers && idempotency_begin(r) != NEXT)
        return FAIL;
    *h = (struct ledger_hold){
        .op = { .kind = LEDGER_HOLD },
        .rid = r->rid,
        .project = r->key->payer_id,
        .key = r->key->key_id,
        .model = r->model->db_id,
        .endpoint = r->target.row->endpoint,
        .price_version = r->catalog->price_version,
        .estimate_in = (int64_t)r->bound.input_tokens_max,
        .max_out = r->ask.max_out,
        .n = r->ask.n,
        .hold = most,
        .accepted_us = r->accepted_us,
        .idem = r->idem,
        .resale = r->retail ? &r->retail->held : NULL,
    };
    r->work.hold = most;
    return ask_ledger(r, &h->op);
}

/* However its backend counts, it cannot be read. */
static bool too_long(const struct request *r, const struct recounted *c)
{
    return r->target.row->capability == CAP_CHAT && c->input_whole &&
           c->input > r->model->context_length + recount_tolerance(r, c->input);
}

/* Where the operator wants it, the input is what the gateway counts and by how much a backend's
 * number may differ: more is not billed (judgement.h).  A parent that may answer has other words. */
static enum verdict bound_by_count(struct request *r)
{
    const struct catalog_model *m = r->model;
    if (recount_begin(r) != STATUS_OK)
        return request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
    if (m->tokenizer->hold != TOKENIZER_HOLD_COUNT || m->fallback_to_parent)
        return NEXT;
    if (recount_wait(r, RECOUNT_INPUT))
        return WAIT;
    const struct recounted *c = &r->work.recount->count;
    if (too_long(r, c))
        return request_fail(r, STATUS_CONTEXT_LENGTH, "messages",
                            "the messages have %llu tokens, the model '%s' reads at most %llu",
                            (unsigned long long)c->input, m->id,
                            (unsigned long long)m->context_length);
    uint64_t most = c->input + recount_tolerance(r, c->input);
    if (c->input_whole && most < r->bound.input_tokens_max)
        r->bound.input_tokens_max = most;
    return NEXT;
}

/* What is held may be far more than it will cost: who learns the number can ask for less.  Of what
 * is sold on, it is not the price of whoever asks. */
static enum verdict refuse_quota(struct request *r)
{
    char most[MONEY_TEXT_BYTES];
    COUNT(&r->loop->counters, refused_quota);
    if (r->retail)
        return request_fail(r, STATUS_NO_QUOTA, NULL,
                            "the project's budget, or what your organization or the one that it "
                            "buys from can pay, does not cover this request");
    bool asked = kind_of(r->target.row->capability)->output == OUTPUT_ASKED;
    return request_fail(r, STATUS_NO_QUOTA, NULL,
                        "the project's budget, or what your organization can pay, does not cover "
                        "this request, which may cost up to %s %s%s",
                        money_text(r->work.hold, 2, most), r->catalog->currency,
                        asked ? "; with a lower max_tokens it is less" : "");
}

enum verdict stage_hold(struct request *r)
{
    if (r->asked == ASKED_NOT && r->model->tokenizer) {
        enum verdict v = bound_by_count(r);
        if (v != NEXT)
            return v;
    }
    if (r->asked == ASKED_NOT)
        return submit(r);
    if (r->asked == ASKED_WAITING)
        return WAIT;
    r->asked = ASKED_NOT;
    enum status s = r->ledger.hold.op.status;
    if (s == STATUS_OK) {
        r->money = MONEY_HELD;
        COUNT(&r->loop->counters, held);
        return NEXT;
    }
    if (s == STATUS_CONFLICT && r->idem && r->idem->found != IDEM_NONE)
        return idempotency_known(r);
    if (s == STATUS_NO_QUOTA)
        return refuse_quota(r);
    r->answer.retry_after_ms = 5000;
    return request_fail(r, s, NULL, NULL);
}
