/* cli/invoice.c -- documents: invoices of a month, of one organisation or of all that used
 * something, and whatever was issued.
 *
 * The text form shows every line with its exact and its rounded amount, and the
 * sums under the columns that they are the sums of.
 */
#include "cli/cli.h"
#include "base/cleanup.h"
#include <string.h>

enum form { FORM_TEXT, FORM_JSON, FORM_CSV, FORM_HTML };

struct invoice_run {
    const struct session *session;
    const char *command; /* the daemon's */
    const char *month, *by;
    enum form form;
    json_t *all; /* FORM_JSON: the documents */
    size_t printed;
    bool stopped; /* of all: no use in asking for the others */
};

/* Nothing for a text that is empty or not there; an address has lines. */
static void print_fact(const char *title, json_t *object, const char *key)
{
    const char *at = text_of(object, key);
    for (size_t len = strcspn(at, "\n"); *at; title = "", len = strcspn(at, "\n")) {
        AUTO(json_decref_ptr) json_t *line = json_stringn(at, len);
        AUTO(free_ptr) char *text = cell_text(line);
        if (text && *text)
            printf("%-9s %s\n", title, text);
        at += len + (at[len] == '\n');
    }
}

static void print_party(const char *who, json_t *party)
{
    print_fact(who, party, "name");
    print_fact("", party, "address");
    print_fact("tax id", party, "tax_id");
}

static void print_title(json_t *d)
{
    if (strcmp(text_of(d, "object"), "statement") == 0) {
        const char *centre = text_of(d, "cost_centre");
        printf("STATEMENT of %s for %s\n", text_of(d, "number"),
               *centre ? centre : "no cost centre");
        return;
    }
    bool issued = strcmp(text_of(d, "status"), "issued") == 0;
    bool credit = strcmp(text_of(d, "object"), "credit_note") == 0;
    if (issued)
        printf("%s %s of %s\n", credit ? "CREDIT NOTE" : "INVOICE", text_of(d, "number"),
               text_of(d, "issue_date"));
    else
        puts("DRAFT, not an invoice: not issued yet");
}

static void print_approvals(json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach (list, i, one) {
        AUTO(free_ptr) char *by = cell_text(json_object_get(one, "by"));
        printf("%-9s by %s at %s\n", "approved", by ? by : "", text_of(one, "at"));
    }
}

static void print_head(json_t *invoice)
{
    json_t *buyer = json_object_get(invoice, "buyer"), *period = json_object_get(invoice, "period");
    print_title(invoice);
    print_fact("customer", invoice, "organization");
    print_fact("for", invoice, "refers_to");
    printf("%-9s %s to %s %s\n", "period", text_of(period, "first_day"),
           text_of(period, "last_day"), text_of(period, "time_zone"));
    print_fact("due", invoice, "due_date");
    print_fact("state", invoice, "state");
    print_approvals(json_object_get(invoice, "approvals"));
    print_party("seller", json_object_get(invoice, "seller"));
    print_party("buyer", buyer);
    print_fact("order", buyer, "po_number");
    print_fact("reference", buyer, "reference");
    putchar('\n');
}

static void add_sum(json_t *rows, const char *title, const char *exact, const char *net)
{
    json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s}", "line", "", "unit_price", title,
                                          "exact", exact, "net", net));
}

/* A charge has words of its own where usage has a model and a meter. */
static json_t *rows_of(json_t *invoice)
{
    json_t *rows = json_deep_copy(json_object_get(invoice, "lines")), *row;
    size_t i;
    json_array_foreach (rows, i, row)
        if (!json_object_get(row, "model"))
            json_object_set(row, "model", json_object_get(row, "text"));
    return rows;
}

static void add_taxes(json_t *rows, json_t *invoice)
{
    size_t i;
    json_t *group;
    char title[160];
    json_array_foreach (json_object_get(invoice, "taxes"), i, group) {
        json_int_t points = json_integer_value(json_object_get(group, "basis_points"));
        const char *why = text_of(group, "text");
        snprintf(title, sizeof title,
                 "tax %s%s%s%s %" JSON_INTEGER_FORMAT ".%02" JSON_INTEGER_FORMAT " %% on %s",
                 text_of(group, "category"), *why ? " (" : "", why, *why ? ")" : "", points / 100,
                 points % 100, text_of(group, "taxable"));
        add_sum(rows, title, "", text_of(group, "tax"));
    }
}

