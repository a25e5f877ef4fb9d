/* cli/request.c -- one request, for whoever was given its id by a customer. */
#include "cli/cli.h"
#include "base/cleanup.h"

static void line(const char *title, json_t *object, const char *key)
{
    AUTO(free_ptr) char *text = cell_text(json_object_get(object, key));
    if (text && *text)
        printf("%-14s %s\n", title, text);
}

static void show_settled(json_t *r)
{
    static const struct column columns[] = {
        { "METER", "meter", false, NULL },
        { "QUANTITY", "quantity", true, NULL },
        { "AMOUNT", "amount", true, NULL },
        { 0 },
    };
    line("settled", r, "settled_at");
    line("outcome", r, "outcome");
    line("evidence", r, "evidence");
    line("HTTP status", r, "http_status");
    line("billed as", r, "model_billed");
    line("served by", r, "model_served");
    line("backend", r, "backend");
    line("first byte us", r, "first_byte_us");
    line("duration us", r, "duration_us");
    line("amount", r, "amount");
    json_t *resold = json_object_get(r, "resold");
    line("resold to", resold, "project");
    line("for", resold, "amount");
    if (json_array_size(json_object_get(r, "usage")) > 0) {
        putchar('\n');
        table_print(json_object_get(r, "usage"), columns);
    }
}

enum exit_code show_request(json_t *r)
{
    static const struct column columns[] = {
        { "CALL", "number", true, NULL },
        { "BACKEND", "backend", false, NULL },
        { "MODEL", "model", false, NULL },
        { "BASIS", "basis", false, NULL },
        { "COST", "cost", true, NULL },
        { "WASTED", "wasted", true, NULL },
        { 0 },
    };
    line("request", r, "request");
    line("worker's id", r, "rid");
    line("state", r, "state");
    line("organization", r, "organization");
    line("project", r, "project");
    line("key", r, "key");
    line("label", r, "label");
    line("model", r, "model");
    line("endpoint", r, "endpoint");
    line("price version", r, "price_version");
    line("accepted", r, "accepted_at");
    line("held", r, "held");
    if (json_object_get(r, "settled_at"))
        show_settled(r);
    if (json_array_size(json_object_get(r, "calls")) > 0) {
        putchar('\n');
        table_print(json_object_get(r, "calls"), columns);
    }
    return EXIT_OK;
}
