/* tests/sim/requests.c -- requests of the simulated world: held, noted, grown, settled; each with one
 * leg, or with two where it is resold.
 */
#include "billing/checkpoint.h"
#include "billing/resale.h"
#include "billing/running.h"
#include "tests/sim/world_inside.h"

enum { TOKENS_MAX = 40 };

/* Of five that are asked for two are resold. */
static enum world_buyer any_buyer(void)
{
    unsigned n = world_dice(WORLD_BUYERS + 2);
    return (enum world_buyer)(n < WORLD_BUYERS ? n : n - 2);
}

static struct request *any_open(unsigned *ret_at)
{
    if (!world.open_count)
        return NULL;
    *ret_at = world_dice(world.open_count);
    return world_request(world.open[*ret_at]);
}

static void touch(rid_t rid)
{
    world.touched[world.touched_count++] = rid;
}

/* ---- hold ---------------------------------------------------------------------------------- */

static void price_legs(struct request *r, enum world_buyer who)
{
    const int64_t seller_to = world.projects[world.seats[who][0]].organization;
    const struct sim_price *list = prices_at(world_books[0], world.now_us, NULL);
    r->leg[0].price =
        prices_at((struct book_owner){ BOOK_CONTRACT, seller_to }, world.now_us, list);
    r->leg[1].price =
        prices_at((struct book_owner){ BOOK_RESALE, seller_to }, world.now_us, r->leg[0].price);
    for (unsigned i = 0; i < r->legs; i++) {
        struct leg *leg = &r->leg[i];
        leg->project = world.seats[who][i];
        leg->hold = prices_most(leg->price, r->most);
        leg->unit = leg->price->unit;
    }
}

static int64_t held_of(int64_t project)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < world.open_count; i++) {
        const struct request *r = world_request(world.open[i]);
        for (unsigned k = 0; k < r->legs; k++)
            sum += r->leg[k].project == project ? r->leg[k].hold : 0;
    }
    return sum;
}

static bool budget_covers(const struct leg *leg)
{
    const struct project *p = &world.projects[leg->project];
    return p->spent + held_of(leg->project) + leg->hold <= p->limit_maybe;
}

/* What budgets say the model knows; purses may refuse, too.  The customer's is asked first. */
static void check_refusal(const struct request *r, bool refused)
{
    const struct leg *first = &r->leg[r->legs - 1];
    if (!budget_covers(first))
        world.projects[first->project].stopped_maybe = true;
    for (unsigned i = 0; i < r->legs && !refused; i++)
        if (!budget_covers(&r->leg[i]))
            world_violation("a request was held beyond the budget of project %d",
                            (int)r->leg[i].project);
}

enum status request_hold_one(void)
{
    if (world.open_count == OPEN_MAX || world.next_rid == REQUESTS_MAX)
        return STATUS_OK;
    enum world_buyer who = any_buyer();
    struct request r = { .maybe = HELD,
                         .legs = world.seats[who][1] ? 2 : 1,
                         .most = 1 + world_dice(TOKENS_MAX) };
    price_legs(&r, who);
    const struct resale_hold second = { r.leg[1].project,
                                        r.leg[1].price->version,
                                        { r.leg[1].hold } };
    const struct ledger_hold h = { .op.kind = LEDGER_HOLD,
                                   .rid = world.next_rid,
                                   .project = r.leg[0].project,
                                   .key = 1,
                                   .model = 1,
                                   .price_version = r.leg[0].price->version,
                                   .n = 1,
                                   .accepted_us = world.now_us,
                                   .hold = { r.leg[0].hold },
                                   .resale = r.legs == 2 ? &second : NULL };
    memory_note_credit(&r);
    enum status s = books_hold(&world.books, &h);
    if (s && s != STATUS_NO_QUOTA)
        return s;
    check_refusal(&r, s == STATUS_NO_QUOTA);
    world_stats.refused += s == STATUS_NO_QUOTA;
    world_stats.refused_resold += s == STATUS_NO_QUOTA && r.legs == 2;
    if (s)
        return STATUS_OK;
    *world_request(world.next_rid) = r;
    touch(world.next_rid);
    memory_check_credit(&r);
    world.open[world.open_count++] = world.next_rid++;
    world_stats.holds++;
    world_stats.resold += r.legs == 2;
    return STATUS_OK;
}

/* ---- while it runs ------------------------------------------------------------------------- */

