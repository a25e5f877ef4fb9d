/* billing/document_csv.c -- a document for a spreadsheet: a row for each line and a row
 * with the totals, RFC 4180, from the document alone. */
#include "billing/document_inside.h"
#include <stdio.h>
#include <string.h>

enum { CSV_BYTES_MAX = 64 << 20 };

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* A spreadsheet takes what begins so for a formula, also in the wide forms of Chinese and Japanese
 * keyboards; a number below 0 is none. */
static bool is_formula(const char *text)
{
    static const char *const begins[] = {
        "=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20",
    };
    if (*text == '-' && text[1 + strspn(text + 1, "0123456789.")] == '\0')
        return false;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(text, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

/* A formula is defused by an apostrophe. */
bool document_csv_cell(struct buf *b, const char *text, bool first)
{
    bool fits = buf_text(b, first ? "\"" : ",\"") && (!is_formula(text) || buf_text(b, "'"));
    for (; fits && *text; text++)
        fits = (*text != '"' || buf_text(b, "\"")) && buf_add(b, text, 1);
    return fits && buf_text(b, "\"");
}

/* Columns of the document first, then of the line; a total has the totals' own. */
enum column_of { OF_DOCUMENT, OF_LINE, OF_BOTH };
static const struct {
    const char *name;
    enum column_of of;
} columns[] = {
    { "number", OF_DOCUMENT },
    { "object", OF_DOCUMENT },
    { "status", OF_DOCUMENT },
    { "refers_to", OF_DOCUMENT },
    { "organization", OF_DOCUMENT },
    { "month", OF_DOCUMENT },
    { "currency", OF_DOCUMENT },
    { "line", OF_LINE },
    { "category", OF_LINE },
    { "text", OF_LINE },
    { "model", OF_LINE },
    { "meter", OF_LINE },
    { "unit", OF_LINE },
    { "unit_price", OF_LINE },
    { "quantity", OF_LINE },
    { "covered", OF_LINE },
    { "exact", OF_BOTH },
    { "rounding", OF_BOTH },
    { "net", OF_BOTH },
    { "tax_category", OF_LINE },
    { "tax_basis_points", OF_LINE },
    { "tax", OF_BOTH },
    { "gross", OF_BOTH },
    { "list_unit_price", OF_LINE },
    { "price_version", OF_LINE },
    { "price_book", OF_LINE },
    { "cost_centre", OF_DOCUMENT }, /* of a statement alone */
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static size_t columns_of(const json_t *document)
{
    return json_object_get(document, "cost_centre") ? COLUMNS : COLUMNS - 1;
}

bool document_csv_value(struct buf *b, const json_t *object, const char *key, bool first)
{
    char number[24];
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        return document_csv_cell(b, text_of(object, key), first);
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    return document_csv_cell(b, number, first);
}

static bool add_row(struct buf *b, const json_t *document, const json_t *line, bool total)
{
    bool fits = true;
    for (size_t i = 0; i < columns_of(document) && fits; i++) {
        const char *name = columns[i].name;
        if (columns[i].of == OF_DOCUMENT)
            fits = document_csv_value(b, document, name, i == 0);
        else if (total && columns[i].of == OF_LINE)
            fits = document_csv_cell(b, strcmp(name, "line") == 0 ? "total" : "", false);
        else
            fits = document_csv_value(b, line, name, false);
    }
    return fits && buf_text(b, "\r\n");
}

char *document_csv(const json_t *document)
{
    struct buf b;
    buf_init(&b, CSV_BYTES_MAX);
    bool fits = true;
    for (size_t i = 0; i < columns_of(document) && fits; i++)
        fits = document_csv_cell(&b, columns[i].name, i == 0);
    fits = fits && buf_text(&b, "\r\n");
    size_t i;
    const json_t *line;
    json_array_foreach (json_object_get(document, "lines"), i, line)
        fits = fits && add_row(&b, document, line, false);
    fits = fits && add_row(&b, document, json_object_get(document, "totals"), true);
    char *text = fits ? buf_take(&b, NULL) : NULL;
    buf_free(&b);
    return text;
}
