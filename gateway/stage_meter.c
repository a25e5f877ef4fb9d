/* gateway/stage_meter.c -- what was really used, and what of it is billed.
 *
 * The written rule (reference/billing.md 3.3), row by row in `judge`.  A client
 * that left or a backend that died costs what had reached the client's socket;
 * before the first token it costs nothing. */
#include "base/log.h"
#include "gateway/cost.h"
#include "gateway/judgement.h"
#include "gateway/checkpoint.h"
#include "gateway/choices.h"
#include "gateway/hold_more.h"
#include "gateway/kind.h"
#include "gateway/recount.h"
#include "gateway/request.h"
#include "gateway/retail.h"

/* What was sent when nobody counted: a token an event that carried output, a token
 * every four bytes asked.  Both err in the customer's favour. */
static struct usage estimated(const struct request *r, const struct progress *sent)
{
    struct usage u = { .present = 0 };
    usage_set(&u, METER_INPUT_UNCACHED, r->in.body_len / 4);
    usage_set(&u, METER_OUTPUT_TEXT, sent->events);
    return u;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Of the output that the backend counted, what was sent.  When it counts only at the
 * end, an event in the middle is a token. */
static void leave_sent(struct usage *u, struct progress sent)
{
    if (!sent.counted) {
        sent.text = usage_has(u, METER_OUTPUT_TEXT) ? lesser(u->qty[METER_OUTPUT_TEXT], sent.events)
                                                    : sent.events;
        sent.reasoning = sent.events - sent.text;
    }
    if (usage_has(u, METER_OUTPUT_TEXT) || sent.text)
        usage_set(u, METER_OUTPUT_TEXT, sent.text);
    if (usage_has(u, METER_OUTPUT_REASONING))
        usage_set(u, METER_OUTPUT_REASONING,
                  lesser(u->qty[METER_OUTPUT_REASONING], sent.reasoning));
}

/* What the gateway counts itself, beside the request and its time: characters, and sound that
 * plays as long as its file says. */
static uint32_t own_meters(const struct request *r)
{
    uint32_t own = METER_BIT(REQUESTS) | METER_BIT(COMPUTE_MS);
    own |= r->ask.most.characters_max ? METER_BIT(CHARACTERS) : 0;
    return own | (r->ask.audio_known ? METER_BIT(AUDIO_MS) : 0);
}

static uint32_t silent(const struct request *r)
{
    return kind_of(r->target.row->capability)->traits & KIND_SILENT;
}

/* The backend's last word counts, also of a call that was cancelled or drained: it knows
 * the input. */
static struct judgement partial(struct request *r, enum outcome outcome,
                                const struct progress *sent)
{
    const struct work *w = &r->work;
    struct judgement j = { .outcome = outcome,
                           .evidence = sent->counted ? EVIDENCE_UPSTREAM : EVIDENCE_GATEWAY,
                           .usage = w->end.usage.present ? w->end.usage : w->so_far };
    if (r->work.recount && outcome != OUTCOME_ORPHAN && recount_sent(r, sent, &j))
        return j;
    if (silent(r) && !usage_has(&j.usage, METER_OUTPUT_TEXT)) {
        j.evidence = EVIDENCE_GATEWAY; /* it is paid for by what went in */
    } else if (j.usage.present) {
        leave_sent(&j.usage, *sent);
    } else {
        j.evidence = EVIDENCE_ESTIMATE;
        j.usage = estimated(r, sent);
    }
    return j;
}

static struct judgement nothing(enum outcome outcome)
{
    return (struct judgement){ outcome, EVIDENCE_NONE, { .present = 0 } };
}

/* Whether a price of the model is for something that only the backend can tell. */
static bool wants_report(const struct request *r, const struct catalog_model *m)
{
    uint32_t left = m->priced & ~own_meters(r);
    while (left && m->price[__builtin_ctz(left)].atoms == 0)
        left &= left - 1;
    return left != 0;
}

static bool is_report_missed(const struct request *r)
{
    return wants_report(r, r->model) || (r->retail && wants_report(r, retail_model(r, r->model))) ||
           !silent(r);
}

/* Fewer images, or choices, than were asked for. */
static bool is_partial(const struct request *r)
{
    const struct usage *u = &r->work.end.usage;
    bool images = r->target.row->capability == CAP_IMAGES && usage_has(u, METER_IMAGES);
    return images ? u->qty[METER_IMAGES] < (uint64_t)r->ask.n : choices_missing(r);
}

static enum outcome whole(const struct request *r)
{
    return is_partial(r)         ? OUTCOME_OK_PARTIAL
           : choices_filtered(r) ? OUTCOME_OK_FILTERED
                                 : OUTCOME_OK;
}

static enum outcome failed_by(enum status s)
{
    return s == STATUS_CONTENT_FILTER ? OUTCOME_BLOCKED_UPSTREAM : OUTCOME_FAILED_PRE;
}

static enum outcome cut_by(enum status s)
{
    return s == STATUS_NO_QUOTA ? OUTCOME_BUDGET_CUT : OUTCOME_UPSTREAM_CUT;
}

/* A whole answer. */
static struct judgement complete(struct request *r)
{
    struct work *w = &r->work;
    struct judgement j = { whole(r), EVIDENCE_UPSTREAM, w->end.usage };
    if (!w->end.usage.present)
        j = is_report_missed(r)
                ? nothing(OUTCOME_OK_NOUSAGE)
                : (struct judgement){ OUTCOME_OK, EVIDENCE_GATEWAY, { .present = 0 } };
    if (!r->work.recount)
        return j;
    recount_compare(r, &j);
    recount_fill(r, &j);
    return j;
}

static struct judgement judge(struct request *r)
{
    const struct work *w = &r->work;
    const struct delivery *d = &w->delivery;
    if (r->gone) /* a whole answer has one moment of delivery: its end, which the client did not await */
        return d->sent.events ? partial(r, OUTCOME_CLIENT_GONE, &d->sent)
                              : nothing(OUTCOME_CLIENT_GONE_0);
    if (r->status != STATUS_OK) /* the client is there and gets what still waits for it */
        return d->added.events ? partial(r, cut_by(r->status), &d->added)
                               : nothing(failed_by(r->status));
    return complete(r);
}

/* Whether there is something to be counted: of what nobody pays for there is not. */
static bool is_delivered(const struct request *r)
{
    const struct delivery *d = &r->work.delivery;
    return r->gone ? d->sent.events : r->status == STATUS_OK || d->added.events;
}

/* The gateway's own count: both sides, one after the other. */
static bool must_wait(struct request *r)
{
    struct recount *c = r->work.recount;
    if (!c || !is_delivered(r))
        return false;
    if (!c->asked_ns)
        c->asked_ns = request_now_ns(r);
    return recount_wait(r, RECOUNT_INPUT) || recount_wait(r, RECOUNT_OUTPUT);
}

/* Where sound is sold by its characters or its length, tokens that the backend reports as well are
 * not something that lacks a price.  A part of an answer that its backend left is not sold so. */
static void add_sound(const struct request *r, struct usage *u)
{
    uint32_t priced = retail_priced(r),
             sold = priced & own_meters(r) & (METER_BIT(CHARACTERS) | METER_BIT(AUDIO_MS));
    if (sold & METER_BIT(CHARACTERS))
        usage_set(u, METER_CHARACTERS, r->ask.most.characters_max);
    if ((sold & METER_BIT(AUDIO_MS)) && !usage_has(u, METER_AUDIO_MS))
        usage_set(u, METER_AUDIO_MS, r->ask.audio_ms);
    if (sold)
        u->present &= priced | ~METERS_TOKENS;
}

/* Counting is no work of the backend's. */
static int64_t work_end_ns(const struct request *r)
{
    const struct recount *c = r->work.recount;
    return c && c->asked_ns ? c->asked_ns : request_now_ns(r);
}

/* Compute time that the backend does not report is the wall time of its work. */
static void add_own_counts(const struct request *r, struct judgement *j)
{
    usage_set(&j->usage, METER_REQUESTS, 1);
    if (silent(r) && j->outcome != OUTCOME_UPSTREAM_CUT && j->outcome != OUTCOME_ORPHAN)
        add_sound(r, &j->usage);
    if ((retail_priced(r) & METER_BIT(COMPUTE_MS)) && !usage_has(&j->usage, METER_COMPUTE_MS)) {
        int64_t ns = work_end_ns(r) - r->work.began_ns; /* not what it waited before */
        usage_set(&j->usage, METER_COMPUTE_MS, (uint64_t)(ns / 1000000));
    }
}

struct rated { /* one leg of a bill: by whose prices, and what chose them */
    const struct catalog_model *model;
    int64_t context;
    bool unpriced, clamped;
};

/* The model that was asked for sets the price; when its parent did the work and
 * is cheaper, the parent's price is billed.  What a parent costs by the period is known
 * only when it is billed, so it is not compared. */
static enum status rate_leg(const struct request *r, const struct usage *u,
                            const struct catalog_model *const by[2], struct ledger_settle *s,
                            struct rated *ret)
{
    s->line_count = 0;
    for (int i = 0; i < (by[1] != by[0] ? 2 : 1); i++) {
        struct price_list prices = facts_prices(r, by[i]);
        if (i > 0 && by[i]->sheet && by[i]->sheet->periodic)
            break;
        struct price_bill bill;
        enum status status = price_rate(&prices, u, &r->bound, &bill);
        if (status != STATUS_OK)
            return status;
        if (i > 0 && bill.amount.atoms >= s->amount.atoms)
            continue;
        memcpy(s->lines, bill.lines, bill.count * sizeof *bill.lines);
        s->line_count = bill.count;
        s->amount = bill.amount;
        s->model = by[i]->db_id;
        s->sheet = by[i]->sheet && by[i]->sheet->periodic ? by[i]->sheet : NULL;
        *ret = (struct rated){ by[i], bill.context, bill.unpriced, bill.clamped };
    }
    return STATUS_OK;
}

static enum status rate_retail(struct request *r, const struct usage *u, struct ledger_settle *s)
{
    const struct catalog_model *const by[2] = { retail_model(r, r->model),
                                                retail_model(r, r->work.served) };
    struct rated leg;
    enum status status = rate_leg(r, u, by, s, &leg);
    if (status != STATUS_OK)
        return status;
    s->facts = retail_facts(r, leg.model, leg.context);
    s->chosen_by = s->sheet ? &r->retail->chosen_by : NULL;
    r->work.unpriced = r->work.unpriced || leg.unpriced;
    return STATUS_OK;
}

static enum status rate(struct request *r, const struct judgement *j, struct ledger_settle *s)
{
    const struct catalog_model *const by[2] = { r->model, r->work.served };
    struct rated leg;
    enum status status = rate_leg(r, &j->usage, by, s, &leg);
    s->resale = r->retail ? &r->retail->bill : NULL;
    if (status != STATUS_OK)
        return status;
    s->facts = facts_text(r, leg.model, leg.context);
    s->chosen_by = s->sheet ? &r->facts->of : NULL;
    r->work.unpriced = leg.unpriced;
    r->work.clamped = leg.clamped;
    return s->resale ? rate_retail(r, &j->usage, s->resale) : STATUS_OK;
}

static void rate_nothing(const struct request *r, struct ledger_settle *s)
{
    s->line_count = 0;
    s->amount = (money_t){ 0 };
    s->model = r->model->db_id;
    s->facts = NULL;
    s->sheet = NULL;
}

static void note_oddities(struct request *r, struct judgement *j)
{
    if (r->work.unpriced) {
        COUNT(&r->loop->counters, unpriced);
        log_warning("usage_without_price request=%s model=%s", r->rid_text, r->model->id);
        if (j->outcome == OUTCOME_OK)
            j->outcome = OUTCOME_OK_UNPRICED;
    }
    if (j->outcome == OUTCOME_OK_NOUSAGE) { /* billed by our count, or with nothing */
        COUNT(&r->loop->counters, unreported);
        log_peer("usage_not_reported request=%s backend=%s", r->rid_text,
                 r->work.backend->conf->name);
    }
    if (r->work.clamped) {
        COUNT(&r->loop->counters, clamped);
        log_peer("usage_beyond_bound request=%s backend=%s", r->rid_text,
                 r->work.backend->conf->name);
    }
}

bool meter_so_far(struct request *r, struct ledger_settle *ret)
{
    const struct delivery *d = &r->work.delivery;
    struct judgement j = partial(r, OUTCOME_ORPHAN, &d->sent);
    bool all = r->answer.taken == r->answer.body.len && d->sent_bytes == d->taken_bytes;
    if (!all) /* how much of this was sent nobody counts */
        j.usage.present &= ~(METER_BIT(OUTPUT_AUDIO) | METER_BIT(OUTPUT_IMAGE));
    add_own_counts(r, &j);
    return rate(r, &j, ret) == STATUS_OK;
}

/* What it leaves of the settlement, stage_settle fills in. */
enum verdict stage_meter(struct request *r)
{
    if (hold_more_last(r))
        return WAIT;
    struct ledger_settle *s = &r->ledger.settle;
    if (must_wait(r))
        return WAIT;
    struct judgement j = judge(r);
    s->recount = r->work.recount && r->work.recount->row.tokenizer ? &r->work.recount->row : NULL;
    if (!outcome_is_void(j.outcome))
        add_own_counts(r, &j);
    r->tokens_used = lesser(usage_sum(&j.usage, METERS_TOKENS),
                            r->bound.input_tokens_max + r->bound.output_tokens_max);
    enum status status = rate(r, &j, s);
    if (status != STATUS_OK) { /* cannot be: the bound was rated at the hold */
        log_bug("usage_not_ratable request=%s", r->rid_text);
        rate_nothing(r, s);
        if (s->resale)
            rate_nothing(r, s->resale);
    }
    note_oddities(r, &j);
    s->outcome = j.outcome;
    s->evidence = j.evidence;
    cost_take(r, &j.usage);
    return NEXT;
}
