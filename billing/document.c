/* billing/document.c -- what is printed of a draft, and issued documents found again. */
#include "billing/document_inside.h"
#include "base/cleanup.h"
#include "base/db_list.h"
#include "base/digest.h"
#include "billing/decimal.h"
#include "billing/zone.h"
#include <stdio.h>
#include <string.h>

static const char sql_invoice[] =
    "SELECT d.body FROM document d JOIN billing_period p ON p.id = d.period"
    " WHERE d.organization = ?1 AND p.starts_us = ?2 AND d.type = 380";
static const char sql_document[] =
    "SELECT d.body, d.gross_minor, (SELECT coalesce(sum(amount_minor), 0) FROM payment"
    "  WHERE document = d.number), (SELECT coalesce(sum(c.gross_minor), 0) FROM document c"
    "  WHERE c.refers_to = d.number AND c.type = 381) FROM document d WHERE d.number = ?1";
static const char sql_list[] =
    "SELECT d.number FROM document d JOIN organization o ON o.id = d.organization"
    " WHERE ?1 IS NULL OR o.slug = ?1 ORDER BY d.series, d.number LIMIT 10000";

static const char sql_approvals[] =
    "SELECT a.approved_by, a.approved_us FROM document d JOIN billing_period p ON p.id = d.period"
    " JOIN approval a ON a.organization = d.organization AND a.starts_us = p.starts_us"
    " WHERE d.number = ?1 ORDER BY a.approved_us, a.rowid";
static const char sql_credited[] =
    "SELECT coalesce(sum(net_minor), 0) FROM credit_line WHERE invoice = ?1 AND line = ?2";

/* ---- the JSON of a draft ------------------------------------------------------------------- */

static json_t *period_json(const struct draft *d)
{
    char from[PERIOD_TEXT_BYTES], to[PERIOD_TEXT_BYTES];
    char first[ZONE_DAY_BYTES], last[ZONE_DAY_BYTES];
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "from", period_instant_text(d->from_us, from),
                     "to", period_instant_text(d->to_us, to), "first_day",
                     zone_day_text(d->zone, d->from_us, first), "last_day",
                     zone_day_text(d->zone, d->to_us - 1, last), "time_zone", zone_name(d->zone));
}

bool document_is_reversed(const json_t *line)
{
    const char *category = json_string_value(json_object_get(line, "category"));
    return json_is_true(json_object_get(line, "reversed")) ||
           (category && strcmp(category, "reversal") == 0);
}

json_t *document_seller(const struct seller *s)
{
    return json_pack("{s:s, s:s, s:s}", "name", s->name, "address", s->address, "tax_id",
                     s->tax_id);
}

enum status document_tax_groups(const json_t *lines, int digits,
                                struct tax_group groups[static TAX_GROUPS_MAX], unsigned *ret_count)
{
    size_t count = json_array_size(lines), i;
    json_t *line;
    AUTO(free_ptr) struct tax_line *taxed = calloc(count + 1, sizeof *taxed);
    if (!taxed)
        return STATUS_NO_MEMORY;
    json_array_foreach (lines, i, line) {
        taxed[i].category = json_string_value(json_object_get(line, "tax_category"));
        taxed[i].basis_points = json_integer_value(json_object_get(line, "tax_basis_points"));
        if (!decimal_parse_minor(json_string_value(json_object_get(line, "net")), digits,
                                 &taxed[i].net_minor))
            return STATUS_INTERNAL;
    }
    return tax_groups(taxed, count, groups, ret_count);
}

json_t *document_taxes(const struct tax_group *groups, unsigned count, int digits)
{
    char net[DECIMAL_TEXT_BYTES], tax[DECIMAL_TEXT_BYTES];
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++) {
        const struct tax_kind *kind = tax_kind_find(groups[i].category);
        json_t *group = json_pack("{s:s, s:I, s:s, s:s}", "category", groups[i].category,
                                  "basis_points", (json_int_t)groups[i].basis_points, "taxable",
                                  decimal_minor(groups[i].net_minor, digits, net), "tax",
                                  decimal_minor(groups[i].tax_minor, digits, tax));
        if (kind && *kind->text)
            json_object_set_new(group, "text", json_string(kind->text));
        json_array_append_new(list, group);
    }
    return list;
}

