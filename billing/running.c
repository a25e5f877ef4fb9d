/* billing/running.c -- see running.h. */
#include "billing/running.h"
#include "base/db.h"
#include "billing/books.h"
#include <assert.h>

static const char sql_more[] = "INSERT INTO hold_more VALUES (?1,?2,?3,?4)";

static enum status insert_more(struct books *b, const struct ledger_more *m)
{
    struct db_stmt *s = db_prepare(b->db, sql_more);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, m->rid);
    db_int(s, 2, m->leg);
    db_int(s, 3, m->more.atoms);
    db_int(s, 4, b->batch_us);
    return db_run(s);
}

enum status books_more(struct books *b, struct ledger_more *m)
{
    assert(m->rid > 0 && m->held.atoms >= 0 && m->more.atoms > 0);
    struct budget *budget;
    struct purse *purse;
    enum status s = books_payer(b, m->project, &budget, &purse);
    if (s)
        return s == STATUS_BAD_FIELD ? STATUS_NO_QUOTA : s;
    if (!budget_hold(budget, m->more.atoms))
        return alert_budget_stop(b, budget);
    s = purse_plan(purse, m->model, m->more.atoms, b->batch_us, &m->added);
    if (!s)
        s = purse_hold_more(&b->purses, purse, m->rid, m->held.atoms, &m->added, &m->before);
    if (s) {
        budget_unhold(budget, m->more.atoms);
        return s == STATUS_NO_QUOTA ? alert_purse_stop(b, purse) : s;
    }
    s = insert_more(b, m);
    if (s)
        books_more_undo(b, m);
    return s;
}

void books_more_undo(struct books *b, const struct ledger_more *m)
{
    struct budget *budget = budget_find(&b->budgets, m->project);
    budget_unhold(budget, m->more.atoms);
    purse_unhold_more(&b->purses, purse_find(&b->purses, budget->organization), m->rid, &m->added,
                      &m->before);
}
