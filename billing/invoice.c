/* billing/invoice.c -- the invoice of an organisation for a month.
 *
 * A line is a model, a meter and a price version.  Its exact amount is the sum of
 * what was settled less what funds have paid of it (`covered`); it is rounded once, half away from zero (R6).  The net is the
 * sum of the rounded lines (R7), tax is taken once on the net (R8), and what the
 * rounding added or took is shown and posted.  A month that was never issued is a
 * draft, computed when asked for.
 */
#include "billing/invoice.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/usage.h"
#include "billing/decimal.h"
#include "billing/period.h"
#include "billing/pricebook.h"
#include <assert.h>

static const char sql_organization[] =
    "SELECT o.id, o.buyer_name, o.buyer_address, o.buyer_tax_id, o.buyer_reference, o.po_number,"
    " o.display_name, (SELECT currency FROM meta), p.id FROM organization o"
    " LEFT JOIN billing_period p ON p.organization = o.id AND p.starts_us = ?2 WHERE o.slug = ?1";
static const char sql_lines[] =
    "SELECT n.name, r.meter, r.price_version, sum(r.qty), sum(r.atoms),"
    " sum(r.covered_atoms)"
    " FROM usage_rollup r JOIN name n ON n.id = r.model"
    " WHERE r.hour_us >= ?1 - 3600000000 AND r.hour_us < ?2 AND r.period = ?3"
    " GROUP BY n.name, r.meter, r.price_version HAVING sum(r.qty) > 0 ORDER BY 1, 2, 3";
static const char sql_prices[] = "SELECT text FROM price_version WHERE id = ?1";
static const char sql_issued[] =
    "SELECT d.body FROM document d JOIN billing_period p ON p.id = d.period"
    " JOIN organization o ON o.id = d.organization"
    " WHERE o.slug = ?1 AND p.starts_us = ?2 AND d.type = 380";

__extension__ typedef __int128 wide;

void invoice_clear(struct invoice *i)
{
    json_decref(i->buyer);
    json_decref(i->currency);
    json_decref(i->lines);
    *i = (struct invoice){ 0 };
}

int64_t invoice_minor_atoms(const struct seller *s)
{
    assert(s->minor_digits >= 0 && s->minor_digits <= MONEY_ATOM_EXP);
    int64_t atoms = 1;
    for (int digits = s->minor_digits; digits < MONEY_ATOM_EXP; digits++)
        atoms *= 10;
    return atoms;
}

/* ---- what is on it ------------------------------------------------------------------------- */

static json_t *text_column(struct db_stmt *s, int at)
{
    const char *text = db_col_text(s, at, NULL);
    return json_string(text ? text : "");
}

static json_t *read_buyer(struct db_stmt *s)
{
    bool named = *db_col_text(s, 1, NULL) != '\0';
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "name", text_column(s, named ? 1 : 6), "address",
                     text_column(s, 2), "tax_id", text_column(s, 3), "reference", text_column(s, 4),
                     "po_number", text_column(s, 5));
}

static enum status read_organization(struct db *db, struct invoice *i)
{
    struct db_stmt *s = db_prepare(db, sql_organization);
    if (!s)
        return db_status(db);
    db_text(s, 1, i->slug, -1);
    db_int(s, 2, i->from_us);
    enum db_row row = db_step(s);
    enum status status = row == DB_ROW    ? STATUS_OK
                         : row == DB_DONE ? STATUS_NOT_FOUND
                                          : db_status(db);
    if (row == DB_ROW) {
        i->organization = db_col_int(s, 0);
        i->period = db_col_int(s, 8);
        i->buyer = read_buyer(s);
        i->currency = text_column(s, 7);
        if (!i->buyer || !i->currency)
            status = STATUS_NO_MEMORY;
    }
    db_reset(s);
    return status;
}

