/* cli/show.c -- answers about projects, keys, models and the daemon, for people. */
#include "cli/cli.h"
#include "base/cleanup.h"
#include <string.h>

static const char *text_or_dash(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

enum exit_code show_project(json_t *result)
{
    printf("project %s: budget %s\n", text_or_dash(result, "slug"), text_or_dash(result, "budget"));
    return EXIT_OK;
}

enum exit_code show_projects(json_t *result)
{
    static const struct column columns[] = {
        { "PROJECT", "slug", false, NULL },
        { "NAME", "display_name", false, NULL },
        { "BUDGET", "budget", true, NULL },
        { "PER", "budget_period", false, NULL },
        { "ORGANIZATION", "organization", false, NULL },
        { "CREATED", "created", false, NULL },
        { 0 },
    };
    table_print(json_object_get(result, "projects"), columns);
    return EXIT_OK;
}

/* The key alone on stdout, so that KEY=$(maasgate key create ...) works. */
enum exit_code show_new_key(json_t *result)
{
    printf("%s\n", text_or_dash(result, "key"));
    fprintf(stderr, "key %s of project %s: keep it now, it cannot be shown again\n",
            text_or_dash(result, "name"), text_or_dash(result, "project"));
    return EXIT_OK;
}

enum exit_code show_keys(json_t *result)
{
    static const struct column columns[] = {
        { "KEY", "name", false, NULL },
        { "PROJECT", "project", false, NULL },
        { "LABEL", "label", false, NULL },
        { "ROLE", "role", false, NULL },
        { "STATE", "state", false, NULL },
        { "REQ/MIN", "requests_per_minute", true, "default" },
        { "TOK/MIN", "tokens_per_minute", true, "default" },
        { "AT ONCE", "concurrency", true, "default" },
        { "EXPIRES", "expires", false, NULL },
        { "REVOKED", "revoked", false, NULL },
        { 0 },
    };
    table_print(json_object_get(result, "keys"), columns);
    return EXIT_OK;
}

enum exit_code show_revoked(json_t *result)
{
    printf("key %s is revoked\n", text_or_dash(result, "name"));
    return EXIT_OK;
}

enum exit_code show_reloaded(json_t *result)
{
    (void)result;
    puts("the configuration is in force");
    return EXIT_OK;
}

enum exit_code show_backends(json_t *result)
{
    static const struct column columns[] = {
        { "BACKEND", "name", false, NULL },
        { "STATE", "state", false, NULL },
        { "VIA", "transport", false, NULL },
        { "RUNNING", "running", true, NULL },
        { "QUEUE", "queue", true, NULL },
        { "TTFT MS", "ttft_ms", true, "-" },
        { "CALLS", "started", true, NULL },
        { "FAILED", "failed", true, NULL },
        { "EJECTED", "ejections", true, NULL },
        { "AT HOME", "affinity_hits", true, "-" },
        { "AWAY", "affinity_misses", true, "-" },
        { "TROUBLE", "trouble", false, NULL },
        { 0 },
    };
    table_print(json_object_get(result, "backends"), columns);
    return EXIT_OK;
}

enum exit_code show_backend(json_t *result)
{
    printf("backend %s is %s (it was %s)\n", text_or_dash(result, "name"),
           text_or_dash(result, "word"), text_or_dash(result, "before"));
    return EXIT_OK;
}

/* One row for each price, the model's own columns on its first one only. */
static void add_price_rows(json_t *rows, json_t *model)
{
    json_t *prices = json_object_get(model, "prices"), *price;
    json_t *row = json_copy(model);
    size_t i;
    json_array_foreach (prices, i, price) {
        json_object_update(row, price);
        json_array_append_new(rows, row);
        row = json_pack("{s:s, s:s, s:s, s:s}", "id", "", "level", "", "life", "", "capabilities",
                        "");
    }
    if (json_array_size(prices) == 0)
        json_array_append(rows, row);
    json_decref(row);
}

enum exit_code show_models(json_t *result)
{
    static const struct column columns[] = {
        { "MODEL", "id", false, NULL },
        { "LEVEL", "level", false, NULL },
        { "LIFE", "life", false, NULL },
        { "FOR", "capabilities", false, NULL },
        { "METER", "meter", false, NULL },
        { "PRICE", "price", false, NULL },
        { 0 },
    };
    AUTO(json_decref_ptr) json_t *rows = json_array();
    size_t i;
    json_t *model;
    json_array_foreach (json_object_get(result, "models"), i, model)
        add_price_rows(rows, model);
    table_print(rows, columns);
    printf("\nprices in %s, price book %s\n", text_or_dash(result, "currency"),
           text_or_dash(result, "price_book"));
    return EXIT_OK;
}

/* Facts first, then lists of objects as tables of their own. */
static void show_fact(const char *name, json_t *value)
{
    AUTO(free_ptr) char *text = cell_text(value);
    printf("%-20s %s\n", name, text ? text : "");
}

static bool is_list_of_objects(json_t *value)
{
    return json_is_object(json_array_get(value, 0));
}

/* A table whose columns are the first object's members. */
static void show_list(const char *name, json_t *list)
{
    struct column columns[COLUMNS_MAX + 1] = { 0 };
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach (json_array_get(list, 0), key, value) {
        if (count < COLUMNS_MAX)
            columns[count++] = (struct column){ key, key, json_is_integer(value), NULL };
    }
    printf("\n%s\n", name);
    table_print(list, columns);
}

enum exit_code show_status(json_t *result)
{
    const char *key;
    json_t *value;
    json_object_foreach (result, key, value) {
        if (!is_list_of_objects(value))
            show_fact(key, value);
    }
    json_object_foreach (result, key, value) {
        if (is_list_of_objects(value))
            show_list(key, value);
    }
    return EXIT_OK;
}

/* ---- the test of a backend ---- */

enum exit_code verdict_test(json_t *result)
{
    return json_is_true(json_object_get(result, "ok")) ? EXIT_OK : EXIT_REFUSED;
}

static void show_step(json_t *step)
{
    AUTO(free_ptr) char *text = cell_text(json_object_get(step, "text"));
    bool ok = json_is_true(json_object_get(step, "ok"));
    printf("%-10s %-7s %s\n", text_or_dash(step, "step"), ok ? "ok" : "FAILED", text ? text : "");
    const char *hint = json_string_value(json_object_get(step, "hint"));
    if (hint)
        printf("%-18s what to do: %s\n", "", hint);
}

enum exit_code show_steps(json_t *result)
{
    size_t i;
    json_t *step;
    json_array_foreach (json_object_get(result, "steps"), i, step)
        show_step(step);
    enum exit_code verdict = verdict_test(result);
    puts(verdict == EXIT_OK ? "\nit works" : "\nit does NOT work");
    return verdict;
}

enum exit_code show_backend_test(json_t *result)
{
    printf("%-10s %s over %s, %s\n", "backend", text_or_dash(result, "backend"),
           text_or_dash(result, "transport"), text_or_dash(result, "address"));
    printf("%-10s %s there called %s, for %s%s\n", "asked", text_or_dash(result, "model"),
           text_or_dash(result, "backend_model"), text_or_dash(result, "capability"),
           json_is_true(json_object_get(result, "stream")) ? ", streamed" : "");
    return show_steps(result);
}
