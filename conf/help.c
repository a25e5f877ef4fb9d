/* conf/help.c -- every setting and every key of the file, from the tables that read it:
 * `maasgated --help-config` and docs/settings.md. */
#include "conf/draft.h"
#include <stdio.h>

static const char *kind_of(const struct conf_row *row)
{
    switch (row->type) {
    case CONF_COUNT:
        return "number";
    case CONF_BYTES:
        return "size";
    case CONF_MSEC:
        return "time";
    case CONF_LISTEN:
        return "address";
    case CONF_PATH:
        return "path";
    case CONF_MONEY:
        return "money";
    case CONF_CURRENCY:
        return "currency";
    default:
        return "text";
    }
}

/* "1K to 1G", "error, warning, info", "at most 200 bytes"; empty when the kind says it all. */
static const char *limits_of(const struct conf_row *row, char text[static 80])
{
    char min[VALUE_TEXT_BYTES], max[VALUE_TEXT_BYTES];
    text[0] = '\0';
    if (row->choices) {
        size_t len = 0;
        for (const char *p = row->choices; *p && len < 70; p++)
            len += (size_t)snprintf(text + len, 80 - len, *p == '|' ? ", " : "%c", *p);
    } else if (!conf_is_text(row))
        snprintf(text, 80, "%s to %s", value_number_text(row->type, row->min, min),
                 value_number_text(row->type, row->max, max));
    else if (row->max)
        snprintf(text, 80, "at most %s bytes", value_number_text(CONF_COUNT, row->max, max));
    return text;
}

static void settings_text(FILE *out)
{
    for (const struct conf_row *row = conf_table; row->key; row++) {
        char limits[80];
        limits_of(row, limits);
        fprintf(out, "%s: %s\n    %s\n    %s%s%s; a change needs %s\n", row->key,
                row->def[0] ? row->def : "\"\"", row->doc, kind_of(row), limits[0] ? ", " : "",
                limits, row->flags & CONF_RELOAD ? "a reload" : "a restart");
    }
}

static void settings_markdown(FILE *out)
{
    fputs("| setting | kind | default | limits | a change needs | meaning |\n"
          "|---|---|---|---|---|---|\n",
          out);
    for (const struct conf_row *row = conf_table; row->key; row++) {
        char limits[80];
        fprintf(out, "| `%s` | %s | `%s` | %s | %s | %s |\n", row->key, kind_of(row),
                row->def[0] ? row->def : "\"\"", limits_of(row, limits),
                row->flags & CONF_RELOAD ? "reload" : "restart", row->doc);
    }
}

/* A bar would end a cell of the table. */
static void put_words(FILE *out, const char *words)
{
    for (; *words; words++)
        if (*words == '|')
            fputs(", ", out);
        else
            fputc(*words, out);
}

/* Of a number the range; of a time too.  What is a text or a list says it in its words. */
static void put_range(FILE *out, const struct conf_key *k)
{
    enum conf_type type = k->read == read_msec ? CONF_MSEC : CONF_COUNT;
    char min[VALUE_TEXT_BYTES], max[VALUE_TEXT_BYTES];
    if (k->read == read_count || k->read == read_count32 || k->read == read_msec)
        fprintf(out, ", %s to %s", value_number_text(type, k->min, min),
                value_number_text(type, k->max, max));
}

static void keys_of(FILE *out, bool markdown, const char *title, const struct conf_key *keys)
{
    if (markdown)
        fprintf(out, "\n## %s\n\n| key | value | needed | meaning |\n|---|---|---|---|\n", title);
    else
        fprintf(out, "\n%s\n", title);
    for (const struct conf_key *k = keys; k->key; k++) {
        fprintf(out, markdown ? "| `%s` | " : "  %s: ", k->key);
        put_words(out, k->expects);
        put_range(out, k);
        if (markdown)
            fprintf(out, " | %s | %s |\n", k->required ? "yes" : "", k->doc);
        else
            fprintf(out, "%s\n      %s\n", k->required ? " (needed)" : "", k->doc);
    }
}

static void meters(FILE *out, bool markdown)
{
    fputs(
        markdown
            ? "\n## models: ID: price\n\n"
              "A price is an amount, then optionally a slash and a number of units with k, M "
              "or G: `0.40/1M`;\nor a list of prices, each with the requests that it holds for: see "
              "below. Input tokens of every kind cost what uncached text costs, output "
              "tokens what visible text\ncosts, unless they have a price of their own. "
              "`backends: NAME: costs: MODEL` has the same meters.\n\n| meter | unit |\n|---|---|\n"
            : "\nmodels: ID: price (an amount a unit, e.g. 0.40/1M)\n",
        out);
    for (unsigned i = 0; i < METER_COUNT; i++)
        fprintf(out, markdown ? "| `%s` | %s |\n" : "  %s: by the %s\n", meter_name((enum meter)i),
                meter_unit((enum meter)i));
}

static void params(FILE *out, bool markdown)
{
    fputs(markdown ? "\n## models: ID: recipe: params\n\n| parameter | value |\n|---|---|\n"
                   : "\nmodels: ID: recipe: params\n",
          out);
    for (const struct param_row *row = recipe_params; row->key; row++)
        fprintf(out, markdown ? "| `%s` | %s |\n" : "  %s: %s\n", row->key, row->expects);
}

static void intro(FILE *out)
{
    fputs(
        "# Settings\n\n"
        "This page is made by `make docs` from the tables that read the file. The file is YAML:\n"
        "the settings below and, beside them, `alerts`, `backends`, `models`, `tokenizers` and "
        "`price_book`. `maasgated --check`\nnames the first mistake with its line.\n\n"
        "A size may end in K, M or G (powers of two), a time in ms, s, m or h; a time without\n"
        "a unit is in milliseconds. Duplicate keys, anchors, aliases, tags and further documents\n"
        "are refused, and so is a key that would have no effect. Secrets stand in files.\n\n",
        out);
}

void conf_help(FILE *out, bool markdown)
{
    if (markdown) {
        intro(out);
        settings_markdown(out);
    } else
        settings_text(out);
    keys_of(out, markdown, markdown ? "Beside the settings" : "beside the settings", top_keys);
    keys_of(out, markdown, "backends: NAME", backend_keys);
    keys_of(out, markdown, "alerts", alert_keys);
    keys_of(out, markdown, "alerts: webhooks: NAME", webhook_keys);
    keys_of(out, markdown, "tokenizers: NAME", tokenizer_keys);
    keys_of(out, markdown, "models: ID", model_keys);
    keys_of(out, markdown, "models: ID: routes", route_keys);
    keys_of(out, markdown, "models: ID: recipe", recipe_keys);
    params(out, markdown);
    meters(out, markdown);
    keys_of(out, markdown, "models: ID: price: METER: a list of", price_item_keys);
    keys_of(out, markdown, "models: ID: price: METER: graduated, volume", price_tier_keys);
    keys_of(out, markdown,
            markdown ? "A price book in a file of its own" : "a price book in a file of its own",
            book_keys);
    keys_of(out, markdown, "models: ID: tensor", tensor_keys);
    keys_of(out, markdown, "models: ID: tensor: inputs, outputs", tensor_item_keys);
}
