/* billing/document_html.c -- a document for paper: one HTML file without script or outside
 * resource, from the document's JSON alone.  Every text in it is escaped. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "billing/document.h"
#include <stdio.h>
#include <string.h>

enum { HTML_BYTES_MAX = 64 << 20 };

static const char head[] =
    "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv="
    "\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    "<style>@page{size:A4;margin:18mm;@bottom-right{content:counter(page) \" / \" counter(pages);"
    "font:9px sans-serif}}body{font:11px/1.45 sans-serif;color:#111}h1{font-size:20px;"
    "margin:0 0 2px}header,.parties{display:flex;justify-content:space-between;gap:24px}"
    ".parties{margin:22px 0}.parties div{width:50%}address{font-style:normal;white-space:pre-line}"
    "table{border-collapse:collapse;width:100%;margin-top:10px}th,td{padding:4px 6px;"
    "border-bottom:1px solid #ccc;text-align:left;vertical-align:top}th{border-bottom:2px solid #111}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".d{width:40%}.d,address{overflow-wrap:anywhere}small{color:#555}"
    "tr{break-inside:avoid}thead{display:table-header-group}.sum{break-inside:avoid}.sum td{border:0}"
    ".sum .big td{font-weight:bold;border-top:2px solid #111}.note{color:#555;margin-top:18px}"
    "</style><title>";

static bool esc(struct buf *b, const char *text)
{
    bool fits = true;
    for (; *text && fits; text++)
        switch (*text) {
        case '<':
            fits = buf_text(b, "&lt;");
            break;
        case '>':
            fits = buf_text(b, "&gt;");
            break;
        case '&':
            fits = buf_text(b, "&amp;");
            break;
        case '"':
            fits = buf_text(b, "&quot;");
            break;
        default:
            fits = buf_add(b, text, 1);
        }
    return fits;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* <tag>text</tag>; the tag may have a class: "td class=n". */
static bool element(struct buf *b, const char *tag, const char *text)
{
    size_t name = strcspn(tag, " ");
    return buf_printf(b, "<%s>", tag) && esc(b, text) && buf_printf(b, "</%.*s>", (int)name, tag);
}

static bool fact(struct buf *b, const char *title, const char *text)
{
    return !*text || (buf_text(b, "<br>") && esc(b, title) && buf_text(b, " ") && esc(b, text));
}

static bool party(struct buf *b, const char *title, const json_t *p)
{
    return buf_text(b, "<div>") && element(b, "strong", title) && buf_text(b, "<address>") &&
           esc(b, text_of(p, "name")) && buf_text(b, "\n") && esc(b, text_of(p, "address")) &&
           buf_text(b, "</address>") && fact(b, "Tax ID", text_of(p, "tax_id")) &&
           fact(b, "Order", text_of(p, "po_number")) &&
           fact(b, "Reference", text_of(p, "reference")) && buf_text(b, "</div>");
}

static const char *title_of(const json_t *d)
{
    bool issued = strcmp(text_of(d, "status"), "issued") == 0;
    if (json_integer_value(json_object_get(d, "type")) == DOCUMENT_CREDIT_NOTE)
        return "Credit note";
    if (strcmp(text_of(d, "object"), "statement") == 0)
        return "Statement";
    return issued ? "Invoice" : "Draft of an invoice";
}

static bool cost_centre(struct buf *b, const json_t *d)
{
    const char *name = json_string_value(json_object_get(d, "cost_centre"));
    return !name || fact(b, "Cost centre", *name ? name : "none");
}

static bool top(struct buf *b, const json_t *d)
{
    const json_t *period = json_object_get(d, "period");
    return buf_text(b, head) && esc(b, title_of(d)) && buf_text(b, " ") &&
           esc(b, text_of(d, "number")) && buf_text(b, "</title></head><body><header><div>") &&
           element(b, "h1", title_of(d)) && element(b, "div", text_of(d, "number")) &&
           buf_text(b, "</div><div>") && buf_text(b, "Customer ") &&
           esc(b, text_of(d, "organization")) && fact(b, "Issued", text_of(d, "issue_date")) &&
           fact(b, "Due", text_of(d, "due_date")) &&
           fact(b, "Credit of invoice", text_of(d, "refers_to")) && cost_centre(b, d) &&
           fact(b, "Period", text_of(period, "first_day")) && buf_text(b, " to ") &&
           esc(b, text_of(period, "last_day")) && buf_text(b, " ") &&
           esc(b, text_of(period, "time_zone")) &&
           buf_text(b, "</div></header><div class=parties>") &&
           party(b, "From", json_object_get(d, "seller")) &&
           party(b, "To", json_object_get(d, "buyer")) && buf_text(b, "</div>");
}

/* Which book says the price; documents of older versions do not. */
static bool book(struct buf *b, const json_t *line)
{
    char version[40];
    const char *name = text_of(line, "price_book");
    snprintf(version, sizeof version, ", version %lld",
             (long long)json_integer_value(json_object_get(line, "price_version")));
    return !*name || (fact(b, "Price book", name) && esc(b, version));
}

/* Of a credit note: which line of the invoice it is about. */
static bool credited(struct buf *b, const json_t *line)
{
    json_int_t number = json_integer_value(json_object_get(line, "invoice_line"));
    return !number || buf_printf(b, "<br>Line %" JSON_INTEGER_FORMAT " of the invoice", number);
}

