/* gateway/recount_judge.c -- the gateway's count beside the backend's number: see judgement.h. */
#include "base/log.h"
#include "gateway/judgement.h"
#include "gateway/recount.h"
#include "gateway/request.h"
#include <inttypes.h>

/* What is too much is taken from these, the first one first: what may be cheaper stays. */
static const enum meter inputs[] = { METER_INPUT_UNCACHED, METER_INPUT_CACHE_WRITE_1H,
                                     METER_INPUT_CACHE_WRITE, METER_INPUT_CACHED };
static const enum meter outputs[] = { METER_OUTPUT_TEXT, METER_OUTPUT_REASONING };
#define INPUTS_COUNTED                                                                    \
    (METER_BIT(INPUT_UNCACHED) | METER_BIT(INPUT_CACHED) | METER_BIT(INPUT_CACHE_WRITE) | \
     METER_BIT(INPUT_CACHE_WRITE_1H))
#define OUTPUTS_COUNTED (METER_BIT(OUTPUT_TEXT) | METER_BIT(OUTPUT_REASONING))

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void cut(struct usage *u, const enum meter *from, size_t count, uint64_t excess)
{
    for (size_t i = 0; i < count && excess; i++) {
        uint64_t part = lesser(u->qty[from[i]], excess);
        u->qty[from[i]] -= part;
        excess -= part;
    }
}

static struct recount_side side_of(const struct request *r, bool reported, uint64_t told,
                                   bool whole, uint64_t counted)
{
    return (struct recount_side){ reported ? (int64_t)told : -1, whole ? (int64_t)counted : -1,
                                  (int64_t)recount_tolerance(r, counted) };
}

/* By how much a number is beyond what can be understood; 0: it is not, or that is not known. */
static uint64_t excess_of(const struct recount_side *s)
{
    if (s->reported < 0 || s->counted < 0 || s->reported <= s->counted + s->tolerance)
        return 0;
    return (uint64_t)(s->reported - s->counted - s->tolerance);
}

/* Another model's work was done by other words: its parent's recipe. */
static bool is_comparable(const struct request *r)
{
    return r->work.served == r->model;
}

static void compare_input(struct request *r, struct usage *u)
{
    const struct recounted *c = &r->work.recount->count;
    bool other = usage_sum(u, METERS_TOKENS_IN & ~INPUTS_COUNTED) > 0;
    struct recount_side *side = &r->work.recount->row.input;
    *side = side_of(r, u->present & INPUTS_COUNTED, usage_sum(u, INPUTS_COUNTED),
                    c->input_whole && !other && is_comparable(r), c->input);
    cut(u, inputs, sizeof inputs / sizeof *inputs, excess_of(side));
}

/* Reasoning that was not shown cannot be counted: then the text alone is compared. */
static void compare_output(struct request *r, struct usage *u)
{
    const struct recounted *c = &r->work.recount->count;
    bool other = usage_sum(u, METERS_TOKENS_OUT & ~OUTPUTS_COUNTED) > 0;
    bool hidden = c->reasoning == 0 && u->qty[METER_OUTPUT_REASONING] > 0;
    uint64_t told = hidden ? u->qty[METER_OUTPUT_TEXT] : usage_sum(u, OUTPUTS_COUNTED);
    r->work.recount->row.hidden = hidden ? (int64_t)u->qty[METER_OUTPUT_REASONING] : 0;
    struct recount_side *side = &r->work.recount->row.output;
    *side = side_of(r, u->present & OUTPUTS_COUNTED, told, c->output_whole && !other,
                    c->text + c->reasoning);
    cut(u, outputs, hidden ? 1 : 2, excess_of(side));
}

static void tell(struct request *r, const char *what)
{
    const struct recount_row *row = &r->work.recount->row;
    log_peer("%s request=%s model=%s backend=%s input_reported=%" PRId64 " input_counted=%" PRId64
             " output_reported=%" PRId64 " output_counted=%" PRId64,
             what, r->rid_text, r->model->id,
             r->work.backend ? r->work.backend->conf->name : "none", row->input.reported,
             row->input.counted, row->output.reported, row->output.counted);
}

