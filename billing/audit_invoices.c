/* billing/audit_invoices.c -- issued documents: their numbers, their sums, and that
 * they say what was settled and what was posted.
 */
#include "billing/audit_inside.h"
#include "base/cleanup.h"
#include "base/usage.h"
#include "billing/decimal.h"
#include <inttypes.h>

__extension__ typedef __int128 wide;

static const char sql_invoices[] =
    "SELECT number, series, organization, period, net_minor, tax_minor, gross_minor, exact_atoms,"
    " body FROM document ORDER BY series, number";
static const char sql_gaps[] =
    "SELECT c.series, c.next - 1, count(i.number),"
    " min(CAST(substr(i.number, length(c.series) + 2) AS INTEGER)),"
    " max(CAST(substr(i.number, length(c.series) + 2) AS INTEGER)) FROM doc_counter c"
    " LEFT JOIN document i ON i.series = c.series GROUP BY c.series";
static const char sql_uncounted[] = "SELECT number FROM document i WHERE NOT EXISTS"
                                    " (SELECT 1 FROM doc_counter c WHERE c.series = i.series)";
/* What the entries of an invoice say, by kind of account. */
static const char sql_posted[] =
    "SELECT coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 3), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 1), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 5), 0), count(DISTINCT t.tx)"
    " FROM ledger_tx t JOIN ledger_entry e ON e.tx = t.tx WHERE t.kind = 'invoice' AND t.ref = ?1";
static const char sql_model[] = "SELECT id FROM name WHERE name = ?1";

struct document { /* one issued invoice, as it is printed */
    struct audit *audit;
    const char *number;
    const json_t *json;
    int64_t organization, period;
    int digits;
    int64_t minor_atoms;
    int64_t net_minor, tax_minor, gross_minor, exact_atoms; /* of the row */
};

static void problem(const struct document *d, const char *what)
{
    audit_problem(d->audit, "invoice %s: %s", d->number, what);
}

static bool amount_of(const json_t *object, const char *key, int digits, int64_t *ret)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && decimal_parse_minor(text, digits, ret);
}

/* ---- its lines against the settlements ----------------------------------------------------- */

