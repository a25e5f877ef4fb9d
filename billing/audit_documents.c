/* billing/audit_documents.c -- issued documents: their numbers, their sums, and that they
 * say what was settled, charged and posted.
 */
#include "billing/audit_inside.h"
#include "base/cleanup.h"
#include "base/money.h"
#include "base/usage.h"
#include "billing/decimal.h"
#include <inttypes.h>
#include <string.h>

__extension__ typedef __int128 wide;

static const char sql_documents[] =
    "SELECT number, type, organization, period, net_minor, tax_minor, gross_minor, exact_atoms,"
    " body, refers_to FROM document ORDER BY series, number";
static const char sql_gaps[] =
    "SELECT c.series, c.next - 1, count(i.number),"
    " min(CAST(substr(i.number, length(c.series) + 2) AS INTEGER)),"
    " max(CAST(substr(i.number, length(c.series) + 2) AS INTEGER)), (SELECT"
    "  coalesce(sum(last - first + 1), 0) FROM lost_number l WHERE l.series = c.series)"
    " FROM doc_counter c"
    " LEFT JOIN document i ON i.series = c.series GROUP BY c.series";
static const char sql_found[] =
    "SELECT i.number FROM document i JOIN lost_number l ON l.series = i.series"
    " AND CAST(substr(i.number, length(i.series) + 2) AS INTEGER) BETWEEN l.first AND l.last";
static const char sql_uncounted[] = "SELECT number FROM document i WHERE NOT EXISTS"
                                    " (SELECT 1 FROM doc_counter c WHERE c.series = i.series)";
/* What the entries of a document say, by kind of account. */
static const char sql_posted[] =
    "SELECT coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 3), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 1), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 5), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 2), 0), count(DISTINCT t.tx)"
    " FROM ledger_tx t JOIN ledger_entry e ON e.tx = t.tx"
    " WHERE t.kind IN ('invoice', 'credit_note') AND t.ref = ?1";
static const char sql_model[] = "SELECT id FROM name WHERE name = ?1";
static const char sql_charged[] =
    "SELECT count(*), coalesce(sum(c.amount_atoms), 0) FROM charge c JOIN billing_period p"
    " ON p.id = ?1 WHERE c.organization = p.organization AND c.at_us >= p.starts_us"
    " AND c.at_us < p.ends_us";
static const char sql_over_credited[] =
    "SELECT invoice, line, sum(net_minor) FROM credit_line GROUP BY invoice, line";
static const char sql_line_net[] =
    "SELECT json_extract(body, '$.lines[' || (?2 - 1) || '].net') FROM document WHERE number = ?1";
static const char sql_note_net[] =
    "SELECT coalesce(sum(net_minor), 0) FROM credit_line WHERE number = ?1";

enum { INVOICE = 380, CREDIT_NOTE = 381, GROUPS_MAX = 32 };

struct document { /* one issued document, as it is printed */
    struct audit *audit;
    const char *number;
    const json_t *json;
    int type;
    int64_t organization, period;
    int digits;
    int64_t minor_atoms;
    int64_t net_minor, tax_minor, gross_minor, exact_atoms; /* of the row */
    int64_t charges;                                        /* lines that are charges */
    wide charged_atoms;
};

static void problem(const struct document *d, const char *what)
{
    audit_problem(d->audit, "document %s: %s", d->number, what);
}

static bool amount_of(const json_t *object, const char *key, int digits, int64_t *ret)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && decimal_parse_minor(text, digits, ret);
}

/* Half away from zero, written out once more. */
static wide half_up(wide number, wide den)
{
    wide size = number < 0 ? -number : number, up = (2 * size + den) / (2 * den);
    return number < 0 ? -up : up;
}

/* ---- lines of an invoice against the settlements and the charges --------------------------- */

static enum status model_id(struct db *db, const char *model, int64_t *ret)
{
    struct db_stmt *s = db_prepare(db, sql_model);
    if (!s)
        return db_status(db);
    db_text(s, 1, model, -1);
    return db_first_int(db, s, ret);
}

