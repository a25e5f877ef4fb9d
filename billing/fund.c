/* billing/fund.c -- see fund.h. */
#include "billing/fund.h"
#include "base/cleanup.h"
#include "base/db_list.h"
#include "billing/ledger.h"
#include "billing/period.h"
#include "billing/posting.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char sql_insert[] =
    "INSERT INTO fund (organization, kind, model, priority, from_us, to_us, amount_atoms, note,"
    " created_us) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)";
static const char sql_charge[] =
    "INSERT INTO charge (organization, at_us, kind, text, amount_atoms, fund, created_us, deferred,"
    " tax_category, tax_basis_points) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)";
static const char sql_closed[] =
    "SELECT count(*) FROM billing_period WHERE organization = ?1 AND starts_us <= ?2"
    " AND ends_us > ?2 AND closed_us <> 0";
static const char sql_over[] =
    "SELECT f.id, f.organization, f.kind, f.amount_atoms - b.drawn_atoms - b.expired_atoms"
    " FROM fund_balance b JOIN fund f ON f.id = b.fund WHERE b.open_until <= ?1 AND f.id > ?2"
    " AND f.amount_atoms > b.drawn_atoms + b.expired_atoms ORDER BY f.id LIMIT 1";
static const char sql_put_away[] =
    "UPDATE fund_balance SET open_until = NULL WHERE open_until IS NOT NULL"
    " AND (open_until <= ?2 OR fund IN (SELECT id FROM fund WHERE organization = ?1))"
    " AND drawn_atoms + expired_atoms = (SELECT amount_atoms FROM fund WHERE id = fund)";
static const char sql_expired[] =
    "UPDATE fund_balance SET expired_atoms = expired_atoms + ?2 WHERE fund = ?1";
static const char sql_list[] =
    "SELECT f.id, f.kind, f.amount_atoms, b.drawn_atoms, b.expired_atoms, n.name, f.priority,"
    " f.from_us, f.to_us, f.note FROM fund f JOIN fund_balance b ON b.fund = f.id"
    " LEFT JOIN name n ON n.id = f.model WHERE f.organization = ?1 ORDER BY f.id";

/* The fund or charge of that number is what it refers to. */
static enum status post(struct db *db, struct transfer t, int64_t number, int64_t now_us)
{
    char ref[24];
    snprintf(ref, sizeof ref, "%" PRId64, number);
    t.ref = ref;
    return posting_transfer(db, &t, now_us);
}

enum status fund_add(struct db *db, const struct fund_new *f, int64_t now_us, int64_t *ret_id)
{
    int64_t model = 0;
    if (f->amount.atoms <= 0 || f->to_us <= f->from_us)
        return STATUS_BAD_FIELD;
    enum status s = *f->model ? ledger_name_id(db, f->model, &model) : STATUS_OK;
    struct db_stmt *insert = s ? NULL : db_prepare(db, sql_insert);
    if (!insert)
        return s ? s : db_status(db);
    db_int(insert, 1, f->organization);
    db_text(insert, 2, f->kind, -1);
    db_int(insert, 3, model);
    db_int(insert, 4, f->priority);
    db_int(insert, 5, f->from_us);
    db_int(insert, 6, f->to_us);
    db_int(insert, 7, f->amount.atoms);
    db_text(insert, 8, f->note, -1);
    db_int(insert, 9, now_us);
    s = db_run(insert);
    if (s)
        return s;
    *ret_id = db_last_id(db);
    if (strcmp(f->kind, "prepaid") == 0)
        return post(db,
                    (struct transfer){ .kind = "top_up",
                                       .organization = f->organization,
                                       .debit = ACCOUNT_CASH,
                                       .credit = ACCOUNT_CUSTOMER_PREPAID,
                                       .atoms = f->amount.atoms },
                    *ret_id, now_us);
    if (strcmp(f->kind, "commit") != 0)
        return STATUS_OK;
    const struct charge_new c = {
        .organization = f->organization,
        .kind = "commitment",
        .text = *f->note ? f->note : "commitment",
        .amount = f->amount,
        .at_us = now_us,
        .fund = *ret_id,
    };
    return charge_add(db, &c, now_us);
}

/* ---- charges ------------------------------------------------------------------------------- */

static enum status check_open(struct db *db, const struct charge_new *c)
{
    struct db_stmt *s = db_prepare(db, sql_closed);
    if (!s)
        return db_status(db);
    db_int(s, 1, c->organization);
    db_int(s, 2, c->at_us);
    int64_t closed;
    enum status status = db_first_int(db, s, &closed);
    return status ? status : closed ? STATUS_CONFLICT : STATUS_OK;
}

