/* billing/credit.c -- a credit note takes back lines of an issued invoice, never more than is
 * left of them.
 *
 * Its amounts are positive (type 381; rule R11).  Its tax is what the tax of all
 * that was credited so far comes to, less what earlier notes gave back, so that a
 * whole invoice's notes give back just its tax.
 */
#include "base/cleanup.h"
#include "base/db.h"
#include "base/ratio.h"
#include "billing/accounts.h"
#include "billing/decimal.h"
#include "billing/document_inside.h"
#include "billing/payout.h"
#include "billing/posting.h"
#include "billing/zone.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char sql_invoice[] =
    "SELECT organization, body FROM document WHERE number = ?1 AND type = 380";
static const char sql_line[] = "INSERT INTO credit_line VALUES (?1,?2,?3,?4)";

struct note {
    struct db *db;
    const char *invoice, *reason;
    const struct seller *seller; /* borrowed, or: */
    struct seller_own own_seller;
    int64_t organization;
    json_t *body;      /* owned: of the invoice */
    json_t *lines;     /* owned: of the note */
    struct zone *zone; /* owned */
    int digits;
    int64_t net_minor, tax_minor;
    struct tax_group tax[TAX_GROUPS_MAX];
    unsigned tax_count;
    char *err;
};

static void note_clear(struct note *n)
{
    json_decref(n->body);
    json_decref(n->lines);
    zone_free(n->zone);
    seller_clear(&n->own_seller);
}

__attribute__((format(printf, 2, 3))) static enum status wrong(struct note *n, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(n->err, 256, fmt, args);
    va_end(args);
    return STATUS_BAD_FIELD;
}

/* ---- the invoice and what is left of it ---------------------------------------------------- */

static enum status read_invoice(struct note *n)
{
    struct db_stmt *s = db_prepare(n->db, sql_invoice);
    if (!s)
        return db_status(n->db);
    db_text(s, 1, n->invoice, -1);
    enum db_row row = db_step(s);
    enum status status = row == DB_ROW    ? STATUS_OK
                         : row == DB_DONE ? STATUS_NOT_FOUND
                                          : db_status(n->db);
    if (row == DB_ROW) {
        n->organization = db_col_int(s, 0);
        n->body = json_loads(db_col_text(s, 1, NULL), 0, NULL);
        status = n->body ? STATUS_OK : STATUS_INTERNAL;
    }
    db_reset(s);
    if (status)
        return status;
    const json_t *period = json_object_get(n->body, "period");
    n->digits = (int)json_integer_value(json_object_get(n->body, "minor_digits"));
    const char *zone = json_string_value(json_object_get(period, "time_zone"));
    return zone_open(zone ? zone : "UTC", &n->zone);
}

static enum status left_of(const struct note *n, const json_t *line, int64_t *ret_credited,
                           int64_t *ret_net)
{
    const char *net = json_string_value(json_object_get(line, "net"));
    int64_t number = json_integer_value(json_object_get(line, "line"));
    enum status status = document_credited(n->db, n->invoice, number, ret_credited);
    if (!status && (!net || !decimal_parse_minor(net, n->digits, ret_net)))
        status = STATUS_INTERNAL;
    return status;
}

/* ---- lines and taxes ----------------------------------------------------------------------- */

static int64_t points_of(const json_t *line)
{
    return json_integer_value(json_object_get(line, "tax_basis_points"));
}

static bool same_group(const json_t *line, const struct tax_group *g)
{
    const char *category = json_string_value(json_object_get(line, "tax_category"));
    return category && strcmp(category, g->category) == 0 && points_of(line) == g->basis_points;
}

static enum status add_line(struct note *n, const json_t *line, int64_t minor)
{
    char net[DECIMAL_TEXT_BYTES];
    json_t *copy = json_pack(
        "{s:I, s:O, s:s, s:s, s:O, s:O}", "line", (json_int_t)json_array_size(n->lines) + 1,
        "invoice_line", json_object_get(line, "line"), "text", n->reason, "net",
        decimal_minor(minor, n->digits, net), "tax_category", json_object_get(line, "tax_category"),
        "tax_basis_points", json_object_get(line, "tax_basis_points"));
    if (!copy || json_array_append_new(n->lines, copy))
        return STATUS_NO_MEMORY;
    n->net_minor += minor;
    return STATUS_OK;
}

