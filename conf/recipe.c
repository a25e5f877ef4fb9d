/* conf/recipe.c -- what a model adds to every request: its instructions and parameters,
 * written as JSON once, here, so that a request only splices them. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "conf/draft.h"

enum { SYSTEM_BYTES_MAX = 65536, STOP_BYTES_MAX = 256, JSON_BYTES_MAX = 8 << 20 };

static READER(read_system);
static READER(read_params);

#define AT(field) offsetof(struct catalog_recipe, field)
#define ONE       INT64_C(1000000)

/* clang-format off */
const struct conf_key recipe_keys[] = {
    { "system", read_system, AT(system_json), "a text", 1, SYSTEM_BYTES_MAX, false,
      "system message put before the client's own; a parent's is not added to it" },
    { "params", read_params, 0, "a map of parameters", 0, 0, false,
      "used where the client says nothing: temperature, top_p, max_tokens, presence_penalty, "
      "frequency_penalty, seed, stop" },
    { .key = NULL }
};

const struct param_row recipe_params[] = {
    { "temperature", "a number from 0 to 2", 0, 2 * ONE, false },
    { "top_p", "a number from 0 to 1", 0, ONE, false },
    { "max_tokens", "a whole number from 1 to 1000000000", ONE, 1000000000 * ONE, true },
    { "presence_penalty", "a number from -2 to 2", -2 * ONE, 2 * ONE, false },
    { "frequency_penalty", "a number from -2 to 2", -2 * ONE, 2 * ONE, false },
    { "seed", "a whole number of at most 12 digits", -999999999999 * ONE, 999999999999 * ONE,
      true },
    { "stop", "a text of 1 to 256 bytes", 0, 0, false },
    { .key = NULL }
};
/* clang-format on */

enum { PARAM_ROWS = sizeof recipe_params / sizeof *recipe_params };

const char *conf_keep(struct conf_reader *r, const struct buf *b)
{
    return arena_memdup(r->keep, b->at ? b->at : "", b->len);
}

static enum status keep_span(struct conf_reader *r, const struct buf *b, struct span *ret)
{
    const char *kept = conf_keep(r, b);
    if (!kept)
        return conf_no_memory(r);
    *ret = (struct span){ kept, b->len };
    return STATUS_OK;
}

static READER(read_system)
{
    const char *text;
    enum status status = conf_text(r, value, &text);
    if (status)
        return status;
    size_t len = strlen(text);
    if (len < k->min || len > k->max)
        return conf_fail(r, value, "is %zu bytes long; expected %llu to %llu", len,
                         (unsigned long long)k->min, (unsigned long long)k->max);
    AUTO(buf_free) struct buf b;
    buf_init(&b, JSON_BYTES_MAX);
    if (!buf_text(&b, "{\"role\":\"system\",\"content\":") || !value_quote(&b, text) ||
        !buf_text(&b, "}"))
        return conf_no_memory(r);
    return keep_span(r, &b, field);
}

static bool param_ok(const struct param_row *row, const char *text)
{
    int64_t micros;
    size_t len = strlen(text);
    if (!row->min_micros && !row->max_micros)
        return len >= 1 && len <= STOP_BYTES_MAX;
    return value_micros(text, &micros) && micros >= row->min_micros && micros <= row->max_micros &&
           !(row->whole && strchr(text, '.'));
}

static enum status add_param(struct conf_reader *r, const struct yaml_node *n, struct buf *b,
                             const char **ret_key)
{
    const char *names[PARAM_ROWS], *text;
    const struct param_row *row = recipe_params;
    for (; row->key && strcmp(row->key, n->key); row++)
        names[row - recipe_params] = row->key;
    if (!row->key)
        return conf_fail_unknown(r, n, "parameter", names, PARAM_ROWS - 1);
    enum status status = conf_text(r, n, &text);
    if (status)
        return status;
    if (!param_ok(row, text))
        return conf_fail(r, n, "'%.60s' is not %s", text, row->expects);
    bool number = row->min_micros || row->max_micros;
    if (!buf_printf(b, "%s\"%s\":", b->len ? "," : "", row->key) ||
        !(number ? buf_text(b, text) : value_quote(b, text)))
        return conf_no_memory(r);
    *ret_key = row->key;
    return STATUS_OK;
}

static READER(read_params)
{
    (void)k;
    struct catalog_recipe *recipe = field;
    enum status status = conf_want(r, value, YAML_MAP);
    if (status)
        return status;
    AUTO(buf_free) struct buf b;
    buf_init(&b, JSON_BYTES_MAX);
    const char **keys = arena_alloc(r->keep, (value->count + 1) * sizeof *keys);
    if (!keys)
        return conf_no_memory(r);
    for (const struct yaml_node *n = value->first; !status && n; n = n->next)
        status = add_param(r, n, &b, &keys[n->at]);
    if (status)
        return status;
    recipe->param_keys = keys;
    return keep_span(r, &b, &recipe->params_json);
}

READER(read_recipe)
{
    (void)k;
    struct catalog_recipe *recipe = field;
    enum status status = conf_walk(r, value, recipe_keys, recipe);
    if (!status && !recipe->system_json.len && !recipe->params_json.len)
        return conf_fail(r, value, "has no effect: it has neither 'system' nor 'params'");
    return status;
}
