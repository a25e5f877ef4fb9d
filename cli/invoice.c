/* cli/invoice.c -- invoices of a month: of one organisation, or of all that used something.
 *
 * The text form shows every line with its exact and its rounded amount, and the
 * sums under the columns that they are the sums of.
 */
#include "cli/cli.h"
#include "base/cleanup.h"
#include <string.h>

enum { ORGANIZATIONS_MAX = 10000 };

enum form { FORM_TEXT, FORM_JSON, FORM_CSV };

struct invoice_run {
    const struct session *session;
    const char *command; /* the daemon's */
    const char *month;
    enum form form;
    json_t *all; /* FORM_JSON: the documents */
    size_t printed;
};

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Nothing for a text that is empty. */
static void print_fact(const char *title, json_t *object, const char *key)
{
    AUTO(free_ptr) char *text = cell_text(json_object_get(object, key));
    if (text && *text)
        printf("%-9s %s\n", title, text);
}

static void print_party(const char *who, json_t *party)
{
    print_fact(who, party, "name");
    print_fact("", party, "address");
    print_fact("tax id", party, "tax_id");
}

static void print_head(json_t *invoice)
{
    json_t *buyer = json_object_get(invoice, "buyer"), *period = json_object_get(invoice, "period");
    if (strcmp(text_of(invoice, "status"), "issued") == 0)
        printf("INVOICE %s of %s\n", text_of(invoice, "number"), text_of(invoice, "issue_date"));
    else
        puts("DRAFT, not an invoice: not issued yet");
    printf("%-9s %s\n", "customer", text_of(invoice, "organization"));
    printf("%-9s %s to %s\n", "period", text_of(period, "from"), text_of(period, "to"));
    print_party("seller", json_object_get(invoice, "seller"));
    print_party("buyer", buyer);
    print_fact("order", buyer, "po_number");
    print_fact("reference", buyer, "reference");
    putchar('\n');
}

static void add_sum(json_t *rows, const char *title, const char *exact, const char *net)
{
    json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "line", "",
                                          "model", "", "meter", "", "quantity", "", "unit_price",
                                          title, "exact", exact, "net", net));
}

static void print_lines(json_t *invoice)
{
    static const struct column columns[] = {
        { "LINE", "line", true, NULL },
        { "MODEL", "model", false, NULL },
        { "METER", "meter", false, NULL },
        { "QUANTITY", "quantity", true, NULL },
        { "UNIT PRICE", "unit_price", true, NULL },
        { "EXACT", "exact", true, NULL },
        { "NET", "net", true, NULL },
        { 0 },
    };
    json_t *totals = json_object_get(invoice, "totals");
    AUTO(json_decref_ptr) json_t *rows = json_copy(json_object_get(invoice, "lines"));
    char tax[64];
    json_int_t points = json_integer_value(json_object_get(totals, "tax_basis_points"));
    snprintf(tax, sizeof tax, "tax %" JSON_INTEGER_FORMAT ".%02" JSON_INTEGER_FORMAT " %%",
             points / 100, points % 100);
    add_sum(rows, "sum", text_of(totals, "exact"), text_of(totals, "net"));
    add_sum(rows, tax, "", text_of(totals, "tax"));
    add_sum(rows, "total", "", text_of(totals, "gross"));
    table_print(rows, columns);
    printf("\ntotal %s %s; each line is rounded once, which added %s to the exact sum\n\n",
           text_of(totals, "gross"), text_of(invoice, "currency"), text_of(totals, "rounding"));
}

/* The heading once, however many invoices there are. */
static void print_csv(const char *csv, bool first)
{
    const char *rows = first ? csv : strstr(csv, "\r\n");
    if (rows)
        fputs(first ? rows : rows + 2, stdout);
}

static void print_invoice(struct invoice_run *r, json_t *result)
{
    bool first = r->printed++ == 0;
    if (r->form == FORM_JSON) {
        json_array_append(r->all, result);
    } else if (r->form == FORM_CSV) {
        print_csv(text_of(result, "csv"), first);
    } else {
        print_head(result);
        print_lines(result);
    }
}

static enum exit_code one_organization(struct invoice_run *r, const char *organization)
{
    AUTO(json_decref_ptr)
    json_t *args = json_pack("{s:s, s:s, s:s}", "organization", organization, "month", r->month,
                             "format", r->form == FORM_CSV ? "csv" : "json");
    AUTO(json_decref_ptr) json_t *result = NULL;
    enum exit_code code = ask(r->session, r->command, args, &result);
    if (code == EXIT_OK)
        print_invoice(r, result);
    return code;
}

static enum exit_code all_organizations(struct invoice_run *r)
{
    AUTO(json_decref_ptr)
    json_t *args = json_pack("{s:s, s:s, s:i}", "month", r->month, "group_by", "organization",
                             "limit", ORGANIZATIONS_MAX);
    AUTO(json_decref_ptr) json_t *usage = NULL;
    enum exit_code code = ask(r->session, "usage", args, &usage);
    size_t i;
    json_t *row, *rows = json_object_get(usage, "data");
    json_array_foreach (rows, i, row)
        if (code == EXIT_OK)
            code = one_organization(r, text_of(row, "organization"));
    if (code == EXIT_OK && json_array_size(rows) == 0)
        fprintf(stderr, "no organization used anything in %s\n", r->month);
    return code;
}

enum exit_code run_invoice(const struct session *s, json_t *args)
{
    bool csv = json_object_get(args, "csv") != NULL;
    if (csv && s->json) {
        fprintf(stderr, "maasgate: --csv or --json, not both\n");
        return EXIT_USAGE;
    }
    AUTO(json_decref_ptr) json_t *all = json_array();
    struct invoice_run r = {
        .session = s,
        .command = json_object_get(args, "issue") ? "invoice.issue" : "invoice.get",
        .month = text_of(args, "month"),
        .form = csv       ? FORM_CSV
                : s->json ? FORM_JSON
                          : FORM_TEXT,
        .all = all,
    };
    const char *organization = json_string_value(json_object_get(args, "organization"));
    enum exit_code code = organization ? one_organization(&r, organization) : all_organizations(&r);
    if (r.form == FORM_JSON && code == EXIT_OK) {
        json_dumpf(organization ? json_array_get(all, 0) : all, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    return code;
}
