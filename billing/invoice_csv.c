/* billing/invoice_csv.c -- an invoice for a spreadsheet: a row for each line and a
 * row with the totals, RFC 4180, from the document alone. */
#include "base/buf.h"
#include "billing/report.h"

enum { CSV_BYTES_MAX = 64 << 20 };

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* A cell that a spreadsheet would take for a formula is defused by an apostrophe. */
static bool add_cell(struct buf *b, const char *text, bool first)
{
    bool formula = *text == '=' || *text == '+' || *text == '@' ||
                   (*text == '-' && !(text[1] >= '0' && text[1] <= '9'));
    bool fits = buf_text(b, first ? "\"" : ",\"") && (!formula || buf_text(b, "'"));
    for (; fits && *text; text++)
        fits = (*text != '"' || buf_text(b, "\"")) && buf_add(b, text, 1);
    return fits && buf_text(b, "\"");
}

static bool add_row(struct buf *b, const char *const *cells, size_t count)
{
    bool fits = true;
    for (size_t i = 0; i < count && fits; i++)
        fits = add_cell(b, cells[i], i == 0);
    return fits && buf_text(b, "\r\n");
}

enum { COLUMNS = 17 };
static const char *const heads[COLUMNS] = {
    "number",     "status",   "organization", "month", "currency", "line", "model", "meter", "unit",
    "unit_price", "quantity", "covered",      "exact", "rounding", "net",  "tax",   "gross",
};

static bool add_line(struct buf *b, const json_t *invoice, const json_t *line)
{
    char number[24], quantity[24];
    snprintf(number, sizeof number, "%lld",
             (long long)json_integer_value(json_object_get(line, "line")));
    snprintf(quantity, sizeof quantity, "%lld",
             (long long)json_integer_value(json_object_get(line, "quantity")));
    const char *const cells[COLUMNS] = {
        text_of(invoice, "number"),
        text_of(invoice, "status"),
        text_of(invoice, "organization"),
        text_of(invoice, "month"),
        text_of(invoice, "currency"),
        number,
        text_of(line, "model"),
        text_of(line, "meter"),
        text_of(line, "unit"),
        text_of(line, "unit_price"),
        quantity,
        text_of(line, "covered"),
        text_of(line, "exact"),
        "",
        text_of(line, "net"),
        "",
        "",
    };
    return add_row(b, cells, COLUMNS);
}

static bool add_totals(struct buf *b, const json_t *invoice)
{
    const json_t *t = json_object_get(invoice, "totals");
    const char *const cells[COLUMNS] = {
        text_of(invoice, "number"),
        text_of(invoice, "status"),
        text_of(invoice, "organization"),
        text_of(invoice, "month"),
        text_of(invoice, "currency"),
        "total",
        "",
        "",
        "",
        "",
        "",
        "",
        text_of(t, "exact"),
        text_of(t, "rounding"),
        text_of(t, "net"),
        text_of(t, "tax"),
        text_of(t, "gross"),
    };
    return add_row(b, cells, COLUMNS);
}

char *invoice_csv(const json_t *invoice)
{
    struct buf b;
    buf_init(&b, CSV_BYTES_MAX);
    bool fits = add_row(&b, heads, COLUMNS);
    size_t i;
    const json_t *line;
    json_array_foreach (json_object_get(invoice, "lines"), i, line)
        fits = fits && add_line(&b, invoice, line);
    fits = fits && add_totals(&b, invoice);
    char *text = fits ? buf_take(&b, NULL) : NULL;
    buf_free(&b);
    return text;
}
