/* cli/money.c -- usage and the audit, for finance. */
#include "cli/cli.h"
#include "base/cleanup.h"
#include <stdio.h>
#include <string.h>

/* ---- usage ---- */

/* What the rows are grouped by is the one of these that they have. */
static const struct column groups[] = {
    { "MODEL", "model", false, NULL },     { "KEY", "key", false, NULL },
    { "PROJECT", "project", false, NULL }, { "ORGANIZATION", "organization", false, NULL },
    { "SERVED", "served", false, NULL },   { "BACKEND", "backend", false, NULL },
    { "DAY", "day", false, NULL },
};

static struct column group_of(json_t *rows)
{
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (json_object_get(json_array_get(rows, 0), groups[i].key))
            return groups[i];
    return groups[0];
}

enum exit_code show_usage(json_t *result)
{
    json_t *rows = json_object_get(result, "data");
    const struct column columns[] = {
        group_of(rows),
        { "REQUESTS", "requests", true, NULL },
        { "AMOUNT", "amount", true, NULL },
        { "USED", "usage", false, NULL },
        { 0 },
    };
    table_print(rows, columns);
    printf("\ntotal %s %s, %" JSON_INTEGER_FORMAT " requests, %s to %s\n", text_of(result, "total"),
           text_of(result, "currency"), json_integer_value(json_object_get(result, "requests")),
           text_of(result, "from"), text_of(result, "to"));
    if (json_is_true(json_object_get(result, "has_more")))
        puts("there are more rows: --limit raises how many are shown");
    return EXIT_OK;
}

/* ---- margins ---- */

/* "26.08 %"; "-" without revenue. */
static void add_percent(json_t *row)
{
    char text[32] = "-";
    json_t *points = json_object_get(row, "margin_basis_points");
    long long n = json_integer_value(points), size = n < 0 ? -n : n;
    if (json_is_integer(points))
        snprintf(text, sizeof text, "%s%lld.%02lld %%", n < 0 ? "-" : "", size / 100, size % 100);
    json_object_set_new(row, "percent", json_string(text));
}

enum exit_code show_margin(json_t *result)
{
    static const struct column all[] = {
        { "MODEL", "model", false, NULL },       { "ORGANIZATION", "organization", false, NULL },
        { "REQUESTS", "requests", true, NULL },  { "CALLS", "calls", true, NULL },
        { "REVENUE", "revenue", true, NULL },    { "COST", "cost", true, NULL },
        { "WASTED", "wasted", true, NULL },      { "MARGIN", "margin", true, NULL },
        { "OF REVENUE", "percent", true, NULL },
    };
    json_t *rows = json_object_get(result, "data"), *row, *total = json_object_get(result, "total");
    struct column columns[sizeof all / sizeof *all + 1] = { { 0 } };
    size_t i, count = 0;
    json_array_foreach (rows, i, row)
        add_percent(row);
    add_percent(total);
    for (i = 0; i < sizeof all / sizeof *all; i++)
        if (i > 1 || json_object_get(json_array_get(rows, 0), all[i].key))
            columns[count++] = all[i];
    table_print(rows, columns);
    printf("\nrevenue %s, cost %s (%s of it wasted), margin %s %s, %s to %s\n",
           text_of(total, "revenue"), text_of(total, "cost"), text_of(total, "wasted"),
           text_of(total, "margin"), text_of(result, "currency"), text_of(result, "from"),
           text_of(result, "to"));
    return EXIT_OK;
}

/* ---- the double entry ---- */

enum exit_code show_trial_balance(json_t *result)
{
    static const struct column columns[] = {
        { "ACCOUNT", "account", false, NULL },
        { "DEBIT", "debit", true, NULL },
        { "CREDIT", "credit", true, NULL },
        { 0 },
    };
    table_print(json_object_get(result, "accounts"), columns);
    printf("\ndebit %s, credit %s %s\n", text_of(result, "debit"), text_of(result, "credit"),
           text_of(result, "currency"));
    return EXIT_OK;
}

/* ---- the audit ---- */

enum exit_code verdict_audit(json_t *result)
{
    return json_is_true(json_object_get(result, "ok")) ? EXIT_OK : EXIT_REFUSED;
}

enum exit_code show_audit(json_t *result)
{
    static const struct column columns[] = {
        { "CHECK", "name", false, NULL },
        { "ROWS", "rows", true, NULL },
        { "PROBLEMS", "problems", true, NULL },
        { 0 },
    };
    table_print(json_object_get(result, "checks"), columns);
    size_t i;
    json_t *problem;
    json_array_foreach (json_object_get(result, "problems"), i, problem) {
        AUTO(free_ptr) char *text = cell_text(problem);
        fprintf(stderr, "problem: %s\n", text ? text : "");
    }
    enum exit_code verdict = verdict_audit(result);
    puts(verdict == EXIT_OK ? "\nclean" : "\nNOT clean");
    return verdict;
}
