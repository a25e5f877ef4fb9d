/* billing/pricebook_diff.c -- see pricebook_diff.h: both books become a map of models and meters, and
 * a meter whose lines differ is a row. */
#include "billing/pricebook_diff.h"
#include "base/cleanup.h"
#include "billing/decimal.h"
#include "billing/pricebook.h"
#include <string.h>

enum { PRICE_TEXT_BYTES_MAX = 4096 };

/* {"model\tmeter": ["0.40 per 1000000", ...]} */
static enum status add_price(json_t *map, const struct pricebook_line *line)
{
    AUTO(buf_free) struct buf text;
    AUTO(buf_free) struct buf key;
    buf_init(&text, PRICE_TEXT_BYTES_MAX);
    buf_init(&key, PRICE_TEXT_BYTES_MAX);
    char listed_at[DECIMAL_TEXT_BYTES * 2];
    bool listed = line->item.list.per_units != 0;
    if (!decimal_item(&text, &line->item) ||
        (listed && !buf_printf(&text, ", list %s", decimal_price(line->item.list, listed_at))) ||
        !buf_printf(&key, "%.*s\t%s", (int)line->model.len, line->model.at,
                    meter_name(line->item.meter)))
        return STATUS_NO_MEMORY;
    json_t *list = json_object_get(map, key.at);
    if (!list && json_object_set_new(map, key.at, list = json_array()) != 0)
        return STATUS_NO_MEMORY;
    return json_array_append_new(list, json_string(text.at)) ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status read_book(const char *text, json_t *map)
{
    struct pricebook_line line = { .number = 0 };
    bool bad = false;
    enum status s = map ? STATUS_OK : STATUS_NO_MEMORY;
    while (!s && pricebook_next(&text, &line, &bad))
        s = add_price(map, &line);
    return s ? s : bad ? STATUS_BAD_FIELD : STATUS_OK;
}

static enum status add_row(json_t *rows, const char *key, const char *change, json_t *before,
                           json_t *after)
{
    const char *tab = strchr(key, '\t');
    json_t *row = json_pack("{s:s%, s:s, s:s}", "model", key, (size_t)(tab - key), "meter", tab + 1,
                            "change", change);
    if (!row || json_object_set_new(row, "before", before ? json_incref(before) : json_array()) ||
        json_object_set_new(row, "after", after ? json_incref(after) : json_array()) ||
        json_array_append_new(rows, row))
        return STATUS_NO_MEMORY;
    return STATUS_OK;
}

/* In the order of the books; what was removed comes last. */
static enum status compare(json_t *old, json_t *new, json_t *rows)
{
    const char *key;
    json_t *prices;
    enum status s = STATUS_OK;
    json_object_foreach (new, key, prices) {
        json_t *before = json_object_get(old, key);
        if (!s && !(before && json_equal(before, prices)))
            s = add_row(rows, key, before ? "changed" : "added", before, prices);
    }
    json_object_foreach (old, key, prices)
        if (!s && !json_object_get(new, key))
            s = add_row(rows, key, "removed", prices, NULL);
    return s;
}

enum status pricebook_diff(const char *before, const char *after, json_t **ret)
{
    AUTO(json_decref_ptr) json_t *old = json_object();
    AUTO(json_decref_ptr) json_t *new = json_object();
    AUTO(json_decref_ptr) json_t *rows = json_array();
    enum status s = rows ? read_book(before, old) : STATUS_NO_MEMORY;
    if (!s)
        s = read_book(after, new);
    if (!s)
        s = compare(old, new, rows);
    if (!s)
        *ret = TAKE(rows);
    return s;
}
