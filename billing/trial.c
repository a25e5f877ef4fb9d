/* billing/trial.c -- see trial.h. */
#include "billing/trial.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/decimal.h"
#include "billing/report.h"

static const char sql_accounts[] =
    "SELECT a.kind, sum(b.posted_atoms) FROM account a JOIN account_balance b ON b.account = a.id"
    " JOIN organization o ON o.id = a.organization WHERE o.reseller IS ?1"
    " GROUP BY a.kind HAVING sum(b.posted_atoms) <> 0 ORDER BY min(a.id % 32)";

struct trial {
    json_t *rows;
    int64_t debit, credit;
};

static bool add_row(struct trial *t, struct db_stmt *s)
{
    char text[DECIMAL_TEXT_BYTES];
    int64_t atoms = db_col_int(s, 1);
    int64_t *side = atoms > 0 ? &t->debit : &t->credit;
    if (__builtin_add_overflow(*side, atoms > 0 ? atoms : -atoms, side))
        return false;
    const char *amount = decimal_exact(atoms > 0 ? atoms : -atoms, text);
    json_t *row = json_pack("{s:s, s:s, s:s}", "account", db_col_text(s, 0, NULL), "debit",
                            atoms > 0 ? amount : "0", "credit", atoms > 0 ? "0" : amount);
    return json_array_append_new(t->rows, row) == 0;
}

static enum status read_rows(struct db *db, int64_t reseller, struct trial *t)
{
    struct db_stmt *s = db_prepare(db, sql_accounts);
    if (!s)
        return db_status(db);
    if (reseller)
        db_int(s, 1, reseller);
    else
        db_null(s, 1);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = add_row(t, s) ? STATUS_OK : STATUS_BILLING_OVERFLOW;
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

enum status trial_balance(struct db *db, int64_t reseller, json_t **ret)
{
    char debit[DECIMAL_TEXT_BYTES], credit[DECIMAL_TEXT_BYTES];
    AUTO(json_decref_ptr) json_t *rows = json_array();
    AUTO(json_decref_ptr) json_t *currency = NULL;
    struct trial t = { .rows = rows };
    enum status s = rows ? report_currency(db, &currency) : STATUS_NO_MEMORY;
    if (!s)
        s = read_rows(db, reseller, &t);
    if (s)
        return s;
    *ret = json_pack("{s:O, s:O, s:s, s:s}", "currency", currency, "accounts", rows, "debit",
                     decimal_exact(t.debit, debit), "credit", decimal_exact(t.credit, credit));
    return *ret ? STATUS_OK : STATUS_NO_MEMORY;
}