static json_t *totals_json(const struct draft *d)
{
    int digits = d->seller->minor_digits;
    char exact[DECIMAL_TEXT_BYTES], rounding[DECIMAL_TEXT_BYTES], net[DECIMAL_TEXT_BYTES];
    char tax[DECIMAL_TEXT_BYTES], gross[DECIMAL_TEXT_BYTES];
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "exact", decimal_exact(d->exact_atoms, exact),
                     "rounding", decimal_exact(d->rounding_atoms, rounding), "net",
                     decimal_minor(d->net_minor, digits, net), "tax",
                     decimal_minor(d->tax_minor, digits, tax), "gross",
                     decimal_minor(d->gross_minor, digits, gross));
}

static json_t *content(const struct draft *d)
{
    int digits = d->seller->minor_digits;
    return json_pack("{s:s, s:i, s:s, s:s, s:o, s:O, s:I, s:s, s:o, s:O, s:O, s:o, s:o, s:I}",
                     "object", "invoice", "type", DOCUMENT_INVOICE, "organization", d->slug,
                     "month", d->month, "period", period_json(d), "currency", d->currency,
                     "minor_digits", (json_int_t)digits, "rounding", "half_up", "seller",
                     document_seller(d->seller), "buyer", d->buyer, "lines", d->lines, "taxes",
                     document_taxes(d->tax, d->tax_count, digits), "totals", totals_json(d),
                     "payment_days", (json_int_t)d->contract.plan.payment_days);
}

json_t *document_of_draft(const struct draft *d, const char *number, int64_t issued_us)
{
    char issued[ZONE_DAY_BYTES], due[ZONE_DAY_BYTES];
    int64_t due_us = issued_us + d->contract.plan.payment_days * DAY_US;
    AUTO(json_decref_ptr)
    json_t *head =
        json_pack("{s:s, s:s?, s:s?, s:s?}", "status", number ? "issued" : "draft", "number",
                  number, "issue_date", number ? zone_day_text(d->zone, issued_us, issued) : NULL,
                  "due_date", number ? zone_day_text(d->zone, due_us, due) : NULL);
    json_t *document = content(d);
    if (head && document && json_object_update(document, head) == 0)
        return document;
    json_decref(document);
    return NULL;
}

enum status document_digest(const struct draft *d, uint8_t ret[static 32])
{
    AUTO(json_decref_ptr) json_t *document = content(d);
    AUTO(free_ptr) char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return STATUS_NO_MEMORY;
    digest_sha256(text, strlen(text), ret);
    return STATUS_OK;
}

/* ---- issued ones --------------------------------------------------------------------------- */

static enum status loaded(struct db *db, struct db_stmt *s, json_t **ret)
{
    enum db_row row = db_step(s);
    const char *text = row == DB_ROW ? db_col_text(s, 0, NULL) : NULL;
    *ret = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    return row == DB_FAILED ? db_status(db) : text && !*ret ? STATUS_INTERNAL : STATUS_OK;
}

enum status document_find_invoice(struct db *db, int64_t organization, int64_t from_us,
                                  json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql_invoice);
    if (!s)
        return db_status(db);
    db_int(s, 1, organization);
    db_int(s, 2, from_us);
    enum status status = loaded(db, s, ret);
    db_reset(s);
    return status;
}

enum status document_of_month(struct db *db, const char *organization, const char *month,
                              const struct seller *s, int64_t now_us, json_t **ret)
{
    AUTO(draft_clear) struct draft d = { 0 };
    json_t *document = NULL;
    enum status status = draft_begin(db, organization, month, s, now_us, &d);
    if (!status)
        status = document_find_invoice(db, d.organization, d.from_us, &document);
    if (!status && !document)
        status = draft_fill(db, &d, true);
    if (!status && !document && !(document = document_of_draft(&d, NULL, now_us)))
        status = STATUS_NO_MEMORY;
    if (!status)
        *ret = document;
    return status;
}

