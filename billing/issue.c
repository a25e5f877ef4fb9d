/* billing/issue.c -- a draft becomes a document: it is approved, gets the next number, is
 * posted, and is frozen as canonical JSON.  All of it happens in the savepoint of one
 * ledger_call, so a number that is not used is not taken either. */
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/closing.h"
#include "billing/decimal.h"
#include "billing/document.h"
#include "billing/opening.h"
#include "billing/organization.h"
#include "billing/payout.h"
#include "billing/period.h"
#include "billing/posting.h"
#include "billing/zone.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char sql_next[] = "INSERT INTO doc_counter VALUES (?1, 2)"
                               " ON CONFLICT DO UPDATE SET next = next + 1 RETURNING next - 1";
static const char sql_insert[] =
    "INSERT INTO document VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)";
static const char sql_close[] =
    "INSERT INTO billing_period (organization, starts_us, ends_us, time_zone, closed_us)"
    " VALUES (?1,?2,?3,?4,?5) ON CONFLICT DO UPDATE SET closed_us = excluded.closed_us"
    " RETURNING id";
static const char sql_approve[] =
    "INSERT INTO approval (organization, starts_us, approved_by, approved_us, body_sha256)"
    " VALUES (?1,?2,?3,?4,?5)";
static const char sql_approved[] = "SELECT count(*) FROM approval WHERE organization = ?1"
                                   " AND starts_us = ?2 AND body_sha256 = ?3";
static const char sql_pay[] =
    "INSERT INTO payment (document, amount_minor, note, paid_us) VALUES (?1,?2,?3,?4)";
static const char sql_open[] =
    "SELECT d.organization, d.gross_minor - (SELECT coalesce(sum(amount_minor), 0) FROM payment"
    "  WHERE document = d.number) - (SELECT coalesce(sum(c.gross_minor), 0) FROM document c"
    "  WHERE c.refers_to = d.number) FROM document d WHERE d.number = ?1 AND d.type = 380";

