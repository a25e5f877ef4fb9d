/* tests/sim/memory.c -- what the ledger has in memory of budgets and purses, held against the model
 * after each batch and each start: a hold of one leg alone, or of what is over, is seen at once.
 */
#include "tests/sim/world_inside.h"
#include <inttypes.h>

static int64_t held[PROJECTS_MAX];          /* by project */
static int64_t on_credit[1 + WORLD_BUYERS]; /* by organization: what of it no fund pays */
static unsigned marked;

/* What no fund pays is credit. */
static void add_leg(rid_t mark, const struct leg *leg)
{
    const struct draws *d = marks_find(&world.books.purses.marks, mark);
    int64_t funds = 0;
    for (unsigned i = 0; d && i < d->count; i++)
        funds += d->draw[i].atoms;
    if (d && funds + d->credit != leg->hold)
        world_violation("request %" PRId64 " holds %" PRId64 " and has taken %" PRId64, mark,
                        leg->hold, funds + d->credit);
    marked += d != NULL;
    held[leg->project] += leg->hold;
    on_credit[world.projects[leg->project].organization] += leg->hold - funds;
}

static void add_up(void)
{
    memset(held, 0, sizeof held);
    memset(on_credit, 0, sizeof on_credit);
    marked = 0;
    for (unsigned i = 0; i < world.open_count; i++) {
        const struct request *r = world_request(world.open[i]);
        for (unsigned k = 0; k < r->legs; k++)
            add_leg(k ? -world.open[i] : world.open[i], &r->leg[k]);
    }
}

static void check_project(int64_t id, const struct project *p)
{
    const struct budget *b = budget_find(&world.books.budgets, id);
    if (!b || b->held != held[id] || b->spent_total != p->spent || b->limit != p->limit)
        world_violation("%s: held %" PRId64 " spent %" PRId64 " of %" PRId64 ", not %" PRId64
                        " %" PRId64 " of %" PRId64,
                        p->slug, b ? b->held : -1, b ? b->spent_total : -1, b ? b->limit : -1,
                        held[id], p->spent, p->limit);
    if (held[id] + p->spent > p->limit)
        world_violation("%s: its budget is overrun", p->slug);
}

static void check_purse(int64_t organization)
{
    const struct purse *o = purse_find(&world.books.purses, organization);
    if (!o || o->credit_held != on_credit[organization])
        world_violation("organization %" PRId64 " holds %" PRId64 " of its credit, not %" PRId64,
                        organization, o ? o->credit_held : -1, on_credit[organization]);
    for (unsigned i = 0; o && i < o->fund_count; i++)
        if (o->funds[i].left < 0)
            world_violation("fund %" PRId64 " is overrun", o->funds[i].id);
}

static const struct purse *purse_of(const struct leg *leg)
{
    return purse_find(&world.books.purses, world.projects[leg->project].organization);
}

void memory_note_credit(struct request *r)
{
    for (unsigned i = 0; i < r->legs; i++)
        r->leg[i].credit_held = purse_of(&r->leg[i])->credit_held;
}

/* Afterwards an invoice may add its tax to what is used, and a start what a fund had been held for. */
void memory_check_credit(const struct request *r)
{
    for (unsigned i = 0; i < r->legs; i++) {
        const struct purse *o = purse_of(&r->leg[i]);
        if (o->credit_held > r->leg[i].credit_held &&
            o->credit_used + o->credit_held > o->credit_limit)
            world_violation("the credit of organization %" PRId64 " is overrun", o->organization);
    }
}

void memory_check(void)
{
    add_up();
    for (int64_t id = 1; id < PROJECTS_MAX; id++)
        if (world.projects[id].slug)
            check_project(id, &world.projects[id]);
    for (int64_t o = 1; o <= WORLD_BUYERS; o++)
        check_purse(o);
    if (world.books.purses.marks.count != marked)
        world_violation("%zu holds have taken of funds, %u should have",
                        world.books.purses.marks.count, marked);
}
