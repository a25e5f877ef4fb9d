/* billing/invoice_issue.c -- a draft becomes a document: it gets the next number,
 * is posted, and is frozen as canonical JSON.  All of it happens in the savepoint
 * of one ledger_call, so a number that is not used is not taken either. */
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/invoice.h"
#include "billing/accounts.h"
#include "billing/period.h"
#include "billing/posting.h"
#include <inttypes.h>

enum { NUMBER_BYTES = 96, SERIES_BYTES = 64 };

static const char sql_next[] = "INSERT INTO doc_counter VALUES (?1, 2)"
                               " ON CONFLICT DO UPDATE SET next = next + 1 RETURNING next - 1";
static const char sql_insert[] =
    "INSERT INTO document VALUES (?1,?2,380,?3,?4,NULL,?5,?6,?7,?8,?9,?10)";
static const char sql_period[] =
    "INSERT INTO billing_period (organization, starts_us, ends_us, time_zone, closed_us)"
    " VALUES (?1,?2,?3,'UTC',?4) ON CONFLICT DO UPDATE SET closed_us = excluded.closed_us"
    " RETURNING id";

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

/* Debit receivable what is asked for; credit what was unbilled, what rounding
 * added, and the tax.  The four sum to zero by construction of the totals. */
static enum status post(struct db *db, const struct invoice *i, const char *number, int64_t now_us)
{
    int64_t minor = invoice_minor_atoms(i->seller);
    const struct {
        enum account_code code;
        int64_t atoms;
    } legs[] = {
        { ACCOUNT_RECEIVABLE, i->gross_minor * minor },
        { ACCOUNT_UNBILLED, -i->exact_atoms },
        { ACCOUNT_ROUNDING, -i->rounding_atoms },
        { ACCOUNT_TAX_PAYABLE, -(i->tax_minor * minor) },
    };
    int64_t tx;
    enum status s = posting_tx(db, "invoice", now_us, i->organization, number, &tx);
    for (unsigned k = 0; k < sizeof legs / sizeof legs[0] && !s; k++)
        s = posting_entry(db, tx, account_id(i->organization, legs[k].code), legs[k].atoms);
    return s;
}

/* From now on nothing is counted in the period any more. */
static enum status close_period(struct db *db, struct invoice *i, int64_t now_us)
{
    struct db_stmt *s = db_prepare(db, sql_period);
    if (!s)
        return db_status(db);
    db_int(s, 1, i->organization);
    db_int(s, 2, i->from_us);
    db_int(s, 3, i->to_us);
    db_int(s, 4, now_us);
    enum db_row row = db_step(s);
    if (row == DB_ROW)
        i->period = db_col_int(s, 0);
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    if (row == DB_ROW && db_step(s) == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
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
    db_int(s, 3, i->organization);
    db_int(s, 4, i->period);
    db_int(s, 5, now_us);
    db_int(s, 6, i->net_minor);
    db_int(s, 7, i->tax_minor);
    db_int(s, 8, i->gross_minor);
    db_int(s, 9, i->exact_atoms);
    db_text(s, 10, text, -1);
    return db_run(s);
}

static enum status issue(struct db *db, struct invoice *i, int64_t now_us, json_t **ret)
{
    struct number number;
    enum status s = close_period(db, i, now_us);
    if (!s)
        s = take_number(db, i->seller->series, now_us, &number);
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

enum status invoice_issue(struct db *db, const char *organization, const char *month,
                          const struct seller *s, int64_t now_us, json_t **ret)
{
    json_t *document = NULL;
    enum status status = invoice_find(db, organization, month, &document);
    if (status)
        return status;
    if (document) {
        *ret = document;
        return STATUS_OK;
    }
    AUTO(invoice_clear) struct invoice i = { 0 };
    status = invoice_draft(db, organization, month, s, &i);
    if (status)
        return status;
    return now_us < i.to_us ? STATUS_CONFLICT : issue(db, &i, now_us, ret);
}