enum status request_grow_one(void)
{
    unsigned at, tokens = 1 + world_dice(TOKENS_MAX);
    struct request *r = any_open(&at);
    if (!r)
        return STATUS_OK;
    struct ledger_more m[LEGS_MAX];
    for (unsigned i = 0; i < r->legs; i++)
        m[i] = (struct ledger_more){ .op.kind = LEDGER_MORE,
                                     .rid = world.open[at],
                                     .project = r->leg[i].project,
                                     .model = 1,
                                     .leg = r->grown + 1,
                                     .held = { r->leg[i].hold },
                                     .more = { prices_most(r->leg[i].price, r->most + tokens) -
                                               r->leg[i].hold } };
    m[0].resale = r->legs == 2 ? &m[1] : NULL;
    memory_note_credit(r);
    enum status s = books_more(&world.books, &m[0]);
    if (s)
        return s == STATUS_NO_QUOTA ? STATUS_OK : s;
    for (unsigned i = 0; i < r->legs; i++)
        r->leg[i].hold += m[i].more.atoms;
    r->most += tokens;
    r->grown++;
    touch(world.open[at]);
    memory_check_credit(r);
    world_stats.grown++;
    world_stats.grown_resold += r->legs == 2;
    return STATUS_OK;
}

enum status request_note_one(void)
{
    unsigned at;
    struct request *r = any_open(&at);
    if (!r)
        return STATUS_OK;
    struct ledger_settle bill[LEGS_MAX];
    struct sim_words words[LEGS_MAX];
    struct resale_checkpoint second = { .model = 1 };
    struct ledger_checkpoint c = { .op.kind = LEDGER_CHECKPOINT,
                                   .rid = world.open[at],
                                   .model = 1,
                                   .model_served = 1,
                                   .first_byte_us = 1,
                                   .resale = r->legs == 2 ? &second : NULL };
    char *const lines[LEGS_MAX] = { c.lines, second.lines };
    r->noted_maybe += world_dice(r->most - r->noted_maybe + 1);
    r->checkpointed = true;
    touch(c.rid);
    for (unsigned i = 0; i < r->legs; i++) {
        bill[i] = (struct ledger_settle){ .rid = c.rid };
        prices_bill(r->leg[i].price, r->noted_maybe, &bill[i], &words[i]);
        lines_text(bill[i].lines, bill[i].line_count, bill[i].facts, lines[i]);
    }
    c.amount = bill[0].amount;
    second.amount = bill[r->legs - 1].amount;
    world_stats.notes++;
    return books_checkpoint(&world.books, &c);
}

/* ---- settle -------------------------------------------------------------------------------- */

static struct ledger_settle settlement_of(const struct request *r, rid_t rid, unsigned leg)
{
    return (struct ledger_settle){ .op.kind = LEDGER_SETTLE,
                                   .rid = rid,
                                   .project = r->leg[leg].project,
                                   .key = 1,
                                   .model = 1,
                                   .model_served = 1,
                                   .price_version = r->leg[leg].price->version,
                                   .hold = { r->leg[leg].hold },
                                   .first_byte_us = -1,
                                   .http_status = 200,
                                   .is_resale = leg > 0 };
}

enum status request_settle_one(void)
{
    unsigned at;
    struct request *r = any_open(&at);
    if (!r)
        return STATUS_OK;
    struct ledger_settle bill[LEGS_MAX];
    struct sim_words words[LEGS_MAX];
    r->tokens = r->noted_maybe + world_dice(r->most - r->noted_maybe + 1);
    for (unsigned i = 0; i < r->legs; i++) {
        bill[i] = settlement_of(r, world.open[at], i);
        prices_bill(r->leg[i].price, r->tokens, &bill[i], &words[i]);
    }
    bill[0].checkpointed = r->checkpointed;
    bill[0].resale = r->legs == 2 ? &bill[1] : NULL;
    enum status s = books_settle(&world.books, &bill[0]);
    if (s)
        return s;
    r->maybe = SETTLED;
    touch(world.open[at]);
    for (unsigned i = 0; i < r->legs; i++) {
        r->leg[i].amount = bill[i].amount.atoms; /* the ledger's, where the period counts */
        world.projects[r->leg[i].project].spent += r->leg[i].amount;
    }
    world.open[at] = world.open[--world.open_count];
    world_stats.settles++;
    return STATUS_OK;
}

void requests_promise(void)
{
    for (unsigned i = 0; i < world.touched_count; i++) {
        struct request *r = world_request(world.touched[i]);
        if (r->maybe)
            r->promise = r->maybe;
        r->maybe = NOTHING;
        r->noted = r->noted_maybe;
        for (unsigned k = 0; k < r->legs; k++)
            r->leg[k].held = r->leg[k].hold;
    }
    world.touched_count = 0;
}