/* The tax of a group after `net` of it was credited; all of its net gives all of its tax. */
static enum status tax_after(const struct note *n, const struct tax_group *g, int64_t net,
                             int64_t *ret)
{
    size_t i;
    json_t *group;
    json_array_foreach (json_object_get(n->body, "taxes"), i, group) {
        int64_t whole = 0, tax = 0;
        const char *category = json_string_value(json_object_get(group, "category"));
        const char *net_text = json_string_value(json_object_get(group, "taxable"));
        const char *tax_text = json_string_value(json_object_get(group, "tax"));
        if (!category || strcmp(category, g->category) != 0 ||
            json_integer_value(json_object_get(group, "basis_points")) != g->basis_points)
            continue;
        if (!net_text || !tax_text || !decimal_parse_minor(net_text, n->digits, &whole) ||
            !decimal_parse_minor(tax_text, n->digits, &tax))
            return STATUS_INTERNAL;
        if (net == whole) {
            *ret = tax;
            return STATUS_OK;
        }
    }
    return ratio_half_up(net, g->basis_points, 10000, ret);
}

/* Of the invoice's lines in this group, what notes before this one took back. */
static enum status credited_before(const struct note *n, const struct tax_group *g, int64_t *ret)
{
    size_t i;
    json_t *line;
    enum status s = STATUS_OK;
    *ret = 0;
    json_array_foreach (json_object_get(n->body, "lines"), i, line) {
        int64_t credited = 0, net;
        if (same_group(line, g) && (s = left_of(n, line, &credited, &net)))
            break;
        *ret += credited;
    }
    return s;
}

static enum status add_taxes(struct note *n)
{
    enum status s = document_tax_groups(n->lines, n->digits, n->tax, &n->tax_count);
    for (unsigned g = 0; g < n->tax_count && !s; g++) {
        int64_t before = 0, tax_before = 0, tax_now = 0;
        s = credited_before(n, &n->tax[g], &before);
        if (!s)
            s = tax_after(n, &n->tax[g], before, &tax_before);
        if (!s)
            s = tax_after(n, &n->tax[g], before + n->tax[g].net_minor, &tax_now);
        n->tax[g].tax_minor = tax_now - tax_before;
        n->tax_minor += n->tax[g].tax_minor;
    }
    return s;
}

static enum status credit_line(struct note *n, const json_t *line, const char *amount)
{
    int64_t number = json_integer_value(json_object_get(line, "line"));
    int64_t credited, net, minor;
    char left[DECIMAL_TEXT_BYTES];
    if (document_is_reversed(line))
        return amount ? wrong(n, "line %" PRId64 " of %.60s was taken back by the invoice itself",
                              number, n->invoice)
                      : STATUS_OK;
    enum status s = left_of(n, line, &credited, &net);
    if (s)
        return s;
    minor = net - credited;
    if (amount && (!decimal_parse_amount(amount, n->digits, &minor) || minor <= 0))
        return wrong(n, "'%.60s' is not an amount such as 12.34", amount);
    if (minor > net - credited)
        return wrong(n, "line %" PRId64 " of %.60s has %s left to credit", number, n->invoice,
                     decimal_minor(net - credited, n->digits, left));
    return minor > 0 ? add_line(n, line, minor) : STATUS_OK;
}

static enum status add_lines(struct note *n, int64_t wanted, const char *amount)
{
    size_t i;
    json_t *line;
    bool found = false;
    enum status s = STATUS_OK;
    if (amount && !wanted)
        return wrong(n, "an amount is of one line: which?");
    json_array_foreach (json_object_get(n->body, "lines"), i, line) {
        if (s || (wanted && json_integer_value(json_object_get(line, "line")) != wanted))
            continue;
        found = true;
        s = credit_line(n, line, amount);
    }
    if (!s && wanted && !found)
        return wrong(n, "%.60s has no line %" PRId64, n->invoice, wanted);
    if (!s && json_array_size(n->lines) == 0)
        return wrong(n, "nothing of it is left to credit");
    return s;
}

/* ---- the document -------------------------------------------------------------------------- */

