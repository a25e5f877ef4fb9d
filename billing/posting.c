/* billing/posting.c -- see posting.h. */
#include "billing/posting.h"
#include "base/db.h"
#include "billing/accounts.h"
#include <string.h>

static const char sql_insert_tx[] =
    "INSERT INTO ledger_tx (kind, at_us, organization, ref) VALUES (?1,?2,?3,?4)";
static const char sql_insert_entry[] = "INSERT INTO ledger_entry VALUES (?1,?2,?3)";
static const char sql_add_balance[] =
    "UPDATE account_balance SET posted_atoms = posted_atoms + ?2 WHERE account = ?1";
static const char sql_draw[] =
    "UPDATE fund_balance SET drawn_atoms = drawn_atoms + ?2 WHERE fund = ?1";
static const char sql_spend[] = "INSERT INTO project_spent VALUES (?1,?2)"
                                " ON CONFLICT DO UPDATE SET atoms = atoms + excluded.atoms";

enum status posting_tx(struct db *db, const char *kind, int64_t at_us, int64_t organization,
                       const char *ref, int64_t *ret_tx)
{
    struct db_stmt *s = db_prepare(db, sql_insert_tx);
    if (!s)
        return db_status(db);
    db_text(s, 1, kind, -1);
    db_int(s, 2, at_us);
    db_int(s, 3, organization);
    db_text(s, 4, ref, -1);
    enum status status = db_run(s);
    *ret_tx = db_last_id(db);
    return status;
}

/* A statement of two integers. */
static enum status run_pair(struct db *db, const char *sql, int64_t first, int64_t second)
{
    struct db_stmt *s = db_prepare(db, sql);
    if (!s)
        return db_status(db);
    db_int(s, 1, first);
    db_int(s, 2, second);
    return db_run(s);
}

enum status posting_entry(struct db *db, int64_t tx, int64_t account, int64_t atoms)
{
    struct db_stmt *s = atoms ? db_prepare(db, sql_insert_entry) : NULL;
    if (atoms == 0)
        return STATUS_OK;
    if (!s)
        return db_status(db);
    db_int(s, 1, tx);
    db_int(s, 2, account);
    db_int(s, 3, atoms);
    enum status status = db_run(s);
    return status ? status : run_pair(db, sql_add_balance, account, atoms);
}

enum status posting_transfer(struct db *db, const struct transfer *t, int64_t at_us)
{
    int64_t tx;
    enum status s = posting_tx(db, t->kind, at_us, t->organization, t->ref, &tx);
    if (!s)
        s = posting_entry(db, tx, account_id(t->organization, t->debit), t->atoms);
    return s ? s : posting_entry(db, tx, account_id(t->organization, t->credit), -t->atoms);
}

static void note_purse(struct books *b, struct purse *purse)
{
    if (purse->unposted)
        return;
    purse->unposted = true;
    purse->next_unposted = b->unposted_purses;
    b->unposted_purses = purse;
}

void posting_note(struct books *b, struct budget *budget, struct purse *purse, int64_t atoms)
{
    if (atoms == 0)
        return;
    if (budget->unposted == 0) {
        budget->next_unposted = b->unposted_budgets;
        b->unposted_budgets = budget;
    }
    budget->unposted += atoms;
    note_purse(b, purse);
}

void posting_note_cost(struct books *b, struct purse *purse, int64_t atoms, int64_t wasted)
{
    if (atoms == 0)
        return;
    purse->cost += atoms;
    purse->wasted += wasted;
    note_purse(b, purse);
}

void posting_forget(struct books *b)
{
    for (struct budget *p = b->unposted_budgets; p; p = p->next_unposted)
        p->unposted = 0;
    for (struct purse *p = b->unposted_purses; p; p = p->next_unposted) {
        memset(p->posts, 0, sizeof p->posts);
        p->on_credit = p->cost = p->wasted = 0;
        p->unposted = false;
    }
    b->unposted_budgets = NULL;
    b->unposted_purses = NULL;
}

/* Debit what pays: funds, and unbilled for what is owed; credit revenue. */
static enum status post_usage(struct books *b, const struct purse *p)
{
    static const enum account_code paid_from[FUND_KINDS] = {
        [FUND_PROMO] = ACCOUNT_CUSTOMER_PROMO,
        [FUND_COMMIT] = ACCOUNT_CUSTOMER_COMMIT,
        [FUND_PREPAID] = ACCOUNT_CUSTOMER_PREPAID,
    };
    int64_t tx, revenue = p->on_credit, org = p->organization;
    for (unsigned k = 0; k < FUND_KINDS; k++)
        revenue += p->posts[k];
    if (revenue == 0)
        return STATUS_OK;
    enum status s = posting_tx(b->db, "usage", b->batch_us, org, NULL, &tx);
    if (!s)
        s = posting_entry(b->db, tx, account_id(org, ACCOUNT_UNBILLED), p->on_credit);
    for (unsigned k = 0; k < FUND_KINDS && !s; k++)
        s = posting_entry(b->db, tx, account_id(org, paid_from[k]), p->posts[k]);
    return s ? s : posting_entry(b->db, tx, account_id(org, ACCOUNT_REVENUE), -revenue);
}

/* What no customer pays of what backends cost is ours to give. */
static enum status post_cost(struct books *b, const struct purse *p)
{
    int64_t tx, org = p->organization;
    if (p->cost == 0)
        return STATUS_OK;
    enum status s = posting_tx(b->db, "upstream", b->batch_us, org, NULL, &tx);
    if (!s)
        s = posting_entry(b->db, tx, account_id(org, ACCOUNT_UPSTREAM_COST), p->cost - p->wasted);
    if (!s)
        s = posting_entry(b->db, tx, account_id(org, ACCOUNT_GOODWILL), p->wasted);
    return s ? s : posting_entry(b->db, tx, account_id(org, ACCOUNT_UPSTREAM_PAYABLE), -p->cost);
}

static enum status draw_funds(struct books *b, struct purse *p)
{
    enum status s = STATUS_OK;
    for (unsigned i = 0; i < p->fund_count && !s; i++) {
        struct fund *f = &p->funds[i];
        if (f->drawn)
            s = run_pair(b->db, sql_draw, f->id, f->drawn);
        if (f->drawn && !s && db_changes(b->db) != 1)
            s = STATUS_STORE_FAILED; /* a fund without a row */
        f->drawn = 0;
    }
    return s;
}

/* All sums are written. */
static enum status look_for_alerts(struct books *b)
{
    enum status s = STATUS_OK;
    for (struct budget *p = b->unposted_budgets; p && !s; p = p->next_unposted)
        if (alert_budget_due(p))
            s = alert_budget(b, p);
    for (struct purse *p = b->unposted_purses; p && !s; p = p->next_unposted)
        if (alert_purse_due(p))
            s = alert_purse(b, p);
    return s;
}

enum status posting_flush(struct books *b)
{
    enum status s = STATUS_OK;
    for (struct budget *p = b->unposted_budgets; p && !s; p = p->next_unposted)
        s = run_pair(b->db, sql_spend, p->project, p->unposted);
    for (struct purse *p = b->unposted_purses; p && !s; p = p->next_unposted) {
        s = post_usage(b, p);
        if (!s)
            s = post_cost(b, p);
        if (!s)
            s = draw_funds(b, p);
    }
    if (!s)
        s = look_for_alerts(b);
    posting_forget(b);
    return s;
}