static const char *state_of(int64_t gross, int64_t paid, int64_t credited)
{
    if (credited >= gross && gross > 0)
        return "credited";
    return paid + credited >= gross ? "paid" : "open";
}

static enum status add_state(json_t *document, struct db_stmt *s)
{
    int digits = (int)json_integer_value(json_object_get(document, "minor_digits"));
    int64_t gross = db_col_int(s, 1), paid = db_col_int(s, 2), credited = db_col_int(s, 3);
    char paid_text[DECIMAL_TEXT_BYTES], credited_text[DECIMAL_TEXT_BYTES];
    char open[DECIMAL_TEXT_BYTES];
    bool invoice = json_integer_value(json_object_get(document, "type")) == DOCUMENT_INVOICE;
    AUTO(json_decref_ptr)
    json_t *more =
        json_pack("{s:s, s:s, s:s, s:s*}", "paid", decimal_minor(paid, digits, paid_text),
                  "credited", decimal_minor(credited, digits, credited_text), "state",
                  invoice ? state_of(gross, paid, credited) : "issued", "open",
                  invoice ? decimal_minor(gross - paid - credited, digits, open) : NULL);
    return more && json_object_update(document, more) == 0 ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status document_find(struct db *db, const char *number, json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql_document);
    if (!s)
        return db_status(db);
    db_text(s, 1, number, -1);
    enum status status = loaded(db, s, ret);
    if (!status && !*ret)
        status = STATUS_NOT_FOUND;
    if (!status)
        status = add_state(*ret, s);
    db_reset(s);
    return status;
}

static json_t *approval_row(struct db_stmt *s, const void *arg)
{
    char at[PERIOD_TEXT_BYTES];
    (void)arg;
    return json_pack("{s:s, s:s}", "by", db_col_text(s, 0, NULL), "at",
                     period_instant_text(db_col_int(s, 1), at));
}

enum status document_approvals(struct db *db, const char *number, json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql_approvals);
    db_text(s, 1, number, -1);
    return db_list(db, s, approval_row, NULL, ret);
}

enum status document_credited(struct db *db, const char *invoice, int64_t line, int64_t *ret_minor)
{
    struct db_stmt *s = db_prepare(db, sql_credited);
    if (!s)
        return db_status(db);
    db_text(s, 1, invoice, -1);
    db_int(s, 2, line);
    return db_first_int(db, s, ret_minor);
}

json_t *document_summary(const json_t *d)
{
    static const char *const keys[] = { "number",   "type",       "organization", "month",
                                        "currency", "issue_date", "due_date",     "refers_to",
                                        "state",    "paid",       "credited",     "open" };
    const json_t *totals = json_object_get(d, "totals");
    json_t *row =
        json_pack("{s:O*, s:O*, s:O*}", "net", json_object_get(totals, "net"), "tax",
                  json_object_get(totals, "tax"), "gross", json_object_get(totals, "gross"));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(d, keys[i]))
            json_object_set(row, keys[i], json_object_get(d, keys[i]));
    return row;
}

enum status document_list(struct db *db, const char *organization, json_t **ret)
{
    AUTO(json_decref_ptr) json_t *numbers = NULL;
    AUTO(json_decref_ptr) json_t *list = json_array();
    struct db_stmt *s = db_prepare(db, sql_list);
    db_text(s, 1, organization, -1);
    enum status status = list ? db_list(db, s, db_list_text, NULL, &numbers) : STATUS_NO_MEMORY;
    size_t i;
    json_t *number;
    json_array_foreach (numbers, i, number) {
        AUTO(json_decref_ptr) json_t *d = NULL;
        if (status || (status = document_find(db, json_string_value(number), &d)))
            break;
        if (json_array_append_new(list, document_summary(d)) != 0)
            status = STATUS_NO_MEMORY;
    }
    if (!status)
        *ret = TAKE(list);
    return status;
}
