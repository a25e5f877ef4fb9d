/* gateway/admin_documents.c -- see admin_documents.h. */
#include "gateway/admin_documents.h"
#include "base/cleanup.h"
#include "billing/document.h"
#include "billing/line_requests.h"
#include "billing/payout.h"
#include "billing/statement.h"
#include "gateway/admin_spec.h"
#include <inttypes.h>
#include <stddef.h>

enum { TEXT_MAX = 200 };

static const struct form {
    const char *name;
    char *(*print)(const json_t *document); /* NULL: as it is */
} forms[] = { { "json", NULL }, { "csv", document_csv }, { "html", document_html } };

static const struct form *form_of(const struct admin_job *job)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (!job->args.format || strcmp(forms[i].name, job->args.format) == 0)
            return &forms[i];
    return NULL;
}

enum status prepare_document(struct admin_job *job)
{
    const struct conf *c = job->daemon->conf;
    if (!form_of(job))
        return admin_refuse(job, STATUS_BAD_FIELD, "format", "a document is json, csv or html");
    if (job->args.month && !report_month(job->args.month, &job->from_us, &job->to_us))
        return admin_refuse(job, STATUS_BAD_FIELD, "month", "'%s' is not a month such as 2026-11",
                            job->args.month);
    job->seller = (struct seller){
        .name = arena_strdup(job->arena, c->seller_name),
        .address = arena_strdup(job->arena, c->seller_address),
        .tax_id = arena_strdup(job->arena, c->seller_tax_id),
        .series = arena_strdup(job->arena, c->invoice_series),
        .tax_basis_points = (int64_t)c->tax_basis_points,
        .minor_digits = (int)c->currency_minor_digits,
    };
    const struct seller *s = &job->seller;
    return s->name && s->address && s->tax_id && s->series ? STATUS_OK : STATUS_NO_MEMORY;
}

/* Takes the document. */
static enum status printed(struct admin_job *job, json_t *document)
{
    const struct form *f = form_of(job);
    if (!document || !f->print)
        return admin_answered(job, document);
    AUTO(free_ptr) char *text = f->print(document);
    json_decref(document);
    return admin_answered(job, text ? json_pack("{s:s}", f->name, text) : NULL);
}

/* Takes the invoice that there is; NULL: the month goes on. */
static enum status refuse_again(struct admin_job *job, json_t *document)
{
    AUTO(json_decref_ptr) json_t *issued = document;
    const char *number = json_string_value(json_object_get(issued, "number"));
    if (!number)
        return admin_refuse(job, STATUS_CONFLICT, "month",
                            "%s has not ended: it cannot be issued yet", job->args.month);
    return admin_refuse(job, STATUS_CONFLICT, "month", "%s is invoiced already: %s",
                        job->args.month, number);
}

/* Who sells, the operator or a reseller, cannot stand on a document yet. */
static enum status refuse_nameless(struct admin_job *job)
{
    if (*job->seller.name)
        return admin_refuse(job, STATUS_MISSING_FIELD, "organization",
                            "the reseller of '%s' has no series of documents yet: "
                            "maasgate org seller RESELLER --series SERIES",
                            job->args.organization);
    return admin_refuse(job, STATUS_MISSING_FIELD, "organization",
                        "an invoice says who sells: set seller_name, seller_address and "
                        "seller_tax_id, then maasgate reload (of a reseller: maasgate org seller "
                        "RESELLER --series SERIES)");
}

static enum status of_month(struct admin_job *job, enum status status, json_t *document)
{
    const struct admin_args *a = &job->args;
    switch (status) {
    case STATUS_OK:
        return printed(job, document);
    case STATUS_NOT_FOUND:
        return admin_refuse(job, status, "organization", "there is no organization '%s'",
                            a->organization);
    case STATUS_CONFLICT:
        return refuse_again(job, document);
    case STATUS_FORBIDDEN:
        return admin_refuse(job, status, "month",
                            "the contract wants an approval of this draft first: "
                            "maasgate invoice %s --org %s --approve NAME",
                            a->month, a->organization);
    case STATUS_MISSING_FIELD:
        return refuse_nameless(job);
    case STATUS_UNSUPPORTED_FIELD:
        return admin_refuse(job, STATUS_CONFLICT, "",
                            "a reseller numbers its documents in the series '%s': "
                            "set another invoice_series",
                            job->seller.series);
    default:
        return status;
    }
}

enum status run_invoice_get(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    json_t *document = NULL;
    enum status s =
        document_of_month(db, a->organization, a->month, &job->seller, now_us, &document);
    return of_month(job, s, document);
}

enum status run_invoice_approve(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    json_t *document = NULL;
    enum status s =
        document_approve(db, a->organization, a->month, &job->seller, a->by, now_us, &document);
    return of_month(job, s, document);
}

