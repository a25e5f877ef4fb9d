/* billing/books.c -- the two inserts of a request, the sums that go with them, and
 * how memory follows the store.  This is the hot path of the ledger thread: bound
 * integers, statements prepared once, no allocation. */
#include "billing/books.h"
#include "base/db.h"
#include "billing/lines.h"
#include "billing/period.h"
#include <assert.h>

static const char sql_add_balance[] =
    "UPDATE account_balance SET posted_atoms = posted_atoms + ?2 WHERE account = ?1";
static const char sql_insert_entry[] = "INSERT INTO ledger_entry VALUES (?1,?2,?3)";
static const char sql_insert_open[] =
    "INSERT INTO request_open VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)";
static const char sql_insert_settlement[] =
    "INSERT INTO settlement VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)";
static const char sql_insert_tx[] =
    "INSERT INTO ledger_tx (kind, at_us, project) VALUES ('usage',?1,?2)";
static const char sql_set_floor[] = "UPDATE boot SET open_floor = ?2, settled_us = ?3"
                                    " WHERE boot = ?1";

enum { ACCOUNT_UNBILLED = 1, ACCOUNT_REVENUE = 2 }; /* account id = 8 * project + code */

enum status books_prepare(struct books *b)
{
    b->insert_open = db_prepare(b->db, sql_insert_open);
    b->insert_settlement = db_prepare(b->db, sql_insert_settlement);
    b->insert_tx = db_prepare(b->db, sql_insert_tx);
    b->insert_entry = db_prepare(b->db, sql_insert_entry);
    b->add_balance = db_prepare(b->db, sql_add_balance);
    b->set_floor = db_prepare(b->db, sql_set_floor);
    bool all = b->insert_open && b->insert_settlement && b->insert_tx && b->insert_entry &&
               b->add_balance && b->set_floor;
    return all ? STATUS_OK : db_status(b->db);
}

void books_close(struct books *b)
{
    budgets_free(&b->budgets);
}

