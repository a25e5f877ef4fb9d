/* gateway/api_invoices.c -- /billing/v1/invoices: the documents of the organization whose
 * finance key asks, or (?customer=) of one that buys from it.  Another's are not there.
 *
 *   /billing/v1/invoices            a list: ?month= ?type= ?limit= ?page=
 *   /billing/v1/invoices/draft      of ?month=: what was issued, else what it comes to so far
 *   /billing/v1/invoices/{number}   one document
 *   /billing/v1/invoices/{number}/statements   it by cost centres: ?cost_centre= of one
 *   /billing/v1/invoices/{number}/requests     what its lines of usage are the sums of: ?line= ?limit= ?page=
 *
 * A document is JSON, CSV or a page to print: ?format=, else the Accept header. */
#include "base/cleanup.h"
#include "billing/document.h"
#include "billing/line_requests.h"
#include "billing/statement.h"
#include "gateway/http.h"
#include "gateway/query.h"
#include "gateway/question.h"
#include "gateway/request.h"
#include <stdlib.h>
#include <strings.h>

enum { PAGE_DEFAULT = 20, PAGE_MAX = 100, STATEMENTS_BYTES_MAX = 64 << 20 };

static const struct form {
    const char *name, *media;
    char *(*print)(const json_t *document); /* NULL: as it is */
} forms[] = {
    { "json", "application/json", NULL },
    { "csv", "text/csv", document_csv },
    { "html", "text/html", document_html },
};
enum { FORMS = sizeof forms / sizeof *forms };

struct invoice_question {
    struct question q;
    int64_t project, now_us;
    struct seller seller; /* borrowed from the snapshot, which the request holds */
    const struct form *form;
    struct document_query list;
    const char *number, *cost_centre, *customer, *state_dir;
    int64_t line;
    char err[256];
};

/* ---- reader thread ---- */

static enum status printed(struct question *q, const struct form *f, json_t *document)
{
    q->text = f->print ? f->print(document) : json_dumps(document, JSON_COMPACT);
    q->content_type = !f->print                  ? NULL
                      : f->print == document_csv ? "text/csv; charset=utf-8"
                                                 : "text/html; charset=utf-8";
    json_decref(document);
    return q->text ? STATUS_OK : STATUS_NO_MEMORY;
}

/* Whose documents; false: the question has failed with *ret_status. */
static bool find_payer(struct question *q, struct db *db, struct payer *ret,
                       enum status *ret_status)
{
    const struct invoice_question *i = (const struct invoice_question *)q;
    *ret_status = document_customer(db, i->project, i->customer, ret);
    if (*ret_status == STATUS_NOT_FOUND && i->customer) {
        q->param = "customer";
        q->problem = "nobody of that name buys from your organization";
    }
    return *ret_status == STATUS_OK;
}

static enum status ask_list(struct question *q, struct db *db)
{
    struct invoice_question *i = (struct invoice_question *)q;
    struct payer payer;
    json_t *page = NULL;
    enum status s;
    if (!find_payer(q, db, &payer, &s))
        return s;
    i->list.organization = payer.organization;
    s = document_page(db, &i->list, &page);
    if (s == STATUS_NOT_FOUND) {
        q->param = "page";
        q->problem = "'page' must be the next_page of an earlier answer";
        return STATUS_BAD_FIELD;
    }
    return s ? s : printed(q, &forms[0], page);
}

static enum status ask_draft(struct question *q, struct db *db)
{
    struct invoice_question *i = (struct invoice_question *)q;
    struct payer payer;
    json_t *document = NULL;
    enum status s;
    if (!find_payer(q, db, &payer, &s))
        return s;
    s = document_of_month(db, payer.slug, i->list.month, &i->seller, i->now_us, &document);
    return s ? s : printed(q, i->form, document);
}

/* The one that the path names. */
static enum status find_document(struct question *q, struct db *db, int64_t organization,
                                 json_t **ret)
{
    const struct invoice_question *i = (const struct invoice_question *)q;
    enum status s = document_find_of(db, organization, i->number, ret);
    if (s == STATUS_NOT_FOUND) {
        q->param = "number";
        q->problem = "there is no such document of your organization";
    }
    return s;
}

static enum status ask_one(struct question *q, struct db *db)
{
    struct invoice_question *i = (struct invoice_question *)q;
    struct payer payer;
    json_t *document = NULL;
    enum status s;
    if (!find_payer(q, db, &payer, &s))
        return s;
    s = find_document(q, db, payer.organization, &document);
    return s ? s : printed(q, i->form, document);
}

