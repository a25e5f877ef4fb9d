/* gateway/cost.c -- see cost.h. */
#include "gateway/cost.h"
#include "base/log.h"
#include "gateway/request.h"

/* Beyond it a report is not believed; so many of them in a batch cannot overflow. */
#define COST_ATOMS_MAX (MONEY_ATOMS_MAX >> 14)

struct costs {
    struct ledger_attempt attempt[REQUEST_ATTEMPTS_MAX];
    char facts[REQUEST_ATTEMPTS_MAX][FACTS_TEXT_BYTES];
    unsigned count;
};

/* What usage costs over the route of this call: as it was reported, also beyond what was held. */
static bool rate(struct request *r, const struct usage *u, struct price_bill *ret)
{
    static const uint64_t most = 1000000000000;
    static const struct price_bound bound = { most, most, most, most, most, most, most, most };
    const struct price_list prices = facts_prices(r, r->work.route->cost);
    if (price_rate(&prices, u, &bound, ret) == STATUS_OK && ret->amount.atoms <= COST_ATOMS_MAX)
        return true;
    log_bug("cost_not_ratable request=%s backend=%s", r->rid_text, r->work.backend->conf->name);
    *ret = (struct price_bill){ .count = 0 };
    return false;
}

static struct ledger_attempt *next(struct request *r)
{
    struct work *w = &r->work;
    if (!w->costs)
        w->costs = arena_alloc(r->arena, sizeof *w->costs);
    if (w->costs && w->costs->count < REQUEST_ATTEMPTS_MAX)
        return &w->costs->attempt[w->costs->count++];
    log_env("cost_not_noted request=%s", r->rid_text);
    return NULL;
}

static void note(struct request *r, const struct usage *u, enum evidence basis,
                 enum outcome outcome, const struct usage *billed)
{
    const struct work *w = &r->work;
    struct price_bill bill, useful;
    struct ledger_attempt *a = next(r);
    if (!a)
        return;
    bool rated = rate(r, u, &bill);
    *a = (struct ledger_attempt){ .backend = w->backend->conf->db_id,
                                  .model = w->route->cost->db_id,
                                  .version = r->snapshot->catalog->cost_version,
                                  .basis = rated ? basis : EVIDENCE_NONE,
                                  .cost = bill.amount,
                                  .wasted = bill.amount,
                                  .line_count = bill.count };
    memcpy(a->lines, bill.lines, bill.count * sizeof *bill.lines);
    a->facts =
        facts_cost_text(r, w->route->cost, bill.context, w->costs->facts[a - w->costs->attempt]);
    if (outcome == OUTCOME_CLIENT_GONE || outcome == OUTCOME_UPSTREAM_CUT) {
        bool less = rate(r, billed, &useful) && useful.amount.atoms < bill.amount.atoms;
        a->wasted.atoms = less ? bill.amount.atoms - useful.amount.atoms : 0;
    } else if (outcome != OUTCOME_FAILED_PRE && outcome != OUTCOME_CLIENT_GONE_0) {
        a->wasted.atoms = 0;
    }
}

static const struct usage *reported(const struct work *w)
{
    return w->end.usage.present ? &w->end.usage : w->so_far.present ? &w->so_far : NULL;
}

/* A call that ended without a word may have been run and charged: its input, a token every four
 * bytes.  One that was answered with an error was not. */
static enum evidence guessed(const struct request *r, struct usage *ret)
{
    if (!r->work.end.unanswered && !r->gone)
        return EVIDENCE_NONE;
    usage_set(ret, METER_REQUESTS, 1);
    usage_set(ret, METER_INPUT_UNCACHED, r->in.body_len / 4);
    return EVIDENCE_ESTIMATE;
}

void cost_lost(struct request *r)
{
    const struct work *w = &r->work;
    struct usage u = { .present = 0 };
    enum evidence basis = EVIDENCE_UPSTREAM;
    if (!w->route->cost || w->end.untouched)
        return;
    if (reported(w)) {
        u = *reported(w);
        usage_set(&u, METER_REQUESTS, 1);
    } else {
        basis = guessed(r, &u);
    }
    note(r, &u, basis, OUTCOME_FAILED_PRE, NULL);
}

/* What the backend says counts; beside it what only the gateway counts. */
static struct usage used(const struct request *r, const struct usage *billed)
{
    const struct work *w = &r->work;
    const struct usage *own = reported(w);
    struct usage u = *billed;
    for (uint32_t left = own ? own->present : 0; left; left &= left - 1) {
        enum meter m = (enum meter)__builtin_ctz(left);
        usage_set(&u, m, own->qty[m]);
    }
    if (u.present)
        usage_set(&u, METER_REQUESTS, 1);
    if (u.present && model_priced(w->route->cost, METER_COMPUTE_MS) &&
        !usage_has(&u, METER_COMPUTE_MS))
        usage_set(&u, METER_COMPUTE_MS, (uint64_t)((request_now_ns(r) - w->began_ns) / 1000000));
    return u;
}

void cost_take(struct request *r, const struct usage *billed)
{
    struct work *w = &r->work;
    struct ledger_settle *s = &r->ledger.settle;
    if (w->phase == WORK_ENDED && w->route->cost && !w->end.untouched) {
        struct usage u = used(r, billed);
        enum evidence basis = reported(w) ? EVIDENCE_UPSTREAM : s->evidence;
        if (!u.present)
            basis = guessed(r, &u);
        note(r, &u, basis, s->outcome, billed);
    }
    s->attempts = w->costs ? w->costs->attempt : NULL;
    s->attempt_count = w->costs ? w->costs->count : 0;
}
