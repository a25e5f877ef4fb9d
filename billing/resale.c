/* billing/resale.c -- see resale.h. */
#include "billing/resale.h"
#include "base/db.h"
#include "billing/alert.h"
#include "billing/books_roll.h"
#include "billing/checkpoint.h"
#include "billing/lines.h"
#include "billing/posting.h"
#include <assert.h>

static const char sql_hold[] = "INSERT INTO resale_hold VALUES (?1,?2,?3,?4)";
static const char sql_insert[] = "INSERT INTO resale VALUES (?1,?2,?3,?4,?5,?6,?7)";
static const char sql_forget[] = "DELETE FROM resale_checkpoint WHERE rid = ?1";
/* The columns that checkpoint_read wants: what is of both legs stands in that of the request. */
static const char sql_orphan[] =
    "SELECT h.project, h.price_version, h.hold_atoms +"
    " (SELECT coalesce(sum(resale_atoms), 0) FROM hold_more m WHERE m.rid = h.rid), k.model, c.model_served, c.backend,"
    " k.amount_atoms, k.lines, c.first_byte_us FROM resale_hold h"
    " LEFT JOIN resale_checkpoint k USING (rid) LEFT JOIN checkpoint c USING (rid) WHERE h.rid = ?1";

/* ---- hold ---------------------------------------------------------------------------------- */

enum status resale_plan(struct books *b, const struct ledger_hold *h, struct resale_leg *ret)
{
    const struct resale_hold *r = h->resale;
    assert(r->hold.atoms >= 0);
    enum status s = books_payer(b, r->project, &ret->budget, &ret->purse);
    if (s)
        return s;
    if (!budget_admits(ret->budget, r->hold.atoms))
        return alert_budget_stop(b, ret->budget);
    s = purse_plan(ret->purse, h->model, r->hold.atoms, b->batch_us, &ret->draws);
    return s == STATUS_NO_QUOTA ? alert_purse_stop(b, ret->purse) : s;
}

static enum status insert_hold(struct books *b, const struct ledger_hold *h)
{
    struct db_stmt *s = db_prepare(b->db, sql_hold);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, h->rid);
    db_int(s, 2, h->resale->project);
    db_int(s, 3, h->resale->price_version);
    db_int(s, 4, h->resale->hold.atoms);
    return db_run(s);
}

enum status resale_take(struct books *b, const struct ledger_hold *h, const struct resale_leg *leg)
{
    if (insert_hold(b, h) != STATUS_OK)
        return STATUS_STORE_FAILED;
    enum status s = purse_hold(&b->purses, leg->purse, -h->rid, &leg->draws);
    if (!s)
        leg->budget->held += h->resale->hold.atoms; /* budget_admits said so, in this operation */
    return s;
}

/* ---- settle -------------------------------------------------------------------------------- */

enum status resale_insert(struct books *b, const struct ledger_settle *leg)
{
    char lines[LINES_TEXT_BYTES], draws[DRAWS_TEXT_BYTES];
    size_t lines_len = lines_text(leg->lines, leg->line_count, leg->facts, lines);
    size_t draws_len = draws_text(&leg->paid, draws);
    struct db_stmt *s = db_prepare(b->db, sql_insert);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, leg->rid);
    db_int(s, 2, leg->project);
    db_int(s, 3, leg->model);
    db_int(s, 4, leg->price_version);
    db_int(s, 5, leg->amount.atoms);
    db_text(s, 6, lines, (ptrdiff_t)lines_len);
    db_text(s, 7, draws_len ? draws : NULL, (ptrdiff_t)draws_len);
    return db_run(s);
}

static enum status forget_checkpoint(struct books *b, rid_t rid)
{
    struct db_stmt *s = db_prepare(b->db, sql_forget);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, rid);
    return db_run(s);
}

enum status resale_settled(struct books *b, const struct ledger_settle *t, struct purse *customer)
{
    posting_note_cost(b, customer, t->amount.atoms, 0);
    enum status s = books_roll_up(b, t->resale, customer->period);
    return s || !t->checkpointed ? s : forget_checkpoint(b, t->rid);
}

/* ---- recovery ------------------------------------------------------------------------------ */

static void read_orphan(struct db_stmt *row, const struct ledger_settle *t,
                        struct ledger_settle *ret, char facts[static FACTS_TEXT_BYTES])
{
    *ret = (struct ledger_settle){
        .rid = t->rid,
        .project = db_col_int(row, 0),
        .key = t->key,
        .model = t->model,
        .endpoint = t->endpoint,
        .price_version = db_col_int(row, 1),
        .hold.atoms = db_col_int(row, 2),
        .outcome = t->outcome,
        .evidence = t->evidence,
        .is_resale = true,
    };
    if (t->outcome == OUTCOME_ORPHAN)
        (void)checkpoint_read(row, 3, ret, facts); /* what cannot be read costs nothing */
}

enum status resale_orphan(struct books *b, const struct ledger_settle *t, struct ledger_settle *ret,
                          char facts[static FACTS_TEXT_BYTES], bool *ret_found)
{
    struct db_stmt *s = db_prepare(b->db, sql_orphan);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, t->rid);
    enum db_row row = db_step(s);
    *ret_found = row == DB_ROW;
    if (*ret_found)
        read_orphan(s, t, ret, facts);
    enum status status = row == DB_FAILED ? db_status(b->db) : STATUS_OK;
    db_reset(s);
    return status;
}