/* Model, meter, price version, item -> qty, atoms that are owed, that were charged: of this
 * document's period alone. */
static enum status period_usage(const struct document *d, struct tally *ret)
{
    const struct tally *usage = &d->audit->usage;
    for (size_t i = 0; i < usage->room; i++) {
        const struct tally_row *u = &usage->rows[i];
        if (!u->used || u->key[7] != d->period || u->sum[0] == 0)
            continue;
        struct tally_row *row =
            tally_row(ret, (int64_t[TALLY_KEYS]){ u->key[3], u->key[4], u->key[5], u->key[6] });
        if (!row)
            return STATUS_NO_MEMORY;
        row->sum[0] += u->sum[0];
        row->sum[1] += u->sum[2] - u->sum[3];
        row->sum[2] += u->sum[2];
    }
    return STATUS_OK;
}

static int which_of(const char *category)
{
    return strcmp(category, "reversal") == 0 ? AUDIT_REVERSAL
           : strcmp(category, "volume") == 0 ? AUDIT_VOLUME
                                             : 0;
}

/* A line of usage, or one that gives back of its price; `which` says. */
static enum status check_usage(const struct document *d, const struct tally *usage,
                               const json_t *line, int64_t exact, int which)
{
    const char *model = json_string_value(json_object_get(line, "model"));
    const char *meter = json_string_value(json_object_get(line, "meter"));
    int64_t id = 0;
    if (!model || !meter) {
        problem(d, "a line cannot be read");
        return STATUS_OK;
    }
    enum status s = model_id(d->audit->db, model, &id);
    if (s)
        return s;
    const int64_t key[TALLY_KEYS] = { id, (int64_t)meter_find(meter),
                                      json_integer_value(json_object_get(line, "price_version")),
                                      json_integer_value(json_object_get(line, "item")) };
    if (which) {
        audit_volume_line(d->audit, d->number, usage, key, which, exact);
        return STATUS_OK;
    }
    struct tally_row *row = tally_find(usage, key);
    if (!row || row->seen || row->sum[1] != exact ||
        row->sum[0] != json_integer_value(json_object_get(line, "quantity")))
        problem(d, "a line is not the sum of its settlements");
    else
        row->seen = true;
    return STATUS_OK;
}

static enum status check_line(struct document *d, const struct tally *usage, const json_t *line,
                              wide *exact_sum, wide *net_sum)
{
    const char *category = json_string_value(json_object_get(line, "category"));
    int64_t exact = 0, net = 0;
    if (!amount_of(line, "exact", MONEY_ATOM_EXP, &exact) ||
        !amount_of(line, "net", d->digits, &net)) {
        problem(d, "a line cannot be read");
        return STATUS_OK;
    }
    *exact_sum += exact;
    *net_sum += net;
    if (half_up(exact, d->minor_atoms) != net)
        problem(d, "a line is not rounded half up");
    if (!category || strcmp(category, "usage") == 0) /* the first release had nothing else */
        return check_usage(d, usage, line, exact, 0);
    if (which_of(category))
        return check_usage(d, usage, line, exact, which_of(category));
    d->charges++;
    d->charged_atoms += exact;
    return STATUS_OK;
}

static enum status check_charges(const struct document *d)
{
    struct db_stmt *s = db_prepare(d->audit->db, sql_charged);
    if (!s)
        return db_status(d->audit->db);
    db_int(s, 1, d->period);
    enum db_row row = db_step(s);
    if (row == DB_ROW && (db_col_int(s, 0) != d->charges || db_col_int(s, 1) != d->charged_atoms))
        problem(d, "its charges are not those of its period");
    enum status status = row == DB_FAILED ? db_status(d->audit->db) : STATUS_OK;
    db_reset(s);
    return status;
}

