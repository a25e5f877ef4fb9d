/* billing/books.c -- the two inserts of a request, the sums that go with them, and
 * how memory follows the store.  This is the hot path of the ledger thread: bound
 * integers, statements prepared once, no allocation. */
#include "billing/books.h"
#include "base/db.h"
#include "billing/attempt.h"
#include "billing/books_rate.h"
#include "billing/books_roll.h"
#include "billing/checkpoint.h"
#include "billing/lines.h"
#include "billing/opening.h"
#include "billing/period.h"
#include "billing/posting.h"
#include "billing/recount.h"
#include "billing/resale.h"
#include "billing/running.h"
#include <assert.h>
#include <string.h>

static const char sql_insert_open[] =
    "INSERT INTO request_open VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)";
static const char sql_insert_settlement[] =
    "INSERT INTO settlement VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)";
static const char sql_set_floor[] = "UPDATE boot SET open_floor = ?2, settled_us = ?3"
                                    " WHERE boot = ?1";
enum status books_prepare(struct books *b)
{
    b->insert_open = db_prepare(b->db, sql_insert_open);
    b->insert_settlement = db_prepare(b->db, sql_insert_settlement);
    b->set_floor = db_prepare(b->db, sql_set_floor);
    return b->insert_open && b->insert_settlement && b->set_floor ? STATUS_OK : db_status(b->db);
}

void books_close(struct books *b)
{
    budgets_free(&b->budgets);
    purses_free(&b->purses);
    counted_free(&b->counted);
}

enum status books_reload(struct books *b)
{
    alert_look_again(b);
    enum status s = budgets_load(&b->budgets, b->db);
    return s ? s : purses_load(&b->purses, b->db, b->batch_us);
}

void books_begin(struct books *b, int64_t now_us)
{
    assert(!b->unposted_budgets && !b->unposted_purses && b->rollup.rows == 0);
    b->batch_us = now_us > b->batch_us ? now_us : b->batch_us + 1;
    minutes_begin(&b->minutes, b->batch_us);
    b->floor_written = b->floor_stored;
}

enum status books_payer(struct books *b, int64_t project, struct budget **ret_budget,
                        struct purse **ret_purse)
{
    *ret_budget = budget_find(&b->budgets, project);
    *ret_purse = *ret_budget ? purse_find(&b->purses, (*ret_budget)->organization) : NULL;
    if (!*ret_purse)
        return STATUS_BAD_FIELD;
    bool began;
    purse_enter_period(*ret_purse, b->batch_us);
    enum status s = opening_period(b, *ret_purse, &began);
    budget_enter_period(*ret_budget, (*ret_purse)->period_from_us);
    b->began_period |= began;
    return books_is_answer(s) && s ? STATUS_STORE_FAILED : s;
}

/* ---- hold ---------------------------------------------------------------------------------- */

static enum status insert_open(struct books *b, const struct ledger_hold *h)
{
    struct db_stmt *s = b->insert_open;
    const char *endpoint = endpoint_name(h->endpoint);
    db_int(s, 1, h->rid);
    db_int(s, 2, h->project);
    db_int(s, 3, h->key);
    db_int(s, 4, h->model);
    db_text(s, 5, endpoint, -1);
    db_int(s, 6, h->price_version);
    db_int(s, 7, h->estimate_in);
    db_int(s, 8, h->max_out);
    db_int(s, 9, h->n);
    db_int(s, 10, h->hold.atoms);
    db_int(s, 11, h->accepted_us);
    db_int(s, 12, b->boot);
    return db_run(s);
}

/* In the transaction of the hold, so that of two requests with one key one is held. */
static enum status take_key(struct books *b, const struct ledger_hold *h)
{
    if (!h->idem)
        return STATUS_OK;
    enum status s = idem_take(b->db, b->batch_us, h->rid, h->project, h->idem);
    return books_is_answer(s) && s ? STATUS_STORE_FAILED : s;
}

/* What all refuse is refused before the first row is written; what fails later ends the batch. */
enum status books_hold(struct books *b, const struct ledger_hold *h)
{
    assert(h->rid > 0 && h->hold.atoms >= 0);
    struct budget *budget;
    struct purse *purse;
    struct draws draws;
    struct resale_leg retail;
    enum status s = books_payer(b, h->project, &budget, &purse);
    if (!s && h->idem)
        s = idem_find(b->db, h->project, h->idem);
    if (!s && h->resale)
        s = resale_plan(b, h, &retail);
    if (s)
        return s == STATUS_BAD_FIELD ? STATUS_NO_QUOTA : s;
    if (!budget_hold(budget, h->hold.atoms))
        return alert_budget_stop(b, budget);
    s = purse_plan(purse, h->model, h->hold.atoms, b->batch_us, &draws);
    if (!s)
        s = insert_open(b, h);
    if (!s)
        s = take_key(b, h);
    if (!s)
        s = purse_hold(&b->purses, purse, h->rid, &draws);
    if (!s && h->resale && (s = resale_take(b, h, &retail)) != STATUS_OK)
        purse_unhold(&b->purses, purse, h->rid, h->hold.atoms);
    if (!s)
        floor_add(&b->floor, h->rid, 1);
    else
        budget_unhold(budget, h->hold.atoms);
    return s == STATUS_NO_QUOTA ? alert_purse_stop(b, purse) : s;
}

