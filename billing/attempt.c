/* billing/attempt.c -- see attempt.h. */
#include "billing/attempt.h"
#include "base/db.h"
#include "billing/lines.h"
#include "billing/period.h"
#include "billing/posting.h"
#include <assert.h>

static const char sql_insert[] = "INSERT INTO attempt VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)";
static const char sql_sum[] =
    "INSERT INTO cost_rollup VALUES (?1,?2,?3,?4,?5,1,?6,?7) ON CONFLICT DO UPDATE SET"
    " attempts = attempts + 1, cost_atoms = cost_atoms + excluded.cost_atoms,"
    " wasted_atoms = wasted_atoms + excluded.wasted_atoms";

static enum status insert(struct books *b, const struct ledger_settle *t,
                          const struct ledger_attempt *a, unsigned number)
{
    char lines[LINES_TEXT_BYTES];
    size_t len = lines_text(a->lines, a->line_count, a->facts, lines);
    struct db_stmt *s = db_prepare(b->db, sql_insert);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, t->rid);
    db_int(s, 2, number);
    db_int(s, 3, a->backend);
    db_int(s, 4, a->model);
    db_int(s, 5, a->version);
    db_text(s, 6, evidence_name(a->basis), -1);
    db_text(s, 7, lines, (ptrdiff_t)len);
    db_int(s, 8, a->cost.atoms);
    db_int(s, 9, a->wasted.atoms);
    return db_run(s);
}

static enum status sum(struct books *b, int64_t period, const struct ledger_settle *t,
                       const struct ledger_attempt *a)
{
    struct db_stmt *s = db_prepare(b->db, sql_sum);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, period_hour(b->batch_us));
    db_int(s, 2, t->project);
    db_int(s, 3, t->model);
    db_int(s, 4, a->backend);
    db_int(s, 5, period);
    db_int(s, 6, a->cost.atoms);
    db_int(s, 7, a->wasted.atoms);
    return db_run(s);
}

enum status attempt_write(struct books *b, struct purse *p, const struct ledger_settle *t)
{
    enum status s = STATUS_OK;
    for (unsigned i = 0; i < t->attempt_count && !s; i++) {
        const struct ledger_attempt *a = &t->attempts[i];
        assert(a->wasted.atoms >= 0 && a->wasted.atoms <= a->cost.atoms);
        s = insert(b, t, a, i + 1);
        if (!s)
            s = sum(b, p->period, t, a);
        if (!s)
            posting_note_cost(b, p, a->cost.atoms, a->wasted.atoms);
    }
    return s && books_is_answer(s) ? STATUS_STORE_FAILED : s;
}