static enum status check_invoice_lines(struct document *d)
{
    wide exact = 0, net = 0;
    size_t i;
    const json_t *line;
    AUTO(tally_free) struct tally usage = { 0 };
    enum status s = period_usage(d, &usage);
    json_array_foreach (json_object_get(d->json, "lines"), i, line) {
        if (s)
            return s;
        s = check_line(d, &usage, line, &exact, &net);
    }
    for (i = 0; i < usage.room; i++)
        if (usage.rows[i].used && !usage.rows[i].seen)
            problem(d, "usage of the period is on no line");
    if (exact != d->exact_atoms || net != d->net_minor)
        problem(d, "its lines do not add up to its net");
    if (!s)
        s = audit_volume_end(d->audit, d->number, &usage);
    return s ? s : check_charges(d);
}

/* ---- lines of a credit note ---------------------------------------------------------------- */

static enum status check_note_lines(const struct document *d)
{
    wide net = 0;
    size_t i;
    const json_t *line;
    struct db_stmt *s = db_prepare(d->audit->db, sql_note_net);
    if (!s)
        return db_status(d->audit->db);
    json_array_foreach (json_object_get(d->json, "lines"), i, line) {
        int64_t minor = 0;
        if (!amount_of(line, "net", d->digits, &minor) || minor <= 0)
            problem(d, "a line cannot be read");
        net += minor;
    }
    db_text(s, 1, d->number, -1);
    enum db_row row = db_step(s);
    if (net != d->net_minor || (row == DB_ROW && db_col_int(s, 0) != d->net_minor))
        problem(d, "its lines do not add up to its net");
    enum status status = row == DB_FAILED ? db_status(d->audit->db) : STATUS_OK;
    db_reset(s);
    return status;
}

static enum status over_credited_row(struct audit *a, struct db_stmt *s)
{
    const char *invoice = db_col_text(s, 0, NULL);
    struct db_stmt *find = db_prepare(a->db, sql_line_net);
    if (!find)
        return db_status(a->db);
    db_text(find, 1, invoice, -1);
    db_int(find, 2, db_col_int(s, 1));
    enum db_row row = db_step(find);
    const char *text = row == DB_ROW ? db_col_text(find, 0, NULL) : NULL;
    int64_t net = 0;
    size_t len = text ? strcspn(text, ".") : 0;
    int digits = text && text[len] ? (int)strlen(text + len + 1) : 0;
    if (!text || !decimal_parse_minor(text, digits, &net) || db_col_int(s, 2) > net)
        audit_problem(a, "document %s: more of line %" PRId64 " was credited than it says", invoice,
                      db_col_int(s, 1));
    enum status status = row == DB_FAILED ? db_status(a->db) : STATUS_OK;
    db_reset(find);
    return status;
}

/* ---- taxes and totals ---------------------------------------------------------------------- */

/* Each group of taxes is the sum of its lines; of an invoice its tax is its rate on that. */
static void check_group(const struct document *d, const json_t *group, wide *net_sum, wide *tax_sum)
{
    const char *category = json_string_value(json_object_get(group, "category"));
    int64_t points = json_integer_value(json_object_get(group, "basis_points")), net = 0, tax = 0;
    size_t i;
    const json_t *line;
    wide lines = 0;
    if (!category || !amount_of(group, "taxable", d->digits, &net) ||
        !amount_of(group, "tax", d->digits, &tax)) {
        problem(d, "its taxes cannot be read");
        return;
    }
    json_array_foreach (json_object_get(d->json, "lines"), i, line) {
        int64_t minor = 0;
        const char *own = json_string_value(json_object_get(line, "tax_category"));
        if (own && strcmp(own, category) == 0 && amount_of(line, "net", d->digits, &minor) &&
            json_integer_value(json_object_get(line, "tax_basis_points")) == points)
            lines += minor;
    }
    wide due = half_up((wide)net * points, 10000), slack = d->type == CREDIT_NOTE;
    if (lines != net || tax > due + slack || tax < due - slack)
        problem(d, "its tax is not its rate on its lines");
    *net_sum += net;
    *tax_sum += tax;
}