/* "0.40 per 1000000", as the book in force at acceptance says. */
static enum status read_unit_price(struct db *db, int64_t version, const char *model,
                                   enum meter meter, char text[static DECIMAL_TEXT_BYTES * 2])
{
    struct db_stmt *s = db_prepare(db, sql_prices);
    if (!s)
        return db_status(db);
    db_int(s, 1, version);
    enum db_row row = db_step(s);
    const char *book = row == DB_ROW ? db_col_text(s, 0, NULL) : NULL;
    struct price price;
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    if (!status && (!book || !pricebook_find(book, model, meter, &price)))
        status = STATUS_MODEL_NOT_PRICED;
    if (!status)
        decimal_price(price, text);
    db_reset(s);
    return status;
}

static bool add_amounts(struct invoice *i, int64_t exact, int64_t net)
{
    return !__builtin_add_overflow(i->exact_atoms, exact, &i->exact_atoms) &&
           !__builtin_add_overflow(i->net_minor, net, &i->net_minor);
}

static enum status add_line(struct db *db, struct invoice *i, struct db_stmt *s)
{
    const char *model = db_col_text(s, 0, NULL);
    int64_t number = db_col_int(s, 1), version = db_col_int(s, 2), net;
    int64_t qty = db_col_int(s, 3), covered = db_col_int(s, 5);
    int64_t exact = db_col_int(s, 4) - covered;
    if (!model || number < 0 || number >= METER_COUNT)
        return STATUS_INTERNAL;
    enum meter meter = (enum meter)number;
    char price[DECIMAL_TEXT_BYTES * 2], exact_text[DECIMAL_TEXT_BYTES];
    char covered_text[DECIMAL_TEXT_BYTES], net_text[DECIMAL_TEXT_BYTES];
    enum status status = read_unit_price(db, version, model, meter, price);
    if (status)
        return status;
    if (!money_to_minor((money_t){ exact }, i->seller->minor_digits, &net) ||
        !add_amounts(i, exact, net))
        return STATUS_BILLING_OVERFLOW;
    json_t *line =
        json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s}", "line",
                  (json_int_t)json_array_size(i->lines) + 1, "model", model, "meter",
                  meter_name(meter), "unit", meter_unit(meter), "price_version",
                  (json_int_t)version, "quantity", (json_int_t)qty, "unit_price", price, "covered",
                  decimal_exact(covered, covered_text), "exact", decimal_exact(exact, exact_text),
                  "net", decimal_minor(net, i->seller->minor_digits, net_text));
    return json_array_append_new(i->lines, line) ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status read_lines(struct db *db, struct invoice *i)
{
    struct db_stmt *s = db_prepare(db, sql_lines);
    i->lines = json_array();
    if (!s || !i->lines)
        return s ? STATUS_NO_MEMORY : db_status(db);
    db_int(s, 1, i->from_us);
    db_int(s, 2, i->to_us);
    db_int(s, 3, i->period);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = add_line(db, i, s);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

/* Tax half away from zero on the net; basis points are parts of ten thousand. */
static bool add_up(struct invoice *i)
{
    assert(i->seller->tax_basis_points >= 0 && i->net_minor >= 0);
    wide tax = ((wide)i->net_minor * i->seller->tax_basis_points + 5000) / 10000;
    wide rounding = (wide)i->net_minor * invoice_minor_atoms(i->seller) - i->exact_atoms;
    if (tax > MONEY_ATOMS_MAX ||
        (i->net_minor + tax) * invoice_minor_atoms(i->seller) > MONEY_ATOMS_MAX)
        return false;
    i->tax_minor = (int64_t)tax;
    i->gross_minor = i->net_minor + i->tax_minor;
    i->rounding_atoms = (int64_t)rounding;
    return true;
}

static enum status fill(struct db *db, struct invoice *i)
{
    enum status s = read_organization(db, i);
    if (!s)
        s = read_lines(db, i);
    return s ? s : add_up(i) ? STATUS_OK : STATUS_BILLING_OVERFLOW;
}

enum status invoice_draft(struct db *db, const char *organization, const char *month,
                          const struct seller *s, struct invoice *ret)
{
    struct invoice i = { .seller = s, .slug = organization, .month = month };
    if (!report_month(month, &i.from_us, &i.to_us))
        return STATUS_BAD_FIELD;
    enum status status = fill(db, &i);
    if (status)
        invoice_clear(&i);
    else
        *ret = i;
    return status;
}

/* ---- the document -------------------------------------------------------------------------- */

static json_t *period_json(const struct invoice *i)
{
    char from[PERIOD_TEXT_BYTES], to[PERIOD_TEXT_BYTES];
    return json_pack("{s:s, s:s}", "from", period_instant_text(i->from_us, from), "to",
                     period_instant_text(i->to_us, to));
}

static json_t *seller_json(const struct seller *s)
{
    return json_pack("{s:s, s:s, s:s}", "name", s->name, "address", s->address, "tax_id",
                     s->tax_id);
}

static json_t *totals_json(const struct invoice *i)
{
    int digits = i->seller->minor_digits;
    char exact[DECIMAL_TEXT_BYTES], rounding[DECIMAL_TEXT_BYTES], net[DECIMAL_TEXT_BYTES];
    char tax[DECIMAL_TEXT_BYTES], gross[DECIMAL_TEXT_BYTES];
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:s, s:s}", "exact", decimal_exact(i->exact_atoms, exact), "rounding",
        decimal_exact(i->rounding_atoms, rounding), "net", decimal_minor(i->net_minor, digits, net),
        "tax_basis_points", (json_int_t)i->seller->tax_basis_points, "tax",
        decimal_minor(i->tax_minor, digits, tax), "gross",
        decimal_minor(i->gross_minor, digits, gross));
}