void books_begin(struct books *b, int64_t now_us)
{
    assert(!b->unposted && b->rollup.rows == 0);
    b->batch_us = now_us > b->batch_us ? now_us : b->batch_us + 1;
    b->floor_written = b->floor_stored;
    budgets_roll(&b->budgets, b->batch_us);
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

enum status books_hold(struct books *b, const struct ledger_hold *h)
{
    assert(h->rid > 0 && h->hold.atoms >= 0);
    struct budget *budget = budget_find(&b->budgets, h->project);
    if (!budget || !budget_hold(budget, h->hold.atoms))
        return STATUS_NO_QUOTA;
    enum status s = insert_open(b, h);
    if (s)
        budget_unhold(budget, h->hold.atoms);
    else
        floor_add(&b->floor, h->rid, 1);
    return s;
}

bool books_adopt(struct books *b, rid_t rid, int64_t project, int64_t hold_atoms)
{
    struct budget *budget = budget_find(&b->budgets, project);
    if (!budget || __builtin_add_overflow(budget->held, hold_atoms, &budget->held))
        return false;
    floor_add(&b->floor, rid, 1);
    return true;
}

/* ---- settle -------------------------------------------------------------------------------- */

static enum status insert_settlement(struct books *b, const struct ledger_settle *t)
{
    char lines[LINES_TEXT_BYTES];
    size_t lines_len = lines_text(t->lines, t->line_count, lines);
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
    return db_run(s);
}

/* Asserted, not checked: the amount was computed by our own code from these lines. */
static void assert_amounts(const struct ledger_settle *t)
{
    int64_t sum = 0;
    assert(t->rid > 0 && t->line_count <= METER_COUNT);
    for (unsigned i = 0; i < t->line_count; i++) {
        assert((unsigned)t->lines[i].meter < METER_COUNT && t->lines[i].qty <= INT64_MAX);
        assert(t->lines[i].amount.atoms >= 0);
        bool overflow = __builtin_add_overflow(sum, t->lines[i].amount.atoms, &sum);
        assert(!overflow);
    }
    assert(sum == t->amount.atoms && t->amount.atoms <= t->hold.atoms);
}

static enum status roll_up(struct books *b, const struct ledger_settle *t, unsigned line)
{
    static const struct bill_line nothing = { .meter = METER_REQUESTS };
    const struct bill_line *l = t->line_count ? &t->lines[line] : &nothing;
    const struct rollup_key key = { t->project, t->key, t->model, l->meter, t->price_version };
    struct rollup_row *row = rollup_row(&b->rollup, &key);
    if (!row) {
        enum status s = rollup_write(&b->rollup, b->db, period_hour(b->batch_us));
        if (s)
            return s;
        row = rollup_row(&b->rollup, &key);
        assert(row);
    }
    row->qty += (int64_t)l->qty;
    row->atoms += l->amount.atoms;
    row->requests += line == 0;
    return STATUS_OK;
}

static void note_unposted(struct books *b, struct budget *budget, int64_t atoms)
{
    if (atoms == 0)
        return;
    if (budget->unposted == 0) {
        budget->next_unposted = b->unposted;
        b->unposted = budget;
    }
    budget->unposted += atoms;
}

enum status books_settle(struct books *b, const struct ledger_settle *t)
{
    assert_amounts(t);
    struct budget *budget = budget_find(&b->budgets, t->project);
    if (!budget)
        return STATUS_BAD_FIELD;
    enum status s = insert_settlement(b, t);
    if (s)
        return s;
    budget_settle(budget, t->hold.atoms, t->amount.atoms);
    floor_add(&b->floor, t->rid, -1);
    note_unposted(b, budget, t->amount.atoms);
    for (unsigned i = 0; i == 0 || i < t->line_count; i++)
        if ((s = roll_up(b, t, i)))
            break;
    if (books_is_answer(s) && s)
        s = STATUS_STORE_FAILED; /* a rollup that is refused is no answer to a settlement */
    if (s)
        books_undo(b, &t->op);
    return s;
}

/* ---- the end of a batch -------------------------------------------------------------------- */

static enum status post_entry(struct books *b, int64_t tx, int64_t account, int64_t atoms)
{
    db_int(b->insert_entry, 1, tx);
    db_int(b->insert_entry, 2, account);
    db_int(b->insert_entry, 3, atoms);
    enum status s = db_run(b->insert_entry);
    if (s)
        return s;
    db_int(b->add_balance, 1, account);
    db_int(b->add_balance, 2, atoms);
    return db_run(b->add_balance);
}

/* Debit unbilled, credit revenue: what the customer owes and has not been invoiced. */
static enum status post(struct books *b, const struct budget *budget)
{
    db_int(b->insert_tx, 1, b->batch_us);
    db_int(b->insert_tx, 2, budget->project);
    enum status s = db_run(b->insert_tx);
    if (s)
        return s;
    int64_t tx = db_last_id(b->db);
    s = post_entry(b, tx, 8 * budget->project + ACCOUNT_UNBILLED, budget->unposted);
    return s ? s : post_entry(b, tx, 8 * budget->project + ACCOUNT_REVENUE, -budget->unposted);
}

static void forget_unposted(struct books *b)
{
    for (struct budget *p = b->unposted; p; p = p->next_unposted)
        p->unposted = 0;
    b->unposted = NULL;
}

enum status books_flush(struct books *b)
{
    enum status s = rollup_write(&b->rollup, b->db, period_hour(b->batch_us));
    for (const struct budget *p = b->unposted; p && !s; p = p->next_unposted)
        s = post(b, p);
    forget_unposted(b);
    return books_is_answer(s) && s ? STATUS_STORE_FAILED : s;
}

enum status books_end(struct books *b)
{
    enum status s = books_flush(b);
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
}

void books_rolled_back(struct books *b)
{
    rollup_clear(&b->rollup);
    forget_unposted(b);
}

void books_undo(struct books *b, const struct ledger_op *op)
{
    if (op->kind == LEDGER_HOLD) {
        const struct ledger_hold *h = (const struct ledger_hold *)op;
        budget_unhold(budget_find(&b->budgets, h->project), h->hold.atoms);
        floor_add(&b->floor, h->rid, -1);
    } else if (op->kind == LEDGER_SETTLE) {
        const struct ledger_settle *t = (const struct ledger_settle *)op;
        budget_unsettle(budget_find(&b->budgets, t->project), t->hold.atoms, t->amount.atoms);
        floor_add(&b->floor, t->rid, 1);
    }
}

enum status books_mark_clean(struct books *b)
{
    static const char sql[] = "UPDATE boot SET clean = 1 WHERE boot = ?1";
    struct db_stmt *s = db_prepare(b->db, sql);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, b->boot);
    return db_run(s);
}