static void check_totals(const struct document *d)
{
    const json_t *totals = json_object_get(d->json, "totals"), *group;
    int64_t net, tax, gross;
    wide taxed = 0, taxes = 0;
    size_t i;
    if (!amount_of(totals, "net", d->digits, &net) || !amount_of(totals, "tax", d->digits, &tax) ||
        !amount_of(totals, "gross", d->digits, &gross)) {
        problem(d, "its totals cannot be read");
        return;
    }
    if (net != d->net_minor || tax != d->tax_minor || gross != d->gross_minor)
        problem(d, "its totals are not those of its row");
    if ((wide)net + tax != gross)
        problem(d, "net and tax do not add up to gross");
    json_array_foreach (json_object_get(d->json, "taxes"), i, group)
        check_group(d, group, &taxed, &taxes);
    if (json_is_array(json_object_get(d->json, "taxes")) && (taxed != net || taxes != tax))
        problem(d, "its groups of taxes do not add up");
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
    int sign = d->type == INVOICE ? 1 : -1;
    bool right = db_col_int(s, 0) == sign * (wide)d->gross_minor * d->minor_atoms &&
                 db_col_int(s, 2) == -sign * (wide)d->tax_minor * d->minor_atoms &&
                 db_col_int(s, 4) == (d->gross_minor != 0 || d->exact_atoms != 0);
    if (d->type == INVOICE)
        right = right && db_col_int(s, 1) == -d->exact_atoms;
    else
        right = right && db_col_int(s, 3) == (wide)d->net_minor * d->minor_atoms;
    db_reset(s);
    if (!right)
        problem(d, "it was not posted as it is printed");
    return STATUS_OK;
}

static bool read_document(struct document *d, struct db_stmt *s, json_t *json)
{
    const char *number = json_string_value(json_object_get(json, "number"));
    d->json = json;
    d->type = (int)db_col_int(s, 1);
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
           d->digits <= MONEY_ATOM_EXP && (d->type == CREDIT_NOTE || d->period > 0);
}

static enum status document_row(struct audit *a, struct db_stmt *s)
{
    struct document d = { .audit = a, .number = db_col_text(s, 0, NULL) };
    AUTO(json_decref_ptr) json_t *json = json_loads(db_col_text(s, 8, NULL), 0, NULL);
    if (!json || !read_document(&d, s, json)) {
        problem(&d, "it cannot be read");
        return STATUS_OK;
    }
    enum status status = d.type == INVOICE ? check_invoice_lines(&d) : check_note_lines(&d);
    check_totals(&d);
    return status ? status : check_posting(&d);
}

/* ---- numbers ------------------------------------------------------------------------------- */

static enum status series_row(struct audit *a, struct db_stmt *s)
{
    const char *series = db_col_text(s, 0, NULL);
    int64_t issued = db_col_int(s, 1), count = db_col_int(s, 2), lost = db_col_int(s, 5);
    if (issued != count + lost ||
        (count > 0 && (db_col_int(s, 3) < 1 || db_col_int(s, 4) > issued)))
        audit_problem(a, "series %s: %" PRId64 " numbers were given out, %" PRId64 " are there",
                      series, issued, count + lost);
    return STATUS_OK;
}

static enum status uncounted_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "document %s has a number that no series gave out", db_col_text(s, 0, NULL));
    return STATUS_OK;
}

static enum status found_row(struct audit *a, struct db_stmt *s)
{
    audit_problem(a, "document %s has a number that was lost in a restore",
                  db_col_text(s, 0, NULL));
    return STATUS_OK;
}

enum status audit_documents(struct audit *a)
{
    enum status s = audit_query(a, sql_documents, document_row);
    if (!s)
        s = audit_query(a, sql_over_credited, over_credited_row);
    if (s || a->is_archive) /* which has the invoices of its month, and no more of the series */
        return s;
    s = audit_query(a, sql_gaps, series_row);
    if (!s)
        s = audit_query(a, sql_found, found_row);
    return s ? s : audit_query(a, sql_uncounted, uncounted_row);
}