enum status charge_add(struct db *db, const struct charge_new *c, int64_t now_us)
{
    enum status s = c->amount.atoms > 0 ? check_open(db, c) : STATUS_BAD_FIELD;
    struct db_stmt *insert = s ? NULL : db_prepare(db, sql_charge);
    if (!insert)
        return s ? s : db_status(db);
    db_int(insert, 1, c->organization);
    db_int(insert, 2, c->at_us);
    db_text(insert, 3, c->kind, -1);
    db_text(insert, 4, c->text, -1);
    db_int(insert, 5, c->amount.atoms);
    if (c->fund)
        db_int(insert, 6, c->fund);
    else
        db_null(insert, 6);
    db_int(insert, 7, now_us);
    db_int(insert, 8, c->deferred);
    db_text(insert, 9, c->tax_category, -1);
    if (c->tax_category)
        db_int(insert, 10, c->tax_basis_points);
    else
        db_null(insert, 10);
    s = db_run(insert);
    int64_t id = db_last_id(db);
    enum account_code earned = c->fund       ? ACCOUNT_CUSTOMER_COMMIT
                               : c->deferred ? ACCOUNT_DEFERRED_REVENUE
                                             : ACCOUNT_REVENUE;
    return s ? s
             : post(db,
                    (struct transfer){ .kind = "charge",
                                       .organization = c->organization,
                                       .debit = ACCOUNT_UNBILLED,
                                       .credit = earned,
                                       .atoms = c->amount.atoms },
                    id, now_us);
}

/* ---- the end of a fund --------------------------------------------------------------------- */

struct over {
    int64_t id, organization, left;
    char kind[16];
};

static enum status next_over(struct db *db, int64_t now_us, int64_t after, struct over *ret)
{
    struct db_stmt *s = db_prepare(db, sql_over);
    if (!s)
        return db_status(db);
    db_int(s, 1, now_us);
    db_int(s, 2, after);
    enum db_row row = db_step(s);
    *ret = (struct over){ 0 };
    if (row == DB_ROW) {
        ret->id = db_col_int(s, 0);
        ret->organization = db_col_int(s, 1);
        ret->left = db_col_int(s, 3);
        snprintf(ret->kind, sizeof ret->kind, "%s", db_col_text(s, 2, NULL));
    }
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

/* A grant was never anybody's money, so there is nothing to post. */
static enum status expire(struct db *db, const struct over *o, int64_t now_us)
{
    struct db_stmt *s = db_prepare(db, sql_expired);
    if (!s)
        return db_status(db);
    db_int(s, 1, o->id);
    db_int(s, 2, o->left);
    enum status status = db_run(s);
    if (status || strcmp(o->kind, "promo") == 0)
        return status;
    bool prepaid = strcmp(o->kind, "prepaid") == 0;
    return post(
        db,
        (struct transfer){ .kind = "expired",
                           .organization = o->organization,
                           .debit = prepaid ? ACCOUNT_CUSTOMER_PREPAID : ACCOUNT_CUSTOMER_COMMIT,
                           .credit = ACCOUNT_BREAKAGE,
                           .atoms = o->left },
        o->id, now_us);
}

static enum status put_away(struct db *db, int64_t organization, int64_t now_us)
{
    struct db_stmt *s = db_prepare(db, sql_put_away);
    if (!s)
        return db_status(db);
    db_int(s, 1, organization);
    db_int(s, 2, now_us);
    return db_run(s);
}

enum status funds_expire(struct db *db, const struct marks *marks, int64_t organization,
                         int64_t now_us)
{
    struct over o = { 0 };
    enum status s;
    while (!(s = next_over(db, now_us, o.id, &o)) && o.id) {
        o.left -= marks_of_fund(marks, o.id);
        if (o.left > 0 && (s = expire(db, &o, now_us)))
            break;
    }
    return s ? s : put_away(db, organization, now_us);
}

/* ---- for people ---------------------------------------------------------------------------- */

static const char *state_of(int64_t from_us, int64_t to_us, int64_t now_us)
{
    return now_us < from_us ? "later" : now_us < to_us ? "now" : "over";
}

static json_t *listed(struct db_stmt *s, const void *arg)
{
    int64_t now_us = *(const int64_t *)arg;
    char amount[MONEY_TEXT_BYTES], drawn[MONEY_TEXT_BYTES], expired[MONEY_TEXT_BYTES];
    char left[MONEY_TEXT_BYTES], from[PERIOD_TEXT_BYTES], to[PERIOD_TEXT_BYTES];
    int64_t rest = db_col_int(s, 2) - db_col_int(s, 3) - db_col_int(s, 4);
    bool ends = db_col_int(s, 8) != INT64_MAX;
    return json_pack(
        "{s:I, s:s, s:s, s:s, s:s, s:s, s:s?, s:I, s:s, s:s?, s:s, s:s}", "id",
        (json_int_t)db_col_int(s, 0), "kind", db_col_text(s, 1, NULL), "amount",
        money_text((money_t){ db_col_int(s, 2) }, 2, amount), "drawn",
        money_text((money_t){ db_col_int(s, 3) }, 2, drawn), "expired",
        money_text((money_t){ db_col_int(s, 4) }, 2, expired), "left",
        money_text((money_t){ rest }, 2, left), "model", db_col_text(s, 5, NULL), "priority",
        (json_int_t)db_col_int(s, 6), "from", period_instant_text(db_col_int(s, 7), from), "to",
        ends ? period_instant_text(db_col_int(s, 8), to) : NULL, "note", db_col_text(s, 9, NULL),
        "state", state_of(db_col_int(s, 7), db_col_int(s, 8), now_us));
}

enum status fund_list(struct db *db, int64_t organization, int64_t now_us, json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql_list);
    db_int(s, 1, organization);
    return db_list(db, s, listed, &now_us, ret);
}
