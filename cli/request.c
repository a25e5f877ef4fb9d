/* cli/request.c -- one request, for whoever was given its id by a customer. */
#include "cli/cli.h"
#include "base/cleanup.h"

struct fact {
    const char *title, *key;
};

/* What the object has of them, up to a row without a title. */
static void print_facts(json_t *object, const struct fact *f)
{
    for (; f->title; f++) {
        AUTO(free_ptr) char *text = cell_text(json_object_get(object, f->key));
        if (text && *text)
            printf("%-14s %s\n", f->title, text);
    }
}

static void print_list(json_t *rows, const struct column *columns)
{
    if (json_array_size(rows) == 0)
        return;
    putchar('\n');
    table_print(rows, columns);
}

enum exit_code show_request(json_t *r)
{
    static const struct fact facts[] = {
        { "request", "request" },
        { "worker's id", "rid" },
        { "state", "state" },
        { "organization", "organization" },
        { "project", "project" },
        { "key", "key" },
        { "label", "label" },
        { "model", "model" },
        { "endpoint", "endpoint" },
        { "price version", "price_version" },
        { "accepted", "accepted_at" },
        { "held", "held" },
        { "settled", "settled_at" },
        { "outcome", "outcome" },
        { "evidence", "evidence" },
        { "HTTP status", "http_status" },
        { "billed as", "model_billed" },
        { "served by", "model_served" },
        { "backend", "backend" },
        { "first byte us", "first_byte_us" },
        { "duration us", "duration_us" },
        { "amount", "amount" },
        { 0 },
    };
    static const struct fact resold[] = {
        { "resold to", "project" },
        { "for", "amount" },
        { 0 },
    };
    static const struct column meters[] = {
        { "METER", "meter", false, NULL },
        { "QUANTITY", "quantity", true, NULL },
        { "AMOUNT", "amount", true, NULL },
        { 0 },
    };
    static const struct column calls[] = {
        { "CALL", "number", true, NULL },
        { "BACKEND", "backend", false, NULL },
        { "MODEL", "model", false, NULL },
        { "BASIS", "basis", false, NULL },
        { "COST", "cost", true, NULL },
        { "WASTED", "wasted", true, NULL },
        { 0 },
    };
    print_facts(r, facts);
    print_facts(json_object_get(r, "resold"), resold);
    print_list(json_object_get(r, "usage"), meters);
    print_list(json_object_get(r, "calls"), calls);
    return EXIT_OK;
}