static void print_lines(json_t *invoice)
{
    static const struct column columns[] = {
        { "LINE", "line", true, NULL },
        { "WHAT", "model", false, NULL },
        { "METER", "meter", false, NULL },
        { "QUANTITY", "quantity", true, NULL },
        { "UNIT PRICE", "unit_price", true, NULL },
        { "COVERED", "covered", true, NULL },
        { "EXACT", "exact", true, NULL },
        { "NET", "net", true, NULL },
        { 0 },
    };
    json_t *totals = json_object_get(invoice, "totals");
    AUTO(json_decref_ptr) json_t *rows = rows_of(invoice);
    add_sum(rows, "sum", text_of(totals, "exact"), text_of(totals, "net"));
    add_taxes(rows, invoice);
    add_sum(rows, "total", "", text_of(totals, "gross"));
    table_print(rows, columns);
    printf("\ntotal %s %s", text_of(totals, "gross"), text_of(invoice, "currency"));
    if (json_object_get(totals, "rounding"))
        printf("; each line is rounded once, which added %s to the exact sum",
               text_of(totals, "rounding"));
    puts("\n");
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
    } else if (r->form == FORM_HTML) {
        fputs(text_of(result, "html"), stdout);
    } else {
        print_head(result);
        print_lines(result);
    }
}

static const char *form_name(enum form form)
{
    return form == FORM_CSV ? "csv" : form == FORM_HTML ? "html" : "json";
}

/* FORM_TEXT unless told otherwise; two forms at once are a mistake. */
static enum exit_code read_form(const struct session *s, json_t *args, enum form *ret)
{
    bool csv = json_object_get(args, "csv") != NULL, html = json_object_get(args, "html") != NULL;
    if (csv + html + s->json > 1) {
        fprintf(stderr, "maasgate: one of --csv, --html and --json\n");
        return EXIT_USAGE;
    }
    *ret = csv ? FORM_CSV : html ? FORM_HTML : s->json ? FORM_JSON : FORM_TEXT;
    return EXIT_OK;
}

static enum exit_code one_organization(struct invoice_run *r, const char *organization)
{
    AUTO(json_decref_ptr)
    json_t *args = json_pack("{s:s, s:s, s:s, s:s*}", "organization", organization, "month",
                             r->month, "format", form_name(r->form), "by", r->by);
    AUTO(json_decref_ptr) json_t *result = NULL;
    enum exit_code code = ask(r->session, r->command, args, &result);
    if (code == EXIT_OK)
        print_invoice(r, result);
    return code;
}

/* Usage, a fee or whatever else makes a line. */
static enum exit_code has_lines(const struct invoice_run *r, const char *organization, bool *ret)
{
    AUTO(json_decref_ptr)
    json_t *args = json_pack("{s:s, s:s}", "organization", organization, "month", r->month);
    AUTO(json_decref_ptr) json_t *document = NULL;
    enum exit_code code = ask(r->session, "invoice.get", args, &document);
    *ret = json_array_size(json_object_get(document, "lines")) > 0;
    return code;
}

static enum exit_code one_of_all(struct invoice_run *r, const char *organization)
{
    bool any = false;
    enum exit_code code = has_lines(r, organization, &any);
    r->stopped = code != EXIT_OK;
    if (code == EXIT_OK && any)
        code = one_organization(r, organization);
    if (code == EXIT_REFUSED && !r->stopped)
        fprintf(stderr, "maasgate: that was about %s\n", organization);
    return code;
}

/* What is refused to one is not to the others. */
static enum exit_code all_organizations(struct invoice_run *r)
{
    AUTO(json_decref_ptr) json_t *args = json_object();
    AUTO(json_decref_ptr) json_t *list = NULL;
    enum exit_code worst = ask(r->session, "org.list", args, &list);
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(list, "organizations"), i, row) {
        enum exit_code code = one_of_all(r, text_of(row, "slug"));
        worst = code ? code : worst;
        if (r->stopped || code == EXIT_UNREACHABLE)
            break;
    }
    if (worst == EXIT_OK && r->printed == 0)
        fprintf(stderr, "nothing is to be invoiced of %s\n", r->month);
    return worst;
}

static const char *invoice_command(json_t *args)
{
    if (json_object_get(args, "issue"))
        return "invoice.issue";
    return json_object_get(args, "by") ? "invoice.approve" : "invoice.get";
}