static json_t *document(const struct note *n, const char *number, int64_t now_us)
{
    char date[ZONE_DAY_BYTES], net[DECIMAL_TEXT_BYTES], tax[DECIMAL_TEXT_BYTES];
    char gross[DECIMAL_TEXT_BYTES];
    const json_t *b = n->body;
    return json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:O, s:O, s:O, s:O, s:O, s:o, s:O, s:s, s:O, s:o,"
        " s:{s:s, s:s, s:s}}",
        "object", "credit_note", "type", DOCUMENT_CREDIT_NOTE, "status", "issued", "number", number,
        "issue_date", zone_day_text(n->zone, now_us, date), "refers_to", n->invoice, "organization",
        json_object_get(b, "organization"), "month", json_object_get(b, "month"), "period",
        json_object_get(b, "period"), "currency", json_object_get(b, "currency"), "minor_digits",
        json_object_get(b, "minor_digits"), "seller", document_seller(n->seller), "buyer",
        json_object_get(b, "buyer"), "reason", n->reason, "lines", n->lines, "taxes",
        document_taxes(n->tax, n->tax_count, n->digits), "totals", "net",
        decimal_minor(n->net_minor, n->digits, net), "tax",
        decimal_minor(n->tax_minor, n->digits, tax), "gross",
        decimal_minor(n->net_minor + n->tax_minor, n->digits, gross));
}

static enum status write_lines(const struct note *n, const char *number)
{
    size_t i;
    json_t *line;
    json_array_foreach (n->lines, i, line) {
        int64_t minor = 0;
        struct db_stmt *s = db_prepare(n->db, sql_line);
        if (!s)
            return db_status(n->db);
        if (!decimal_parse_minor(json_string_value(json_object_get(line, "net")), n->digits,
                                 &minor))
            return STATUS_INTERNAL;
        db_text(s, 1, number, -1);
        db_text(s, 2, n->invoice, -1);
        db_int(s, 3, json_integer_value(json_object_get(line, "invoice_line")));
        db_int(s, 4, minor);
        enum status status = db_run(s);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static enum status post(const struct note *n, const char *number, int64_t now_us)
{
    int64_t unit = money_minor_atoms(n->digits), tx;
    int64_t net = n->net_minor * unit, tax = n->tax_minor * unit;
    int64_t o = n->organization;
    enum status s = posting_tx(n->db, "credit_note", now_us, o, number, &tx);
    if (!s)
        s = posting_entry(n->db, tx, account_id(o, ACCOUNT_REVENUE), net);
    if (!s)
        s = posting_entry(n->db, tx, account_id(o, ACCOUNT_TAX_PAYABLE), tax);
    return s ? s : posting_entry(n->db, tx, account_id(o, ACCOUNT_RECEIVABLE), -net - tax);
}

static enum status issue(struct note *n, int64_t now_us, json_t **ret)
{
    char base[64], series[64], number[DOCUMENT_NUMBER_BYTES];
    snprintf(base, sizeof base, "%.48s-CN", n->seller->series);
    enum status s = document_number(n->db, base, n->zone, now_us, series, number);
    if (s)
        return s;
    AUTO(json_decref_ptr) json_t *d = document(n, number, now_us);
    if (!d)
        return STATUS_NO_MEMORY;
    const int64_t amounts[4] = { n->net_minor, n->tax_minor, n->net_minor + n->tax_minor, 0 };
    s = document_freeze(n->db, DOCUMENT_CREDIT_NOTE, series, d, n->organization, 0, n->invoice,
                        amounts, now_us);
    if (!s)
        s = write_lines(n, number);
    if (!s)
        s = post(n, number, now_us);
    if (!s)
        s = payout_return(n->db, d, now_us);
    if (!s)
        *ret = TAKE(d);
    return s;
}

enum status credit_note_issue(struct db *db, const char *invoice, int64_t line, const char *amount,
                              const char *reason, const struct seller *s, int64_t now_us,
                              json_t **ret, char err[static 256])
{
    AUTO(note_clear)
    struct note n = { .db = db,
                      .invoice = invoice,
                      .reason = reason,
                      .seller = s,
                      .lines = json_array(),
                      .err = err };
    *err = '\0';
    enum status status = n.lines ? read_invoice(&n) : STATUS_NO_MEMORY;
    if (!status)
        status = seller_to(db, n.organization, s, &n.own_seller, &n.seller);
    if (!status)
        status = add_lines(&n, line, amount);
    if (!status)
        status = add_taxes(&n);
    return status ? status : issue(&n, now_us, ret);
}