/* The organisation's receivable has changed, and with it what credit is left. */
static enum status money_moved(struct admin_job *job, enum status status)
{
    return status ? status : ledger_reload_projects(job->daemon->ledger);
}

/* A period that ends by a clock which is wrong would be closed for good. */
static enum status check_clock(struct admin_job *job)
{
    int64_t behind_us = ledger_clock_behind_us(job->daemon->ledger);
    if (behind_us <= LEDGER_CLOCK_CLOSE_US)
        return STATUS_OK;
    return admin_refuse(job, STATUS_CONFLICT, "month",
                        "the clock is %" PRId64 " s behind what was settled already: no period is "
                        "closed until it is right (less than 60 s)",
                        behind_us / 1000000);
}

enum status run_invoice_cut(struct admin_job *job, struct db *db, int64_t now_us)
{
    const char *organization = job->args.organization;
    enum status s = check_clock(job);
    if (s)
        return s;
    s = document_cut(db, organization, now_us);
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "organization",
                            "'%s' is no organization, or has used nothing since its last invoice",
                            organization);
    return s ? s : admin_changed(job, json_pack("{s:s}", "organization", organization));
}

enum status run_invoice_issue(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    json_t *document = NULL;
    enum status s = check_clock(job);
    if (s)
        return s;
    s = document_issue(db, a->organization, a->month, &job->seller, now_us, &document);
    return money_moved(job, of_month(job, s, document));
}

static enum status no_such(struct admin_job *job, enum status status)
{
    if (status == STATUS_NOT_FOUND)
        return admin_refuse(job, status, "number", "there is no document '%s'", job->args.number);
    return status;
}

static enum status refuse_payment(struct admin_job *job, struct db *db)
{
    const struct admin_args *a = &job->args;
    AUTO(json_decref_ptr) json_t *d = NULL;
    enum status s = document_find(db, a->number, &d);
    const char *open = json_string_value(json_object_get(d, "open"));
    if (s)
        return s;
    if (!open)
        return admin_refuse(job, STATUS_BAD_FIELD, "number",
                            "'%s' is no invoice: payments are of invoices", a->number);
    return admin_refuse(job, STATUS_BAD_FIELD, "amount",
                        "'%s' is not an amount such as 12.34 up to what is open of %s: %s",
                        a->amount, a->number, open);
}

enum status run_invoice_pay(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    json_t *document = NULL;
    enum status s = document_pay(db, a->number, a->amount, or_empty(a->note), now_us, &document);
    if (s == STATUS_BAD_FIELD)
        return refuse_payment(job, db);
    s = no_such(job, s);
    return s ? s : money_moved(job, printed(job, document));
}

enum status run_document_get(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    AUTO(json_decref_ptr) json_t *document = NULL;
    AUTO(json_decref_ptr) json_t *approvals = NULL;
    enum status s = no_such(job, document_find(db, job->args.number, &document));
    if (!s)
        s = document_approvals(db, job->args.number, &approvals);
    if (!s && json_array_size(approvals) && json_object_set(document, "approvals", approvals))
        s = STATUS_NO_MEMORY;
    return s ? s : printed(job, TAKE(document));
}

/* One form each, in the order of the cost centres. */
enum status run_statement(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    const struct admin_args *a = &job->args;
    AUTO(json_decref_ptr) json_t *list = NULL;
    enum status s = statement_list(db, a->number, a->cost_centre, &list);
    if (s == STATUS_BAD_FIELD)
        return admin_refuse(job, s, "number", "'%s' is no invoice: statements are of invoices",
                            a->number);
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "number",
                            "there is no invoice '%s' with anything of that cost centre",
                            a->number);
    const struct form *f = form_of(job);
    for (size_t i = 0; !s && f->print && i < json_array_size(list); i++) {
        AUTO(free_ptr) char *text = f->print(json_array_get(list, i));
        if (!text || json_array_set_new(list, i, json_pack("{s:s}", f->name, text)))
            s = STATUS_NO_MEMORY;
    }
    return s ? s : admin_answered(job, json_pack("{s:O}", "statements", list));
}

/* ---- the requests behind lines ---- */