/* Ends the period of one organisation; never of all at once. */
static enum exit_code cut(const struct session *s, const char *organization)
{
    AUTO(json_decref_ptr) json_t *result = NULL;
    if (!organization) {
        fprintf(stderr, "maasgate: --until-now needs --org\n");
        return EXIT_USAGE;
    }
    AUTO(json_decref_ptr) json_t *args = json_pack("{s:s}", "organization", organization);
    return ask(s, "invoice.cut", args, &result);
}

enum exit_code run_invoice(const struct session *s, json_t *args)
{
    AUTO(json_decref_ptr) json_t *all = json_array();
    struct invoice_run r = {
        .session = s,
        .command = invoice_command(args),
        .month = text_of(args, "month"),
        .by = json_string_value(json_object_get(args, "by")),
        .all = all,
    };
    if (r.by && json_object_get(args, "issue")) {
        fprintf(stderr, "maasgate: --approve, then --issue, by another person if you can\n");
        return EXIT_USAGE;
    }
    enum exit_code code = read_form(s, args, &r.form);
    if (code != EXIT_OK)
        return code;
    const char *organization = json_string_value(json_object_get(args, "organization"));
    if (json_object_get(args, "cut"))
        code = cut(s, organization);
    if (code != EXIT_OK)
        return code;
    code = organization ? one_organization(&r, organization) : all_organizations(&r);
    if (r.form == FORM_JSON && (code == EXIT_OK || r.printed)) {
        json_dumpf(organization ? json_array_get(all, 0) : all, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    return code;
}

/* ---- documents by number ---- */

static enum exit_code one_document(const struct session *s, const char *command, json_t *args)
{
    struct invoice_run r = { .session = s };
    AUTO(json_decref_ptr) json_t *result = NULL;
    enum exit_code code = read_form(s, args, &r.form);
    if (code != EXIT_OK)
        return code;
    json_object_del(args, "csv");
    json_object_del(args, "html");
    json_object_set_new(args, "format", json_string(form_name(r.form)));
    code = ask(s, command, args, &result);
    if (code != EXIT_OK)
        return code;
    if (r.form == FORM_JSON)
        json_dumpf(result, stdout, JSON_INDENT(2));
    else
        print_invoice(&r, result);
    return EXIT_OK;
}

enum exit_code run_document(const struct session *s, json_t *args)
{
    return one_document(s, "document.get", args);
}

enum exit_code run_statement(const struct session *s, json_t *args)
{
    struct invoice_run r = { .session = s };
    AUTO(json_decref_ptr) json_t *result = NULL;
    enum exit_code code = read_form(s, args, &r.form);
    if (code != EXIT_OK)
        return code;
    json_object_del(args, "csv");
    json_object_del(args, "html");
    json_object_set_new(args, "format", json_string(form_name(r.form)));
    code = ask(s, "statement", args, &result);
    if (code == EXIT_OK && r.form == FORM_JSON)
        json_dumpf(result, stdout, JSON_INDENT(2));
    size_t i;
    json_t *one;
    json_array_foreach (r.form == FORM_JSON ? NULL : json_object_get(result, "statements"), i, one)
        print_invoice(&r, one);
    return code;
}

enum exit_code run_credit_note(const struct session *s, json_t *args)
{
    return one_document(s, "credit_note.issue", args);
}

enum exit_code show_documents(json_t *result)
{
    static const struct column columns[] = {
        { "NUMBER", "number", false, NULL },
        { "ORGANIZATION", "organization", false, NULL },
        { "MONTH", "month", false, NULL },
        { "ISSUED", "issue_date", false, NULL },
        { "DUE", "due_date", false, NULL },
        { "FOR", "refers_to", false, NULL },
        { "NET", "net", true, NULL },
        { "TAX", "tax", true, NULL },
        { "GROSS", "gross", true, NULL },
        { "PAID", "paid", true, NULL },
        { "OPEN", "open", true, NULL },
        { "STATE", "state", false, NULL },
        { 0 },
    };
    table_print(json_object_get(result, "documents"), columns);
    return EXIT_OK;
}

enum exit_code show_paid(json_t *result)
{
    printf("%s: %s of %s paid, %s\n", text_of(result, "number"), text_of(result, "paid"),
           text_of(json_object_get(result, "totals"), "gross"), text_of(result, "state"));
    return EXIT_OK;
}
