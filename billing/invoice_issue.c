/* billing/invoice_issue.c -- a draft becomes a document: it gets the next number,
 * is posted, and is frozen as canonical JSON.  All of it happens in the savepoint
 * of one ledger_call, so a number that is not used is not taken either. */
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/invoice.h"
#include "billing/period.h"
#include "base/money.h"
#include <inttypes.h>

enum { NUMBER_BYTES = 96, SERIES_BYTES = 64 };
enum { /* account id = 8 * project + code */
       ACCOUNT_UNBILLED = 1,
       ACCOUNT_RECEIVABLE = 3,
       ACCOUNT_ROUNDING = 4,
       ACCOUNT_TAX = 5,
};

static const char sql_next[] = "INSERT INTO doc_counter VALUES (?1, 2)"
                               " ON CONFLICT DO UPDATE SET next = next + 1 RETURNING next - 1";
static const char sql_insert[] = "INSERT INTO invoice VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)";
static const char sql_tx[] =
    "INSERT INTO ledger_tx (kind, at_us, project, ref) VALUES ('invoice',?1,?2,?3)";
static const char sql_entry[] = "INSERT INTO ledger_entry VALUES (?1,?2,?3)";
static const char sql_balance[] =
    "UPDATE account_balance SET posted_atoms = posted_atoms + ?2 WHERE account = ?1";

struct number {
    char series[SERIES_BYTES], text[NUMBER_BYTES];
};

/* The year is that of the issue, as the law of most places asks for. */
static enum status take_number(struct db *db, const char *series, int64_t now_us,
                               struct number *ret)
{
    int len = snprintf(ret->series, sizeof ret->series, "%s-%04d", series, period_year(now_us));
    if (len < 0 || (size_t)len >= sizeof ret->series)
        return STATUS_BAD_FIELD;
    struct db_stmt *s = db_prepare(db, sql_next);
    if (!s)
        return db_status(db);
    db_text(s, 1, ret->series, -1);
    enum db_row row = db_step(s);
    if (row == DB_ROW)
        snprintf(ret->text, sizeof ret->text, "%s-%06" PRId64, ret->series, db_col_int(s, 0));
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    if (row == DB_ROW && db_step(s) == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

static enum status post_entry(struct db *db, int64_t tx, int64_t account, int64_t atoms)
{
    if (atoms == 0)
        return STATUS_OK;
    struct db_stmt *entry = db_prepare(db, sql_entry);
    struct db_stmt *balance = db_prepare(db, sql_balance);
    db_int(entry, 1, tx);
    db_int(entry, 2, account);
    db_int(entry, 3, atoms);
    enum status s = db_run(entry);
    if (s)
        return s;
    db_int(balance, 1, account);
    db_int(balance, 2, atoms);
    return db_run(balance);
}

/* Debit receivable what is asked for; credit what was unbilled, what rounding
 * added, and the tax.  The four sum to zero by construction of the totals. */
static enum status post(struct db *db, const struct invoice *i, const char *number, int64_t now_us)
{
    int64_t minor = invoice_minor_atoms(i->seller);
    const struct {
        int64_t code, atoms;
    } legs[] = {
        { ACCOUNT_RECEIVABLE, i->gross_minor * minor },
        { ACCOUNT_UNBILLED, -i->exact_atoms },
        { ACCOUNT_ROUNDING, -i->rounding_atoms },
        { ACCOUNT_TAX, -(i->tax_minor * minor) },
    };
    struct db_stmt *tx = db_prepare(db, sql_tx);
    db_int(tx, 1, now_us);
    db_int(tx, 2, i->project);
    db_text(tx, 3, number, -1);
    enum status s = db_run(tx);
    int64_t id = db_last_id(db);
    for (unsigned k = 0; k < sizeof legs / sizeof legs[0] && !s; k++)
        s = post_entry(db, id, 8 * i->project + legs[k].code, legs[k].atoms);
    return s;
}

static enum status freeze(struct db *db, const struct invoice *i, const struct number *number,
                          const json_t *document, int64_t now_us)
{
    AUTO(free_ptr) char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return STATUS_NO_MEMORY;
    struct db_stmt *s = db_prepare(db, sql_insert);
    db_text(s, 1, number->text, -1);
    db_text(s, 2, number->series, -1);
    db_int(s, 3, i->project);
    db_text(s, 4, i->month, -1);
    db_int(s, 5, now_us);
    db_int(s, 6, i->net_minor);
    db_int(s, 7, i->tax_minor);
    db_int(s, 8, i->gross_minor);
    db_int(s, 9, i->exact_atoms);
    db_text(s, 10, text, -1);
    return db_run(s);
}

static enum status issue(struct db *db, const struct invoice *i, int64_t now_us, json_t **ret)
{
    struct number number;
    enum status s = take_number(db, i->seller->series, now_us, &number);
    if (s)
        return s;
    AUTO(json_decref_ptr) json_t *document = invoice_document(i, number.text, now_us);
    if (!document)
        return STATUS_NO_MEMORY;
    s = freeze(db, i, &number, document, now_us);
    if (!s && (i->gross_minor != 0 || i->exact_atoms != 0))
        s = post(db, i, number.text, now_us);
    if (!s)
        *ret = TAKE(document);
    return s;
}

enum status invoice_issue(struct db *db, const char *project, const char *month,
                          const struct seller *s, int64_t now_us, json_t **ret)
{
    json_t *document = NULL;
    enum status status = invoice_find(db, project, month, &document);
    if (status)
        return status;
    if (document) {
        *ret = document;
        return STATUS_OK;
    }
    AUTO(invoice_clear) struct invoice i = { 0 };
    status = invoice_draft(db, project, month, s, &i);
    if (status)
        return status;
    return now_us < i.to_us ? STATUS_CONFLICT : issue(db, &i, now_us, ret);
}
