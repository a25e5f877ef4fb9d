/* cli/alert.c -- alerts for people: what ran low, and who was told. */
#include "base/cleanup.h"
#include "cli/cli.h"

/* A line for each webhook, or one that says that nobody wanted to know. */
static bool add_lines(json_t *lines, json_t *alert)
{
    size_t i;
    json_t *delivery, *deliveries = json_object_get(alert, "deliveries");
    json_array_foreach (deliveries, i, delivery) {
        AUTO(json_decref_ptr) json_t *line = json_copy(alert);
        if (!line || json_object_update(line, delivery) || json_array_append(lines, line))
            return false;
    }
    return json_array_size(deliveries) || json_array_append(lines, alert) == 0;
}

enum exit_code show_alerts(json_t *result)
{
    static const struct column columns[] = {
        { "ALERT", "alert", true, NULL },
        { "AT", "at", false, NULL },
        { "TYPE", "type", false, NULL },
        { "ORGANIZATION", "organization", false, NULL },
        { "PROJECT", "project", false, NULL },
        { "PERCENT", "percent", true, NULL },
        { "LIMIT", "limit", true, NULL },
        { "SPENT", "spent", true, NULL },
        { "WEBHOOK", "webhook", false, NULL },
        { "STATE", "state", false, NULL },
        { "TRIES", "attempts", true, NULL },
        { "LAST ERROR", "last_error", false, NULL },
        { 0 },
    };
    size_t i;
    json_t *alert;
    AUTO(json_decref_ptr) json_t *lines = json_array();
    json_array_foreach (json_object_get(result, "data"), i, alert)
        if (!add_lines(lines, alert))
            return EXIT_REFUSED;
    table_print(lines, columns);
    if (json_is_true(json_object_get(result, "has_more")))
        puts("there are more: see --limit");
    return EXIT_OK;
}

enum exit_code show_alert_test(json_t *result)
{
    printf("%-10s %s, %s\n", "webhook", text_of(result, "webhook"), text_of(result, "url"));
    printf("%-10s %s, of type alert.test\n", "event", text_of(result, "id"));
    return show_steps(result);
}

enum exit_code show_redelivered(json_t *result)
{
    printf("alert %" JSON_INTEGER_FORMAT ": %" JSON_INTEGER_FORMAT
           " deliveries are due again; see: maasgate alert list\n",
           json_integer_value(json_object_get(result, "alert")),
           json_integer_value(json_object_get(result, "deliveries")));
    return EXIT_OK;
}