/* The integer that a bound INSERT .. RETURNING gives. */
static enum status returned(struct db *db, struct db_stmt *s, int64_t *ret)
{
    enum db_row row = db_step(s);
    if (row == DB_ROW)
        *ret = db_col_int(s, 0);
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    if (row == DB_ROW && db_step(s) == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

enum status document_number(struct db *db, const char *series, const struct zone *z, int64_t now_us,
                            char ret_series[static 64],
                            char ret_number[static DOCUMENT_NUMBER_BYTES])
{
    int year, month, day;
    int64_t next = 0;
    zone_date(z, now_us, &year, &month, &day);
    int len = snprintf(ret_series, 64, "%.50s-%04d", series, year);
    struct db_stmt *s = len > 0 && len < 64 ? db_prepare(db, sql_next) : NULL;
    if (!s)
        return len > 0 && len < 64 ? db_status(db) : STATUS_BAD_FIELD;
    db_text(s, 1, ret_series, -1);
    enum status status = returned(db, s, &next);
    snprintf(ret_number, DOCUMENT_NUMBER_BYTES, "%s-%06" PRId64, ret_series, next);
    return status;
}

enum status document_freeze(struct db *db, int type, const char *series, const json_t *document,
                            int64_t organization, int64_t period, const char *refers_to,
                            const int64_t amounts[static 4], int64_t now_us)
{
    AUTO(free_ptr) char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
    struct db_stmt *s = text ? db_prepare(db, sql_insert) : NULL;
    if (!s)
        return text ? db_status(db) : STATUS_NO_MEMORY;
    db_text(s, 1, json_string_value(json_object_get(document, "number")), -1);
    db_text(s, 2, series, -1);
    db_int(s, 3, type);
    db_int(s, 4, organization);
    if (period)
        db_int(s, 5, period);
    else
        db_null(s, 5);
    db_text(s, 6, refers_to, -1);
    db_int(s, 7, now_us);
    for (int i = 0; i < 4; i++)
        db_int(s, 8 + i, amounts[i]);
    db_text(s, 12, text, -1);
    return db_run(s);
}

/* ---- issue --------------------------------------------------------------------------------- */

/* Debit receivable what is asked for; credit what was unbilled, what rounding added, and the tax. */
static enum status post(struct db *db, const struct draft *d, const char *number, int64_t now_us)
{
    int64_t unit = money_minor_atoms(d->seller->minor_digits);
    const struct {
        enum account_code code;
        int64_t atoms;
    } legs[] = {
        { ACCOUNT_RECEIVABLE, d->gross_minor * unit },
        { ACCOUNT_UNBILLED, -d->exact_atoms },
        { ACCOUNT_ROUNDING, -d->rounding_atoms },
        { ACCOUNT_TAX_PAYABLE, -d->tax_minor * unit },
    };
    int64_t tx;
    if (d->gross_minor == 0 && d->exact_atoms == 0)
        return STATUS_OK;
    enum status s = posting_tx(db, "invoice", now_us, d->organization, number, &tx);
    for (unsigned k = 0; k < sizeof legs / sizeof legs[0] && !s; k++)
        s = posting_entry(db, tx, account_id(d->organization, legs[k].code), legs[k].atoms);
    return s;
}

/* From now on nothing is counted in the period any more. */
static enum status close_period(struct db *db, struct draft *d, int64_t now_us)
{
    struct db_stmt *s = db_prepare(db, sql_close);
    if (!s)
        return db_status(db);
    db_int(s, 1, d->organization);
    db_int(s, 2, d->from_us);
    db_int(s, 3, d->to_us);
    db_text(s, 4, zone_name(d->zone), -1);
    db_int(s, 5, now_us);
    return returned(db, s, &d->period);
}

static enum status freeze(struct db *db, struct draft *d, int64_t now_us, json_t **ret)
{
    char series[64], number[DOCUMENT_NUMBER_BYTES];
    enum status s = seller_may_issue(db, d->seller, &d->own_seller);
    if (!s)
        s = close_period(db, d, now_us);
    if (!s)
        s = document_number(db, d->seller->series, d->zone, now_us, series, number);
    if (s)
        return s;
    AUTO(json_decref_ptr) json_t *document = document_of_draft(d, number, now_us);
    if (!document)
        return STATUS_NO_MEMORY;
    s = document_freeze(db, DOCUMENT_INVOICE, series, document, d->organization, d->period, NULL,
                        (int64_t[4]){ d->net_minor, d->tax_minor, d->gross_minor, d->exact_atoms },
                        now_us);
    if (!s)
        s = post(db, d, number, now_us);
    const struct volume_period p = { d->organization, d->from_us, d->to_us, number };
    if (!s)
        s = volume_post(db, &d->volume, &p, now_us);
    if (!s && !d->own_seller.name) /* partners earn by what the operator sells, once */
        s = payout_share(db, document, now_us);
    if (!s)
        *ret = TAKE(document);
    return s;
}

static enum status check_approval(struct db *db, const struct draft *d)
{
    uint8_t sha256[32];
    if (!d->contract.plan.approval)
        return STATUS_OK;
    struct db_stmt *s = db_prepare(db, sql_approved);
    enum status status = s ? document_digest(d, sha256) : db_status(db);
    if (status)
        return status;
    db_int(s, 1, d->organization);
    db_int(s, 2, d->from_us);
    db_blob(s, 3, sha256, sizeof sha256);
    int64_t approved;
    status = db_first_int(db, s, &approved);
    return status ? status : approved ? STATUS_OK : STATUS_FORBIDDEN;
}

/* What closing adds becomes rows first, and the document is built from rows alone. */
static enum status write_closing(struct db *db, const struct draft *d, int64_t now_us)
{
    struct closing c;
    enum status s =
        closing_compute(db, d->organization, d->zone, d->from_us, d->to_us, d->used_atoms, &c);
    return s ? s : closing_write(db, d->organization, d->zone, d->from_us, d->to_us, &c, now_us);
}

enum status document_issue(struct db *db, const char *organization, const char *month,
                           const struct seller *s, int64_t now_us, json_t **ret)
{
    AUTO(draft_clear) struct draft shown = { 0 };
    AUTO(draft_clear) struct draft d = { 0 };
    enum status status = draft_begin(db, organization, month, s, now_us, &shown);
    if (!status)
        status = document_find_invoice(db, shown.organization, shown.from_us, ret);
    if (status || *ret)
        return status;
    if (now_us < shown.to_us)
        return STATUS_CONFLICT;
    status = draft_fill(db, &shown, true);
    if (!status)
        status = check_approval(db, &shown);
    if (!status)
        status = write_closing(db, &shown, now_us);
    if (!status)
        status = draft_build(db, organization, month, s, false, now_us, &d);
    return status ? status : freeze(db, &d, now_us, ret);
}

enum status document_cut(struct db *db, const char *organization, int64_t now_us)
{
    int64_t id;
    enum status s = organization_find(db, organization, &id);
    return s ? s : opening_cut(db, id, now_us);
}

/* ---- approval and payment ------------------------------------------------------------------ */

enum status document_approve(struct db *db, const char *organization, const char *month,
                             const struct seller *s, const char *by, int64_t now_us, json_t **ret)
{
    AUTO(draft_clear) struct draft d = { 0 };
    uint8_t sha256[32];
    *ret = NULL;
    enum status status = draft_begin(db, organization, month, s, now_us, &d);
    if (!status)
        status = document_find_invoice(db, d.organization, d.from_us, ret);
    if (!status && (*ret || now_us < d.to_us))
        return STATUS_CONFLICT;
    if (!status)
        status = draft_fill(db, &d, true);
    if (!status)
        status = document_digest(&d, sha256);
    struct db_stmt *insert = status ? NULL : db_prepare(db, sql_approve);
    if (!insert)
        return status ? status : db_status(db);
    db_int(insert, 1, d.organization);
    db_int(insert, 2, d.from_us);
    db_text(insert, 3, by, -1);
    db_int(insert, 4, now_us);
    db_blob(insert, 5, sha256, sizeof sha256);
    status = db_run(insert);
    *ret = status ? NULL : document_of_draft(&d, NULL, now_us);
    return status ? status : *ret ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status insert_payment(struct db *db, const char *number, int64_t minor,
                                  const char *note, int64_t now_us)
{
    struct db_stmt *s = db_prepare(db, sql_pay);
    if (!s)
        return db_status(db);
    db_text(s, 1, number, -1);
    db_int(s, 2, minor);
    db_text(s, 3, note, -1);
    db_int(s, 4, now_us);
    return db_run(s);
}

enum status document_pay(struct db *db, const char *number, const char *amount, const char *note,
                         int64_t now_us, json_t **ret)
{
    AUTO(json_decref_ptr) json_t *d = NULL;
    enum status s = document_find(db, number, &d);
    struct db_stmt *open = s ? NULL : db_prepare(db, sql_open);
    if (!open)
        return s ? s : db_status(db);
    int digits = (int)json_integer_value(json_object_get(d, "minor_digits"));
    int64_t organization = 0, left = 0, minor = 0;
    db_text(open, 1, number, -1);
    if (db_step(open) == DB_ROW) {
        organization = db_col_int(open, 0);
        left = db_col_int(open, 1);
    }
    db_reset(open);
    if (!decimal_parse_amount(amount, digits, &minor) || minor <= 0 || minor > left)
        return STATUS_BAD_FIELD;
    const struct transfer paid = { .kind = "payment",
                                   .ref = number,
                                   .organization = organization,
                                   .debit = ACCOUNT_CASH,
                                   .credit = ACCOUNT_RECEIVABLE,
                                   .atoms = minor * money_minor_atoms(digits) };
    s = insert_payment(db, number, minor, note, now_us);
    if (!s)
        s = posting_transfer(db, &paid, now_us);
    return s ? s : document_find(db, number, ret);
}
