/* billing/running.c -- see running.h. */
#include "billing/running.h"
#include "base/db.h"
#include "billing/books.h"
#include <assert.h>

static const char sql_more[] = "INSERT INTO hold_more VALUES (?1,?2,?3,?4,?5)";

static enum status insert_more(struct books *b, const struct ledger_more *m)
{
    struct db_stmt *s = db_prepare(b->db, sql_more);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, m->rid);
    db_int(s, 2, m->leg);
    db_int(s, 3, m->more.atoms);
    db_int(s, 4, b->batch_us);
    if (m->resale)
        db_int(s, 5, m->resale->more.atoms);
    else
        db_null(s, 5);
    return db_run(s);
}

/* mark: by which the purse knows the hold (resale.h). */
static enum status take(struct books *b, struct ledger_more *m, rid_t mark)
{
    assert(m->held.atoms >= 0 && m->more.atoms >= 0);
    struct budget *budget;
    struct purse *purse;
    enum status s = books_payer(b, m->project, &budget, &purse);
    if (s)
        return s == STATUS_BAD_FIELD ? STATUS_NO_QUOTA : s;
    if (!budget_hold(budget, m->more.atoms))
        return alert_budget_stop(b, budget);
    s = purse_plan(purse, m->model, m->more.atoms, b->batch_us, &m->added);
    if (!s)
        s = purse_hold_more(&b->purses, purse, mark, m->held.atoms, &m->added, &m->before);
    if (!s)
        return s;
    budget_unhold(budget, m->more.atoms);
    return s == STATUS_NO_QUOTA ? alert_purse_stop(b, purse) : s;
}

static void give_back(struct books *b, const struct ledger_more *m, rid_t mark)
{
    struct budget *budget = budget_find(&b->budgets, m->project);
    budget_unhold(budget, m->more.atoms);
    purse_unhold_more(&b->purses, purse_find(&b->purses, budget->organization), mark, &m->added,
                      &m->before);
}

enum status books_more(struct books *b, struct ledger_more *m)
{
    assert(m->rid > 0 && m->more.atoms > 0);
    enum status s = m->resale ? take(b, m->resale, -m->rid) : STATUS_OK;
    if (s)
        return s;
    s = take(b, m, m->rid);
    if (!s && (s = insert_more(b, m)) != STATUS_OK)
        give_back(b, m, m->rid);
    if (s && m->resale)
        give_back(b, m->resale, -m->rid);
    return s;
}

void books_more_undo(struct books *b, const struct ledger_more *m)
{
    give_back(b, m, m->rid);
    if (m->resale)
        give_back(b, m->resale, -m->rid);
}