enum status prepare_line_requests(struct admin_job *job)
{
    const char *format = job->args.format;
    if (format && strcmp(format, "json") != 0 && strcmp(format, "csv") != 0)
        return admin_refuse(job, STATUS_BAD_FIELD, "format", "requests are json or csv");
    job->state_dir = arena_strdup(job->arena, job->daemon->conf->state_dir);
    return job->state_dir ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status run_line_requests(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    const struct admin_args *a = &job->args;
    const struct line_requests_query q = { .number = a->number,
                                           .line = a->line,
                                           .after = a->page,
                                           .limit = a->limit ? a->limit : LINE_REQUESTS_DEFAULT,
                                           .state_dir = job->state_dir };
    char err[256];
    AUTO(json_decref_ptr) json_t *page = NULL;
    enum status s = no_such(job, line_requests(db, &q, &page, err));
    if (s && *err)
        return admin_refuse(job, s, "", "%s", err);
    if (s || !a->format || strcmp(a->format, "csv") != 0)
        return s ? s : admin_answered(job, TAKE(page));
    AUTO(free_ptr) char *text = line_requests_csv(page);
    if (!text || json_object_set_new(page, "csv", json_string(text)))
        return STATUS_NO_MEMORY;
    return admin_answered(job, TAKE(page));
}

enum status run_document_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    json_t *list = NULL;
    enum status s = document_list(db, job->args.organization, &list);
    return s ? s : admin_answered(job, json_pack("{s:o}", "documents", list));
}

enum status run_credit_note(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    json_t *document = NULL;
    char err[256];
    enum status s = credit_note_issue(db, a->number, a->line, a->amount, a->reason, &job->seller,
                                      now_us, &document, err);
    if (s && *err)
        return admin_refuse(job, s, "amount", "%s", err);
    s = no_such(job, s);
    return s ? s : money_moved(job, printed(job, document));
}

/* ---- shares ---- */

enum status run_share_set(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    enum status s = payout_rule(db, a->model, a->partner, a->basis_points, now_us);
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "partner", "there is no organization '%s'", a->partner);
    if (s == STATUS_BAD_FIELD)
        return admin_refuse(job, s, "basis_points", "more than all of '%s' would be given away",
                            a->model);
    return s ? s
             : admin_answered(job,
                              json_pack("{s:s, s:s, s:I}", "model", a->model, "partner", a->partner,
                                        "basis_points", (json_int_t)a->basis_points));
}

enum status run_share_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    json_t *list = NULL;
    enum status s = payout_rules(db, now_us, &list);
    return s ? s : admin_answered(job, json_pack("{s:o}", "shares", list));
}

enum status run_payout(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    const struct admin_args *a = &job->args;
    enum status s =
        payout_statement(db, a->partner, a->month, job->seller.minor_digits, &job->result);
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "partner", "there is no organization '%s'", a->partner);
    return s;
}

/* ---- arguments ---- */

const struct json_spec admin_invoice_args[] = { TEXT(organization, true, TEXT_MAX),
                                                TEXT(month, true, TEXT_MAX),
                                                TEXT(format, false, TEXT_MAX), END };
const struct json_spec admin_approve_args[] = { TEXT(organization, true, TEXT_MAX),
                                                TEXT(month, true, TEXT_MAX),
                                                TEXT(by, true, TEXT_MAX),
                                                TEXT(format, false, TEXT_MAX), END };
const struct json_spec admin_pay_args[] = { TEXT(number, true, TEXT_MAX),
                                            TEXT(amount, true, TEXT_MAX),
                                            TEXT(note, false, TEXT_MAX),
                                            TEXT(format, false, TEXT_MAX), END };
const struct json_spec admin_document_args[] = { TEXT(number, true, TEXT_MAX),
                                                 TEXT(format, false, TEXT_MAX), END };
const struct json_spec admin_statement_args[] = {
    TEXT(number, true, TEXT_MAX),
    { "cost_centre", WANT_TEXT, false, offsetof(struct admin_args, cost_centre), 0, TEXT_MAX },
    TEXT(format, false, TEXT_MAX),
    END,
};
const struct json_spec admin_line_requests_args[] = {
    TEXT(number, true, TEXT_MAX),
    { "line", WANT_INT, false, offsetof(struct admin_args, line), 1, 1000000 },
    { "limit", WANT_INT, false, offsetof(struct admin_args, limit), 1, LINE_REQUESTS_MAX },
    TEXT(page, false, TEXT_MAX),
    TEXT(format, false, TEXT_MAX),
    END,
};
const struct json_spec admin_document_list_args[] = { TEXT(organization, false, TEXT_MAX), END };
const struct json_spec admin_share_args[] = {
    TEXT(model, true, TEXT_MAX),
    TEXT(partner, true, TEXT_MAX),
    { "basis_points", WANT_INT, true, offsetof(struct admin_args, basis_points), 0, 10000 },
    END,
};
const struct json_spec admin_payout_args[] = { TEXT(partner, true, TEXT_MAX),
                                               TEXT(month, true, TEXT_MAX), END };
const struct json_spec admin_credit_args[] = {
    TEXT(number, true, TEXT_MAX),
    TEXT(reason, true, TEXT_MAX),
    TEXT(amount, false, TEXT_MAX),
    { "line", WANT_INT, false, offsetof(struct admin_args, line), 1, 1000000 },
    TEXT(format, false, TEXT_MAX),
    END,
};