static enum status model_id(struct db *db, const char *model, int64_t *ret)
{
    struct db_stmt *s = db_prepare(db, sql_model);
    if (!s)
        return db_status(db);
    db_text(s, 1, model, -1);
    enum db_row row = db_step(s);
    *ret = row == DB_ROW ? db_col_int(s, 0) : 0;
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

/* Model, meter, price version -> qty, atoms that are owed: of this document's period alone. */
static enum status period_usage(const struct document *d, struct tally *ret)
{
    const struct tally *usage = &d->audit->usage;
    for (size_t i = 0; i < usage->room; i++) {
        const struct tally_row *u = &usage->rows[i];
        if (!u->used || u->key[6] != d->period || u->sum[0] == 0)
            continue;
        struct tally_row *row =
            tally_row(ret, (int64_t[TALLY_KEYS]){ u->key[3], u->key[4], u->key[5] });
        if (!row)
            return STATUS_NO_MEMORY;
        row->sum[0] += u->sum[0];
        row->sum[1] += u->sum[2] - u->sum[3];
    }
    return STATUS_OK;
}

static enum status check_line(const struct document *d, const struct tally *month,
                              const json_t *line, wide *exact_sum, wide *net_sum)
{
    const char *model = json_string_value(json_object_get(line, "model"));
    const char *meter = json_string_value(json_object_get(line, "meter"));
    int64_t id = 0, exact, net;
    if (!model || !meter || !amount_of(line, "exact", MONEY_ATOM_EXP, &exact) ||
        !amount_of(line, "net", d->digits, &net)) {
        problem(d, "a line cannot be read");
        return STATUS_OK;
    }
    enum status s = model_id(d->audit->db, model, &id);
    if (s)
        return s;
    struct tally_row *row = tally_find(
        month, (int64_t[TALLY_KEYS]){ id, (int64_t)meter_find(meter),
                                      json_integer_value(json_object_get(line, "price_version")) });
    if (!row || row->seen || row->sum[1] != exact ||
        row->sum[0] != json_integer_value(json_object_get(line, "quantity")))
        problem(d, "a line is not the sum of its settlements");
    else
        row->seen = true;
    if (((wide)exact * 2 + d->minor_atoms) / (2 * (wide)d->minor_atoms) != net)
        problem(d, "a line is not rounded half up");
    *exact_sum += exact;
    *net_sum += net;
    return STATUS_OK;
}

static enum status check_lines(const struct document *d, const struct tally *month)
{
    wide exact = 0, net = 0;
    size_t i;
    const json_t *line;
    json_array_foreach (json_object_get(d->json, "lines"), i, line) {
        enum status s = check_line(d, month, line, &exact, &net);
        if (s)
            return s;
    }
    for (i = 0; i < month->room; i++)
        if (month->rows[i].used && !month->rows[i].seen)
            problem(d, "usage of the month is on no line");
    if (exact != d->exact_atoms || net != d->net_minor)
        problem(d, "its lines do not add up to its net");
    return STATUS_OK;
}

/* ---- its totals and its posting ------------------------------------------------------------ */

static void check_totals(const struct document *d)
{
    const json_t *totals = json_object_get(d->json, "totals");
    int64_t exact, net, tax, gross;
    int64_t points = json_integer_value(json_object_get(totals, "tax_basis_points"));
    if (!amount_of(totals, "exact", MONEY_ATOM_EXP, &exact) ||
        !amount_of(totals, "net", d->digits, &net) || !amount_of(totals, "tax", d->digits, &tax) ||
        !amount_of(totals, "gross", d->digits, &gross)) {
        problem(d, "its totals cannot be read");
        return;
    }
    if (exact != d->exact_atoms || net != d->net_minor || tax != d->tax_minor ||
        gross != d->gross_minor)
        problem(d, "its totals are not those of its row");
    if (((wide)net * points * 2 + 10000) / 20000 != tax)
        problem(d, "its tax is not its rate on the net");
    if ((wide)net + tax != gross)
        problem(d, "net and tax do not add up to gross");
}

static enum status check_posting(const struct document *d)
{
    struct db_stmt *s = db_prepare(d->audit->db, sql_posted);
    if (!s)
        return db_status(d->audit->db);
    db_text(s, 1, d->number, -1);
    if (db_step(s) != DB_ROW) {
        db_reset(s);
        return db_status(d->audit->db);
    }
    bool right = db_col_int(s, 0) == (wide)d->gross_minor * d->minor_atoms &&
                 db_col_int(s, 1) == -d->exact_atoms &&
                 db_col_int(s, 2) == -((wide)d->tax_minor * d->minor_atoms) &&
                 db_col_int(s, 3) == (d->gross_minor != 0 || d->exact_atoms != 0);
    db_reset(s);
    if (!right)
        problem(d, "it was not posted as it is printed");
    return STATUS_OK;
}

static bool read_document(struct document *d, struct db_stmt *s, json_t *json)
{
    const char *number = json_string_value(json_object_get(json, "number"));
    d->json = json;
    d->organization = db_col_int(s, 2);
    d->period = db_col_int(s, 3);
    d->net_minor = db_col_int(s, 4);
    d->tax_minor = db_col_int(s, 5);
    d->gross_minor = db_col_int(s, 6);
    d->exact_atoms = db_col_int(s, 7);
    d->digits = (int)json_integer_value(json_object_get(json, "minor_digits"));
    d->minor_atoms = 1;
    for (int i = d->digits; i < MONEY_ATOM_EXP; i++)
        d->minor_atoms *= 10;
    return number && strcmp(number, d->number) == 0 && d->digits >= 0 &&
           d->digits <= MONEY_ATOM_EXP && d->period > 0;
}

static enum status invoice_row(struct audit *a, struct db_stmt *s)
{
    struct document d = { .audit = a, .number = db_col_text(s, 0, NULL) };
    AUTO(json_decref_ptr) json_t *json = json_loads(db_col_text(s, 8, NULL), 0, NULL);
    if (!json || !read_document(&d, s, json)) {
        problem(&d, "its document cannot be read");
        return STATUS_OK;
    }
    AUTO(tally_free) struct tally month = { 0 };
    enum status status = period_usage(&d, &month);
    if (!status)
        status = check_lines(&d, &month);
    check_totals(&d);
    return status ? status : check_posting(&d);
}

/* ---- numbers ------------------------------------------------------------------------------- */

static enum status series_row(struct audit *a, struct db_stmt *s)
{
    const char *series = db_col_text(s, 0, NULL);
    int64_t issued = db_col_int(s, 1), count = db_col_int(s, 2);
    if (issued != count || (count > 0 && (db_col_int(s, 3) != 1 || db_col_int(s, 4) != count)))
        audit_problem(a, "series %s: %" PRId64 " numbers were given out, %" PRId64 " are there",
                      series, issued, count);
    return STATUS_OK;
}

static enum status uncounted_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "invoice %s has a number that no series gave out", db_col_text(s, 0, NULL));
    return STATUS_OK;
}

enum status audit_invoices(struct audit *a)
{
    enum status s = audit_query(a, sql_invoices, invoice_row);
    if (!s)
        s = audit_query(a, sql_gaps, series_row);
    return s ? s : audit_query(a, sql_uncounted, uncounted_row);
}