json_t *invoice_document(const struct invoice *i, const char *number, int64_t issued_us)
{
    char date[PERIOD_TEXT_BYTES];
    return json_pack("{s:s, s:s, s:s?, s:s?, s:s, s:s, s:o, s:O, s:I, s:s, s:o, s:O, s:O, s:o}",
                     "object", "invoice", "status", number ? "issued" : "draft", "number", number,
                     "issue_date", number ? period_day_text(issued_us, date) : NULL, "organization",
                     i->slug, "month", i->month, "period", period_json(i), "currency", i->currency,
                     "minor_digits", (json_int_t)i->seller->minor_digits, "rounding", "half_up",
                     "seller", seller_json(i->seller), "buyer", i->buyer, "lines", i->lines,
                     "totals", totals_json(i));
}

enum status invoice_find(struct db *db, const char *organization, const char *month, json_t **ret)
{
    int64_t from_us, to_us;
    struct db_stmt *s = db_prepare(db, sql_issued);
    if (!s)
        return db_status(db);
    if (!report_month(month, &from_us, &to_us))
        return STATUS_BAD_FIELD;
    db_text(s, 1, organization, -1);
    db_int(s, 2, from_us);
    enum db_row row = db_step(s);
    const char *text = row == DB_ROW ? db_col_text(s, 0, NULL) : NULL;
    *ret = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    enum status status = row == DB_FAILED ? db_status(db)
                         : text && !*ret  ? STATUS_INTERNAL
                                          : STATUS_OK;
    db_reset(s);
    return status;
}

enum status invoice_build(struct db *db, const char *organization, const char *month,
                          const struct seller *s, int64_t now_us, json_t **ret)
{
    json_t *document = NULL;
    enum status status = invoice_find(db, organization, month, &document);
    AUTO(invoice_clear) struct invoice i = { 0 };
    if (!status && !document) {
        status = invoice_draft(db, organization, month, s, &i);
        if (!status)
            document = invoice_document(&i, NULL, now_us);
    }
    if (status)
        return status;
    if (!document)
        return STATUS_NO_MEMORY;
    *ret = document;
    return STATUS_OK;
}
