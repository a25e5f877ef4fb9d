/* cli/contract.c -- organisations, contracts and funds: what is typed, and how it is shown. */
#include "cli/cli.h"
#include "base/cleanup.h"
#include <stdlib.h>
#include <string.h>

/* What the daemon takes beside the plan. */
static bool is_contract_arg(const char *key)
{
    static const char *const keys[] = { "organization", "from", "time_zone", "credit" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

/* "none" takes a member of the plan away, "yes" and "no" are flags. */
static json_t *plan_value(json_t *value)
{
    const char *text = json_string_value(value);
    if (text && strcmp(text, "none") == 0)
        return json_null();
    if (text && (strcmp(text, "yes") == 0 || strcmp(text, "no") == 0))
        return json_boolean(text[0] == 'y');
    return json_incref(value);
}

/* "capacity of base/chat,2.50,2": text, price an hour, units. */
static json_t *reserved_value(const char *text)
{
    const char *units = strrchr(text, ',');
    const char *price = units ? memrchr(text, ',', (size_t)(units - text)) : NULL;
    if (!price)
        return NULL;
    return json_pack("[{s:s%, s:s%, s:I}]", "text", text, (size_t)(price - text), "hourly",
                     price + 1, (size_t)(units - price - 1), "units",
                     (json_int_t)strtoll(units + 1, NULL, 10));
}

enum exit_code run_contract_set(const struct session *s, json_t *args)
{
    AUTO(json_decref_ptr) json_t *request = json_object();
    AUTO(json_decref_ptr) json_t *result = NULL;
    json_t *plan = json_object(), *value;
    const char *key;
    json_object_set_new(request, "plan", plan);
    json_object_foreach (args, key, value) {
        if (is_contract_arg(key)) {
            json_object_set(request, key, value);
            continue;
        }
        bool reserved = strcmp(key, "reserved") == 0 && strcmp(text_of(args, key), "none") != 0;
        json_t *own = reserved ? reserved_value(text_of(args, key)) : plan_value(value);
        if (!own) {
            fprintf(stderr, "maasgate: --reserved is TEXT,HOURLY,UNITS\n");
            return EXIT_USAGE;
        }
        json_object_set_new(plan, key, own);
    }
    enum exit_code code = ask(s, "contract.set", request, &result);
    if (code == EXIT_OK && s->json)
        json_dumpf(result, stdout, JSON_INDENT(2));
    return code == EXIT_OK && !s->json ? show_contracts(result) : code;
}

/* The plan as one line: `fee 300.00, included 250.00`. */
static json_t *plan_text(json_t *plan)
{
    char line[400];
    size_t len = 0;
    const char *key;
    json_t *value;
    line[0] = '\0';
    json_object_foreach (plan, key, value) {
        AUTO(free_ptr)
        char *text = json_is_string(value) ? cell_text(value) : json_dumps(value, JSON_ENCODE_ANY);
        int n = snprintf(line + len, sizeof line - len, "%s%s %s", len ? ", " : "", key,
                         text ? text : "");
        len += n > 0 && (size_t)n < sizeof line - len ? (size_t)n : 0;
    }
    return json_string(line);
}

enum exit_code show_contracts(json_t *result)
{
    static const struct column columns[] = {
        { "FROM", "starts", false, NULL },
        { "TIME ZONE", "time_zone", false, NULL },
        { "CREDIT", "credit", true, NULL },
        { "PLAN", "plan_text", false, NULL },
        { 0 },
    };
    size_t i;
    json_t *c, *list = json_object_get(result, "contracts");
    json_array_foreach (list, i, c) {
        json_object_set_new(c, "plan_text", plan_text(json_object_get(c, "plan")));
        if (json_is_null(json_object_get(c, "credit")))
            json_object_set_new(c, "credit", json_string("no limit"));
    }
    table_print(list, columns);
    return EXIT_OK;
}

enum exit_code show_organization(json_t *result)
{
    printf("organization %s\n", text_of(result, "organization"));
    return EXIT_OK;
}

enum exit_code show_organizations(json_t *result)
{
    static const struct column columns[] = {
        { "ORGANIZATION", "slug", false, NULL },    { "NAME", "display_name", false, NULL },
        { "BUYER", "buyer_name", false, NULL },     { "BUYS FROM", "reseller", false, NULL },
        { "PROJECTS", "projects", true, NULL },     { "CREDIT", "credit", true, NULL },
        { "FUNDS LEFT", "funds_left", true, NULL }, { "UNBILLED", "unbilled", true, NULL },
        { "RECEIVABLE", "receivable", true, NULL }, { 0 },
    };
    table_print(json_object_get(result, "organizations"), columns);
    return EXIT_OK;
}

enum exit_code show_fund(json_t *result)
{
    printf("fund %" JSON_INTEGER_FORMAT " of %s: %s %s\n",
           json_integer_value(json_object_get(result, "fund")), text_of(result, "organization"),
           text_of(result, "kind"), text_of(result, "amount"));
    return EXIT_OK;
}

enum exit_code show_funds(json_t *result)
{
    static const struct column columns[] = {
        { "FUND", "id", true, NULL },
        { "KIND", "kind", false, NULL },
        { "AMOUNT", "amount", true, NULL },
        { "DRAWN", "drawn", true, NULL },
        { "EXPIRED", "expired", true, NULL },
        { "LEFT", "left", true, NULL },
        { "MODEL", "model", false, NULL },
        { "PRIORITY", "priority", true, NULL },
        { "FROM", "from", false, NULL },
        { "TO", "to", false, NULL },
        { "STATE", "state", false, NULL },
        { "NOTE", "note", false, NULL },
        { 0 },
    };
    table_print(json_object_get(result, "funds"), columns);
    return EXIT_OK;
}

enum exit_code show_charge(json_t *result)
{
    printf("%s owes %s for %s\n", text_of(result, "organization"), text_of(result, "amount"),
           text_of(result, "text"));
    return EXIT_OK;
}

enum exit_code show_share(json_t *result)
{
    printf("%s gets %" JSON_INTEGER_FORMAT "/10000 of %s\n", text_of(result, "partner"),
           json_integer_value(json_object_get(result, "basis_points")), text_of(result, "model"));
    return EXIT_OK;
}

enum exit_code show_shares(json_t *result)
{
    static const struct column columns[] = {
        { "MODEL", "model", false, NULL },
        { "PARTNER", "partner", false, NULL },
        { "BASIS POINTS", "basis_points", true, NULL },
        { "FROM", "from", false, NULL },
        { 0 },
    };
    table_print(json_object_get(result, "shares"), columns);
    return EXIT_OK;
}

enum exit_code show_payout(json_t *result)
{
    static const struct column columns[] = {
        { "DOCUMENT", "document", false, NULL },
        { "LINE", "line", true, NULL },
        { "MODEL", "model", false, NULL },
        { "NET", "net", true, NULL },
        { "BASIS POINTS", "basis_points", true, NULL },
        { "AMOUNT", "amount", true, NULL },
        { 0 },
    };
    printf("PAYOUT STATEMENT %s of %s\n\n", text_of(result, "partner"), text_of(result, "month"));
    table_print(json_object_get(result, "lines"), columns);
    printf("\ntotal %s; open in all %s\n", text_of(result, "total"), text_of(result, "open"));
    return EXIT_OK;
}