static bool adopt(struct books *b, const struct ledger_settle *t)
{
    struct draws draws = { .credit = t->hold.atoms };
    struct budget *budget = budget_find(&b->budgets, t->project);
    struct purse *purse = budget ? purse_find(&b->purses, budget->organization) : NULL;
    if (!purse)
        return false;
    enum status covered = t->amount.atoms
                              ? purse_plan(purse, t->model, t->hold.atoms, b->batch_us, &draws)
                              : STATUS_OK;
    if (covered == STATUS_NO_QUOTA)
        covered = STATUS_OK;
    return !covered && !__builtin_add_overflow(budget->held, t->hold.atoms, &budget->held) &&
           INT64_MAX - draws.credit >= purse->credit_held &&
           purse_hold(&b->purses, purse, resale_mark(t), &draws) == STATUS_OK;
}

/* What it had taken of funds is not known any more.  It is taken again, in the same order; what
 * funds do not cover now (one has expired meanwhile) is credit, whatever that allows: it was held. */
bool books_adopt(struct books *b, const struct ledger_settle *t)
{
    if (!adopt(b, t) || (t->resale && !adopt(b, t->resale)))
        return false;
    floor_add(&b->floor, t->rid, 1);
    return true;
}

/* ---- settle -------------------------------------------------------------------------------- */

static enum status insert_settlement(struct books *b, const struct ledger_settle *t)
{
    char lines[LINES_TEXT_BYTES];
    size_t lines_len = lines_text(t->lines, t->line_count, t->facts, lines);
    struct db_stmt *s = b->insert_settlement;
    db_int(s, 1, t->rid);
    db_int(s, 2, b->batch_us);
    db_int(s, 3, t->project);
    db_int(s, 4, t->key);
    db_int(s, 5, t->model);
    db_int(s, 6, t->model_served);
    db_int(s, 7, t->backend);
    db_text(s, 8, endpoint_name(t->endpoint), -1);
    db_int(s, 9, t->price_version);
    db_text(s, 10, outcome_name(t->outcome), -1);
    db_text(s, 11, evidence_name(t->evidence), -1);
    db_int(s, 12, t->amount.atoms);
    db_text(s, 13, lines, (ptrdiff_t)lines_len);
    if (t->first_byte_us < 0)
        db_null(s, 14);
    else
        db_int(s, 14, t->first_byte_us);
    db_int(s, 15, t->duration_us);
    db_int(s, 16, t->http_status);
    char draws[DRAWS_TEXT_BYTES];
    size_t draws_len = draws_text(&t->paid, draws);
    db_text(s, 17, draws_len ? draws : NULL, (ptrdiff_t)draws_len);
    return db_run(s);
}

/* Asserted, not checked: the amount was computed by our own code from these lines. */
static void assert_amounts(const struct ledger_settle *t)
{
    int64_t sum = 0;
    assert(t->rid > 0 && t->line_count <= BILL_LINES_MAX);
    for (unsigned i = 0; i < t->line_count; i++) {
        assert((unsigned)t->lines[i].meter < METER_COUNT && t->lines[i].qty <= INT64_MAX);
        assert(t->lines[i].amount.atoms >= 0);
        bool overflow = __builtin_add_overflow(sum, t->lines[i].amount.atoms, &sum);
        assert(!overflow);
    }
    assert(sum == t->amount.atoms && t->amount.atoms <= t->hold.atoms);
}

/* Who pays what for one leg; nothing is changed. */
static enum status quote(struct books *b, struct ledger_settle *t, struct budget **ret_budget,
                         struct purse **ret_purse)
{
    enum status s = books_payer(b, t->project, ret_budget, ret_purse);
    if (!s)
        s = books_rate(b, *ret_purse, t);
    if (s)
        return s;
    assert_amounts(t);
    purse_quote(&b->purses, resale_mark(t), t->hold.atoms, t->amount.atoms, &t->held, &t->paid);
    return STATUS_OK;
}

static void pay(struct books *b, struct ledger_settle *t, struct budget *budget,
                struct purse *purse)
{
    purse_settle(&b->purses, purse, resale_mark(t), &t->held, &t->paid);
    budget_settle(budget, t->hold.atoms, t->amount.atoms);
    books_count(b, purse, t, false);
    posting_note(b, budget, purse, t->amount.atoms);
}

/* What stands with the settlement that is inserted: a failure is no answer to it alone. */
static enum status insert_beside(struct books *b, struct purse *purse,
                                 const struct ledger_settle *t)
{
    enum status s = t->attempt_count ? attempt_write(b, purse, t) : STATUS_OK;
    if (!s && t->recount)
        s = recount_insert(b->db, t->rid, t->recount);
    if (!s && t->resale)
        s = resale_insert(b, t->resale);
    return s ? STATUS_STORE_FAILED : STATUS_OK;
}

