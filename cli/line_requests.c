/* cli/line_requests.c -- the requests that an invoice's lines are the sums of, and what they add up to beside what
 * the lines say. */
#include "cli/cli.h"
#include "base/cleanup.h"
#include "base/money.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_ROWS = 1000 };

struct listing {
    const struct session *session;
    json_t *args;    /* of the next page */
    json_t *rows;    /* owned: of all pages */
    json_t *lines;   /* owned: of the first */
    json_int_t left; /* rows that may still come */
    bool csv, more;
};

static void listing_clear(struct listing *l)
{
    json_decref(l->rows);
    json_decref(l->lines);
}

static void print_csv(const struct listing *l, const char *csv)
{
    const char *rows = l->lines ? strstr(csv, "\r\n") : csv;
    if (rows)
        fputs(l->lines ? rows + 2 : rows, stdout);
}

static enum exit_code read_page(struct listing *l)
{
    AUTO(json_decref_ptr) json_t *page = NULL;
    json_object_set_new(l->args, "limit", json_integer(l->left < PAGE_ROWS ? l->left : PAGE_ROWS));
    enum exit_code code = ask(l->session, "document.requests", l->args, &page);
    if (code != EXIT_OK)
        return code;
    json_t *data = json_object_get(page, "data"), *next = json_object_get(page, "next_page");
    if (l->csv)
        print_csv(l, text_of(page, "csv"));
    if (!l->lines)
        l->lines = json_incref(json_object_get(page, "lines"));
    json_array_extend(l->rows, data);
    l->left -= (json_int_t)json_array_size(data);
    l->more = json_is_string(next);
    if (l->more)
        json_object_set(l->args, "page", next);
    return EXIT_OK;
}

/* ---- what they add up to ---- */

static money_t amount_of(json_t *object, const char *key)
{
    money_t m = { 0 };
    return money_parse(text_of(object, key), &m) ? m : (money_t){ 0 };
}

static void add_up(const struct listing *l, json_t *line)
{
    size_t i;
    json_t *row;
    json_int_t count = 0, quantity = 0;
    money_t amount = { 0 };
    char text[MONEY_TEXT_BYTES];
    json_array_foreach (l->rows, i, row) {
        if (!json_equal(json_object_get(row, "line"), json_object_get(line, "line")))
            continue;
        count++;
        quantity += json_integer_value(json_object_get(row, "quantity"));
        amount.atoms += amount_of(row, "amount").atoms;
    }
    json_object_set_new(line, "listed", json_integer(count));
    json_object_set_new(line, "listed_quantity", json_integer(quantity));
    json_object_set_new(line, "listed_amount", json_string(money_text(amount, 10, text)));
    money_t said = { amount_of(line, "exact").atoms + amount_of(line, "covered").atoms };
    json_object_set_new(line, "amount", json_string(money_text(said, 10, text)));
}

static void print_text(const struct listing *l)
{
    static const struct column requests[] = {
        { "REQUEST", "request", false, NULL }, { "SETTLED", "settled_at", false, NULL },
        { "PROJECT", "project", false, NULL }, { "KEY", "key", false, NULL },
        { "OUTCOME", "outcome", false, NULL }, { "EVIDENCE", "evidence", false, NULL },
        { "LINE", "line", true, NULL },        { "QUANTITY", "quantity", true, NULL },
        { "AMOUNT", "amount", true, NULL },    { 0 },
    };
    static const struct column lines[] = {
        { "LINE", "line", true, NULL },
        { "MODEL", "model", false, NULL },
        { "METER", "meter", false, NULL },
        { "UNIT PRICE", "unit_price", true, NULL },
        { "LISTED", "listed", true, NULL },
        { "QUANTITY", "listed_quantity", true, NULL },
        { "OF", "quantity", true, NULL },
        { "AMOUNT", "listed_amount", true, NULL },
        { "OF", "amount", true, NULL },
        { "VERSION", "price_version", true, NULL },
        { "BOOK", "price_book", false, NULL },
        { "SHA256", "price_sha256", false, NULL },
        { 0 },
    };
    size_t i;
    json_t *line;
    json_array_foreach (l->lines, i, line)
        add_up(l, line);
    table_print(l->rows, requests);
    puts("\nwhat is listed, of what the line says (exact and covered):\n");
    table_print(l->lines, lines);
    if (l->more)
        puts("\nthere are more: --limit raises how many are listed");
}

static void print_json(const struct listing *l, const char *number)
{
    AUTO(json_decref_ptr)
    json_t *all = json_pack("{s:s, s:s, s:O, s:O, s:b}", "object", "list", "document", number,
                            "lines", l->lines, "data", l->rows, "has_more", (int)l->more);
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
}

enum exit_code run_document_requests(const struct session *s, json_t *args)
{
    json_t *limit = json_object_get(args, "limit");
    AUTO(listing_clear)
    struct listing l = { .session = s,
                         .args = args,
                         .rows = json_array(),
                         .left = limit ? json_integer_value(limit) : INT64_MAX,
                         .csv = json_object_get(args, "csv") != NULL };
    if ((l.csv && s->json) || l.left < 1) {
        fprintf(stderr, "maasgate: %s\n",
                l.csv ? "one of --csv and --json" : "--limit is a number from 1 on");
        return EXIT_USAGE;
    }
    json_object_del(args, "csv");
    json_object_set_new(args, "format", json_string(l.csv ? "csv" : "json"));
    enum exit_code code;
    do
        code = read_page(&l);
    while (code == EXIT_OK && l.more && l.left > 0);
    if (code == EXIT_OK && s->json)
        print_json(&l, text_of(args, "number"));
    else if (code == EXIT_OK && !l.csv)
        print_text(&l);
    return code;
}