/* One HTML page is of one cost centre; the heading of a CSV stands once. */
static enum status print_statements(struct question *q, const struct form *f, json_t *list)
{
    struct buf all;
    buf_init(&all, STATEMENTS_BYTES_MAX);
    bool fits = f->print || buf_text(&all, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; fits && i < json_array_size(list); i++) {
        json_t *one = json_array_get(list, i);
        AUTO(free_ptr) char *text = f->print ? f->print(one) : json_dumps(one, JSON_COMPACT);
        const char *rows = text && i && f->print ? strstr(text, "\r\n") : text;
        fits = rows && (f->print || !i || buf_text(&all, ",")) &&
               buf_text(&all, rows == text ? rows : rows + 2);
    }
    fits = fits && (f->print || buf_text(&all, "]}"));
    q->text = fits ? buf_take(&all, NULL) : NULL;
    buf_free(&all);
    q->content_type = !f->print                  ? NULL
                      : f->print == document_csv ? "text/csv; charset=utf-8"
                                                 : "text/html; charset=utf-8";
    return q->text ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status ask_statements(struct question *q, struct db *db)
{
    struct invoice_question *i = (struct invoice_question *)q;
    AUTO(json_decref_ptr) json_t *document = NULL;
    AUTO(json_decref_ptr) json_t *list = NULL;
    struct payer payer;
    enum status s;
    if (!find_payer(q, db, &payer, &s))
        return s;
    s = document_find_of(db, payer.organization, i->number, &document);
    if (!s)
        s = statement_list(db, i->number, i->cost_centre, &list);
    if (s == STATUS_NOT_FOUND || s == STATUS_BAD_FIELD) {
        q->param = "number";
        q->problem = s == STATUS_BAD_FIELD
                         ? "statements are of invoices, not of credit notes"
                         : "there is no such invoice of your organization, or nothing of that cost "
                           "centre on it";
    }
    return s ? s : print_statements(q, i->form, list);
}

static enum status ask_requests(struct question *q, struct db *db)
{
    struct invoice_question *i = (struct invoice_question *)q;
    const struct line_requests_query l = { .number = i->number,
                                           .line = i->line,
                                           .after = i->list.after,
                                           .limit = i->list.limit,
                                           .state_dir = i->state_dir };
    AUTO(json_decref_ptr) json_t *document = NULL;
    json_t *page = NULL;
    struct payer payer;
    enum status s;
    if (!find_payer(q, db, &payer, &s))
        return s;
    s = find_document(q, db, payer.organization, &document);
    if (s)
        return s;
    s = line_requests(db, &l, &page, i->err);
    if (s == STATUS_BAD_FIELD) {
        q->param = i->list.after ? "page" : i->line ? "line" : "number";
        q->problem = i->err;
    }
    return s ? s : printed(q, &forms[0], page);
}

/* ---- the query ---- */

static enum verdict read_month(struct request *r, const char *value, void *into)
{
    struct invoice_question *i = into;
    int64_t from_us, to_us;
    i->list.month = value;
    return report_month(value, &from_us, &to_us)
               ? NEXT
               : question_bad(r, "month", "a month such as 2026-11");
}

static enum verdict read_type(struct request *r, const char *value, void *into)
{
    struct invoice_question *i = into;
    i->list.type = strcmp(value, "invoice") == 0       ? DOCUMENT_INVOICE
                   : strcmp(value, "credit_note") == 0 ? DOCUMENT_CREDIT_NOTE
                                                       : 0;
    return i->list.type ? NEXT : question_bad(r, "type", "'invoice' or 'credit_note'");
}

static enum verdict read_limit(struct request *r, const char *value, void *into)
{
    struct invoice_question *i = into;
    return query_number(value, 1, PAGE_MAX, &i->list.limit)
               ? NEXT
               : question_bad(r, "limit", "from 1 to 100");
}

static enum verdict read_page(struct request *r, const char *value, void *into)
{
    struct invoice_question *i = into;
    i->list.after = value;
    return *value && strlen(value) < DOCUMENT_NUMBER_BYTES
               ? NEXT
               : question_bad(r, "page", "the next_page of an earlier answer");
}

static enum verdict read_format(struct request *r, const char *value, void *into)
{
    struct invoice_question *i = into;
    for (size_t k = 0; k < FORMS; k++)
        if (strcmp(forms[k].name, value) == 0)
            i->form = &forms[k];
    return i->form ? NEXT : question_bad(r, "format", "'json', 'csv' or 'html'");
}

static enum verdict read_cost_centre(struct request *r, const char *value, void *into)
{
    (void)r;
    ((struct invoice_question *)into)->cost_centre = value;
    return NEXT;
}

static enum verdict read_line(struct request *r, const char *value, void *into)
{
    struct invoice_question *i = into;
    return query_number(value, 1, INT32_MAX, &i->line) ? NEXT
                                                       : question_bad(r, "line", "from 1 on");
}

static enum verdict read_customer(struct request *r, const char *value, void *into)
{
    (void)r;
    ((struct invoice_question *)into)->customer = value;
    return NEXT;
}

enum {
    MONTH = 1,
    TYPE = 2,
    LIMIT = 4,
    PAGE = 8,
    FORMAT = 16,
    COST_CENTRE = 32,
    CUSTOMER = 64,
    LINE = 128
};

static const struct parameter parameters[] = {
    { "month", MONTH, false, read_month },
    { "type", TYPE, false, read_type },
    { "limit", LIMIT, false, read_limit },
    { "page", PAGE, false, read_page },
    { "format", FORMAT, false, read_format },
    { "cost_centre", COST_CENTRE, false, read_cost_centre },
    { "customer", CUSTOMER, false, read_customer },
    { "line", LINE, false, read_line },
    { 0 },
};

/* The first of the media types that a document has; what is not among them is as good as any. */
static const struct form *accepted(const char *accept)
{
    for (const char *at = accept; at && *at; at = strchr(at, ','), at += at != NULL) {
        at += strspn(at, " \t");
        size_t len = strcspn(at, ",; \t");
        for (size_t k = 0; k < FORMS; k++)
            if (strlen(forms[k].media) == len && strncasecmp(forms[k].media, at, len) == 0)
                return &forms[k];
    }
    return &forms[0];
}

static struct invoice_question *make(struct request *r, unsigned takes,
                                     enum status (*ask)(struct question *q, struct db *db))
{
    const struct conf *c = r->snapshot->conf;
    struct invoice_question *i = question_room(r, sizeof *i);
    if (!i)
        return NULL;
    *i = (struct invoice_question){
        .q.ask = ask,
        .project = r->key->project_id,
        .now_us = r->accepted_us,
        .seller = { c->seller_name, c->seller_address, c->seller_tax_id, c->invoice_series,
                    (int64_t)c->tax_basis_points, (int)c->currency_minor_digits },
        .list.limit = PAGE_DEFAULT,
    };
    if (question_parameters(r, parameters, takes | CUSTOMER, i) != NEXT)
        return NULL;
    if (!i->form)
        i->form = accepted(http_request_header(r, "accept"));
    return i;
}

static struct question *prepare_list(struct request *r)
{
    struct invoice_question *i = make(r, MONTH | TYPE | LIMIT | PAGE, ask_list);
    return i ? &i->q : NULL;
}

static struct question *prepare_draft(struct request *r)
{
    struct invoice_question *i = make(r, MONTH | FORMAT, ask_draft);
    if (i && !i->list.month) {
        (void)request_fail(r, STATUS_MISSING_FIELD, "month", "say of which month: ?month=2026-11");
        return NULL;
    }
    return i ? &i->q : NULL;
}

/* The document that the path names; NULL: it has failed. */
static struct invoice_question *of_number(struct request *r, struct invoice_question *i)
{
    if (i)
        i->number = arena_memdup(r->arena, r->target.model.at, r->target.model.len);
    if (i && !i->number)
        (void)request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
    return i && i->number ? i : NULL;
}

static struct question *prepare_one(struct request *r)
{
    struct invoice_question *i = of_number(r, make(r, FORMAT, ask_one));
    return i ? &i->q : NULL;
}

static struct question *prepare_requests(struct request *r)
{
    struct invoice_question *i = of_number(r, make(r, LINE | LIMIT | PAGE, ask_requests));
    if (i)
        i->state_dir = r->snapshot->conf->state_dir;
    return i ? &i->q : NULL;
}

static struct question *prepare_statements(struct request *r)
{
    struct invoice_question *i = of_number(r, make(r, FORMAT | COST_CENTRE, ask_statements));
    if (!i)
        return NULL;
    if (i->form->print == document_html && !i->cost_centre)
        (void)request_fail(r, STATUS_MISSING_FIELD, "cost_centre",
                           "a page to print is of one cost centre: ?cost_centre=");
    else
        return &i->q;
    return NULL;
}

enum verdict answer_statements(struct request *r)
{
    return question_answer(r, prepare_statements);
}

enum verdict answer_line_requests(struct request *r)
{
    return question_answer(r, prepare_requests);
}

enum verdict answer_invoices(struct request *r)
{
    return question_answer(r, prepare_list);
}

enum verdict answer_draft(struct request *r)
{
    return question_answer(r, prepare_draft);
}

enum verdict answer_invoice(struct request *r)
{
    return question_answer(r, prepare_one);
}