static void note(struct request *r)
{
    const struct recount_row *row = &r->work.recount->row;
    r->work.recount->row.tokenizer = r->work.recount->tokenizer;
    COUNT(&r->loop->counters, recounts);
    if (!r->work.recount->count.input_whole || !r->work.recount->count.output_whole)
        COUNT(&r->loop->counters, uncounted);
    if (recount_differs(&row->input) || recount_differs(&row->output)) {
        COUNT(&r->loop->counters, mismatches);
        tell(r, "usage_mismatch");
    }
}

void recount_compare(struct request *r, struct judgement *j)
{
    const struct recount_row *row = &r->work.recount->row;
    compare_input(r, &j->usage);
    compare_output(r, &j->usage);
    note(r);
    if (recount_differs(&row->input) || recount_differs(&row->output)) {
        j->evidence = EVIDENCE_BOTH;
        j->outcome = j->outcome == OUTCOME_OK ? OUTCOME_OK_MISMATCH : j->outcome;
    } else if (j->outcome == OUTCOME_OK && j->evidence == EVIDENCE_UPSTREAM &&
               (row->input.reported < 0 || row->input.counted >= 0) &&
               (row->output.reported < 0 || row->output.counted >= 0)) {
        j->evidence = EVIDENCE_BOTH; /* of each number that was reported there are two */
    }
}

void recount_fill(const struct request *r, struct judgement *j)
{
    const struct recounted *c = &r->work.recount->count;
    bool writes = r->target.row->capability & (CAP_CHAT | CAP_COMPLETIONS);
    bool in = j->usage.present & METERS_TOKENS_IN, out = j->usage.present & METERS_TOKENS_OUT;
    if (in && (out || !writes))
        return;
    if (!in)
        usage_set(&j->usage, METER_INPUT_UNCACHED, c->input);
    if (!out && writes) {
        usage_set(&j->usage, METER_OUTPUT_TEXT, c->text);
        if (c->reasoning)
            usage_set(&j->usage, METER_OUTPUT_REASONING, c->reasoning);
    }
    j->outcome = OUTCOME_OK_NOUSAGE;
    j->evidence = EVIDENCE_GATEWAY;
}

static void sent_output(const struct request *r, const struct progress *sent, struct usage *u)
{
    const struct recounted *c = &r->work.recount->count;
    uint64_t all = c->text + c->reasoning;
    if (sent->counted) { /* by the backend, as it went */
        usage_set(u, METER_OUTPUT_TEXT, sent->text);
        if (sent->reasoning || usage_has(u, METER_OUTPUT_REASONING))
            usage_set(u, METER_OUTPUT_REASONING, sent->reasoning);
        uint64_t told = usage_sum(u, OUTPUTS_COUNTED), most = all + recount_tolerance(r, all);
        bool hidden = c->reasoning == 0 && sent->reasoning > 0;
        if (!hidden && told > most)
            cut(u, outputs, 2, told - most);
        return;
    }
    bool told = usage_has(u, METER_OUTPUT_TEXT);
    usage_set(u, METER_OUTPUT_TEXT, told ? lesser(u->qty[METER_OUTPUT_TEXT], c->text) : c->text);
    bool thought = usage_has(u, METER_OUTPUT_REASONING);
    if (thought || c->reasoning)
        usage_set(u, METER_OUTPUT_REASONING,
                  thought ? lesser(u->qty[METER_OUTPUT_REASONING], c->reasoning) : c->reasoning);
}

bool recount_sent(struct request *r, const struct progress *sent, struct judgement *j)
{
    const struct work *w = &r->work;
    struct recount_row *row = &r->work.recount->row;
    const struct recounted *c = &r->work.recount->count;
    struct usage u = w->end.usage.present ? w->end.usage : w->so_far;
    if (!c->output_whole)
        return false;
    compare_input(r, &u);
    if (!(u.present & METERS_TOKENS_IN))
        usage_set(&u, METER_INPUT_UNCACHED, c->input);
    sent_output(r, sent, &u);
    row->output = side_of(r, false, 0, true, c->text + c->reasoning); /* of a part nobody reports */
    note(r);
    j->usage = u;
    j->evidence = sent->counted ? EVIDENCE_BOTH : EVIDENCE_GATEWAY;
    return true;
}