enum status books_settle(struct books *b, struct ledger_settle *t)
{
    struct budget *budget, *retail_budget;
    struct purse *purse, *retail_purse;
    enum status s = quote(b, t, &budget, &purse);
    if (!s && t->resale)
        s = quote(b, t->resale, &retail_budget, &retail_purse);
    if (!s)
        s = insert_settlement(b, t);
    if (!s)
        s = insert_beside(b, purse, t);
    if (s)
        return s;
    pay(b, t, budget, purse);
    if (t->resale)
        pay(b, t->resale, retail_budget, retail_purse);
    floor_add(&b->floor, t->rid, -1);
    minutes_note(&b->minutes, t->rid);
    s = books_roll_up(b, t, purse->period);
    if (!s && t->resale)
        s = resale_settled(b, t, retail_purse);
    if (!s && t->checkpointed)
        s = books_forget_checkpoint(b, t->rid);
    if (!s && t->idem)
        s = idem_keep(&b->idem, b->db, b->batch_us, t->rid, t->idem);
    if (books_is_answer(s) && s)
        s = STATUS_STORE_FAILED; /* a rollup that is refused is no answer to a settlement */
    if (s)
        books_undo(b, &t->op);
    return s;
}

/* ---- the end of a batch -------------------------------------------------------------------- */

enum status books_flush(struct books *b)
{
    enum status s = rollup_write(&b->rollup, b->db, period_hour(b->batch_us));
    if (s)
        posting_forget(b);
    else
        s = posting_flush(b);
    return books_is_answer(s) && s ? STATUS_STORE_FAILED : s;
}

enum status books_end(struct books *b)
{
    enum status s = books_flush(b);
    if (!s)
        s = alert_sweep(b);
    if (!s)
        s = idem_sweep(&b->idem, b->db, b->batch_us);
    if (!s)
        s = minutes_write(&b->minutes, b->db);
    rid_t floor = floor_get(&b->floor);
    if (s || floor == b->floor_stored)
        return s;
    b->floor_written = floor;
    db_int(b->set_floor, 1, b->boot);
    db_int(b->set_floor, 2, floor);
    db_int(b->set_floor, 3, b->batch_us);
    return db_run(b->set_floor);
}

void books_committed(struct books *b)
{
    b->floor_stored = b->floor_written;
    floor_trim(&b->floor);
    alert_committed(b);
}

void books_rolled_back(struct books *b)
{
    rollup_clear(&b->rollup);
    posting_forget(b);
    purses_forget_batch(&b->purses);
    idem_rolled_back(&b->idem);
    minutes_begin(&b->minutes, 0);
    alert_rolled_back(b);
}

bool books_must_reload(struct books *b, bool rolled_back)
{
    bool must = (rolled_back && b->began_period) || b->batch_us >= b->purses.next_change_us;
    b->began_period = false;
    return must;
}

static void unhold(struct books *b, int64_t project, rid_t mark, int64_t atoms)
{
    struct budget *budget = budget_find(&b->budgets, project);
    budget_unhold(budget, atoms);
    purse_unhold(&b->purses, purse_find(&b->purses, budget->organization), mark, atoms);
}

static void unpay(struct books *b, const struct ledger_settle *t)
{
    struct budget *budget = budget_find(&b->budgets, t->project);
    struct purse *purse = purse_find(&b->purses, budget->organization);
    budget_unsettle(budget, t->hold.atoms, t->amount.atoms);
    purse_unsettle(&b->purses, purse, resale_mark(t), &t->held, &t->paid);
    books_count(b, purse, t, true);
}

void books_undo(struct books *b, const struct ledger_op *op)
{
    if (op->kind == LEDGER_HOLD) {
        const struct ledger_hold *h = (const struct ledger_hold *)op;
        unhold(b, h->project, h->rid, h->hold.atoms);
        if (h->resale)
            unhold(b, h->resale->project, -h->rid, h->resale->hold.atoms);
        floor_add(&b->floor, h->rid, -1);
    } else if (op->kind == LEDGER_SETTLE) {
        const struct ledger_settle *t = (const struct ledger_settle *)op;
        unpay(b, t);
        if (t->resale)
            unpay(b, t->resale);
        floor_add(&b->floor, t->rid, 1);
    } else if (op->kind == LEDGER_MORE) {
        books_more_undo(b, (const struct ledger_more *)op);
    }
}

enum status books_mark_clean(struct books *b)
{
    /* When nothing is open the floor is above everything, so the next start looks at no request. */
    static const char sql[] =
        "UPDATE boot SET clean = 1, settled_us = max(settled_us, ?3), open_floor ="
        " CASE WHEN ?2 THEN max(open_floor, coalesce((SELECT max(rid) + 1 FROM request_open), 0))"
        " ELSE open_floor END WHERE boot = ?1";
    struct db_stmt *s = db_prepare(b->db, sql);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, b->boot);
    db_int(s, 2, floor_is_top(&b->floor));
    db_int(s, 3, b->batch_us);
    return db_run(s);
}