/* What the line is for: a charge's own words, or model and meter. */
static bool description(struct buf *b, const json_t *line)
{
    const char *text = text_of(line, "text");
    if (*text)
        return buf_text(b, "<td class=d>") && esc(b, text) && credited(b, line) &&
               buf_text(b, "</td>");
    return buf_text(b, "<td class=d>") && esc(b, text_of(line, "model")) && buf_text(b, "<br>") &&
           esc(b, text_of(line, "meter")) && book(b, line) && buf_text(b, "</td>");
}

/* Beside an own price what the list says. */
static bool unit_price(struct buf *b, const json_t *line)
{
    return buf_text(b, "<td class=n>") && esc(b, text_of(line, "unit_price")) &&
           fact(b, "list", text_of(line, "list_unit_price")) && buf_text(b, "</td>");
}

static bool quantity(struct buf *b, const json_t *line)
{
    const json_t *qty = json_object_get(line, "quantity");
    if (!qty)
        return element(b, "td", "");
    return buf_printf(b, "<td class=n>%" JSON_INTEGER_FORMAT " <small>", json_integer_value(qty)) &&
           esc(b, text_of(line, "unit")) && buf_text(b, "</small></td>");
}

/* What is asked for, and what funds have paid beside it. */
static bool exact(struct buf *b, const json_t *line)
{
    const char *covered = text_of(line, "covered");
    bool paid = covered[strspn(covered, "0.")] != '\0';
    return buf_text(b, "<td class=n>") && esc(b, text_of(line, "exact")) &&
           (!paid || (buf_text(b, "<br><small>funds paid ") && esc(b, covered) &&
                      buf_text(b, "</small>"))) &&
           buf_text(b, "</td>");
}

static bool row(struct buf *b, const json_t *line)
{
    char number[24], rate[64];
    int64_t points = json_integer_value(json_object_get(line, "tax_basis_points"));
    snprintf(number, sizeof number, "%lld",
             (long long)json_integer_value(json_object_get(line, "line")));
    snprintf(rate, sizeof rate, "%.8s %lld.%02lld %%", text_of(line, "tax_category"),
             (long long)points / 100, (long long)points % 100);
    return buf_text(b, "<tr>") && element(b, "td", number) && description(b, line) &&
           quantity(b, line) && unit_price(b, line) && exact(b, line) &&
           element(b, "td class=n", rate) && element(b, "td class=n", text_of(line, "net")) &&
           buf_text(b, "</tr>");
}

static bool sum_row(struct buf *b, const char *class, const char *title, const char *amount)
{
    return buf_printf(b, "<tr class=\"%s\">", class) && element(b, "td class=n", title) &&
           element(b, "td class=n", amount) && buf_text(b, "</tr>");
}

static bool sums(struct buf *b, const json_t *d)
{
    const json_t *totals = json_object_get(d, "totals"), *group;
    char title[200];
    size_t i;
    const char *exact_sum = text_of(totals, "exact");
    bool fits =
        buf_text(b, "<table class=sum>") &&
        (!*exact_sum || (sum_row(b, "", "Sum before rounding", exact_sum) &&
                         sum_row(b, "", "Rounding of the lines", text_of(totals, "rounding")))) &&
        sum_row(b, "", "Net", text_of(totals, "net"));
    json_array_foreach (json_object_get(d, "taxes"), i, group) {
        int64_t points = json_integer_value(json_object_get(group, "basis_points"));
        const char *why = text_of(group, "text");
        snprintf(title, sizeof title, "Tax %.8s%s%.80s%s %lld.%02lld %% on %.40s",
                 text_of(group, "category"), *why ? " (" : "", why, *why ? ")" : "",
                 (long long)points / 100, (long long)points % 100, text_of(group, "taxable"));
        fits = fits && sum_row(b, "", title, text_of(group, "tax"));
    }
    snprintf(title, sizeof title, "Total %.8s", text_of(d, "currency"));
    return fits && sum_row(b, "big", title, text_of(totals, "gross")) && buf_text(b, "</table>");
}

static bool whole(struct buf *b, const json_t *d)
{
    size_t i;
    const json_t *line;
    bool fits =
        top(b, d) &&
        buf_text(b, "<table><thead><tr><th>#<th>Description<th class=n>Quantity<th class=n>"
                    "Unit price<th class=n>Before rounding<th class=n>Tax<th class=n>Net</tr>"
                    "</thead>");
    json_array_foreach (json_object_get(d, "lines"), i, line)
        fits = fits && row(b, line);
    return fits && buf_text(b, "</table>") && sums(b, d) &&
           buf_text(b, "<p class=note>All amounts are in ") && esc(b, text_of(d, "currency")) &&
           buf_text(b, ", prices without tax. Each line is rounded once to the minor unit, half "
                       "away from zero; tax is computed once for each category and rate on the "
                       "sum of its lines.</p></body></html>\n");
}

char *document_html(const json_t *document)
{
    struct buf b;
    buf_init(&b, HTML_BYTES_MAX);
    char *text = whole(&b, document) ? buf_take(&b, NULL) : NULL;
    buf_free(&b);
    return text;
}
