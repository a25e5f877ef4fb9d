/* gateway/stage_settle.c -- the bill is on disk before the last byte leaves. */
#include "gateway/ask_ledger.h"
#include "gateway/idempotency.h"
#include "gateway/request.h"
#include "gateway/retail.h"

static int64_t since_us(const struct request *r, int64_t at_ns)
{
    return (at_ns - r->started_ns) / 1000;
}

static enum verdict submit(struct request *r)
{
    struct ledger_settle *s = &r->ledger.settle; /* stage_meter has filled in the bill */
    s->op = (struct ledger_op){ .kind = LEDGER_SETTLE };
    s->rid = r->rid;
    s->project = r->key->payer_id;
    s->key = r->key->key_id;
    s->model_served = r->work.served->db_id;
    s->backend = r->work.backend ? r->work.backend->conf->db_id : 0;
    s->endpoint = r->target.row->endpoint;
    s->price_version = r->catalog->price_version;
    s->hold = r->work.hold;
    s->first_byte_us = r->work.first_byte_ns ? since_us(r, r->work.first_byte_ns) : -1;
    s->duration_us = since_us(r, request_now_ns(r));
    s->http_status = status_info(r->status)->http;
    s->checkpointed = r->work.checkpoint_ns != 0;
    s->idem = r->idem ? idempotency_keep(r) : NULL;
    s->is_resale = false;
    if (r->retail)
        retail_settle(r);
    return ask_ledger(r, &s->op);
}

enum verdict stage_settle(struct request *r)
{
    if (r->asked == ASKED_NOT)
        return submit(r);
    if (r->asked == ASKED_WAITING)
        return WAIT;
    r->asked = ASKED_NOT;
    if (r->ledger.settle.op.status == STATUS_OK) {
        r->money = MONEY_SETTLED;
        COUNT(&r->loop->counters, settled);
        return NEXT;
    }
    r->money = MONEY_LEFT;
    COUNT(&r->loop->counters, left_to_recovery);
    return request_fail(r, STATUS_STORE_FAILED, NULL, NULL);
}
