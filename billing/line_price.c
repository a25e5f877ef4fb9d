/* billing/line_price.c -- see line_price.h. */
#include "billing/line_price.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/decimal.h"
#include <string.h>

enum { WORDS_BYTES_MAX = 1 << 16 };

/* Of an organization the list and its book, of which the version is made; else NULL. */
static const char sql_version[] =
    "SELECT v.text, v.book, l.text, l.book, o.text FROM price_version v"
    " LEFT JOIN price_layer y ON y.price_version = v.id"
    " LEFT JOIN price_version l ON l.id = y.list_version"
    " LEFT JOIN price_version o ON o.id = y.own_version WHERE v.id = ?1";

struct version {
    const char *text, *book, *list, *list_book, *own;
};

/* ---- words --------------------------------------------------------------------------------- */

static bool is_same_item(const struct price_item *a, const struct price_item *b)
{
    return a->kind == b->kind && price_series(a) == price_series(b);
}

/* Of the list's prices of the meter the one with the same conditions, or all of them, in words. */
static enum status list_words(const struct line_used *k, const char *list,
                              const struct price_item *own, struct buf *ret)
{
    struct pricebook_line line = { .number = 0 };
    bool bad = false, fits = true;
    while (fits && pricebook_next(&list, &line, &bad)) {
        if (line.item.meter != k->meter || !span_is(line.model, k->model))
            continue;
        bool same = is_same_item(&line.item, own);
        if (same)
            buf_clear(ret);
        fits = buf_text(ret, ret->len ? "; " : "") && decimal_item(ret, &line.item);
        if (same)
            break;
    }
    return !fits ? STATUS_NO_MEMORY : bad ? STATUS_INTERNAL : STATUS_OK;
}

static bool says(const char *book, const struct line_used *k)
{
    struct pricebook_line line;
    return pricebook_find(book, k->model, k->meter, 0, &line);
}

static enum status put_list(const struct line_used *k, const struct version *v,
                            const struct price_item *item, const char *own_words, json_t *line)
{
    AUTO(buf_free) struct buf words;
    char unit[2 * DECIMAL_TEXT_BYTES];
    enum status s = STATUS_OK;
    buf_init(&words, WORDS_BYTES_MAX);
    if (item->list.per_units)
        s = buf_text(&words, decimal_price(item->list, unit)) ? STATUS_OK : STATUS_NO_MEMORY;
    else if (v->own && says(v->own, k))
        s = list_words(k, v->list, item, &words);
    if (s || !words.len || strcmp(words.at, own_words) == 0)
        return s;
    return json_object_set_new(line, "list_unit_price", json_string(words.at)) ? STATUS_NO_MEMORY
                                                                               : STATUS_OK;
}

static enum status put_price(const struct line_used *k, const struct version *v,
                             const struct price_item *item, json_t **ret)
{
    AUTO(buf_free) struct buf words;
    buf_init(&words, WORDS_BYTES_MAX);
    if (!decimal_item(&words, item))
        return STATUS_NO_MEMORY;
    bool of_list = v->own && !says(v->own, k);
    AUTO(json_decref_ptr)
    json_t *line = json_pack("{s:s, s:s}", "unit_price", words.at, "price_book",
                             of_list ? v->list_book : v->book);
    enum status s = line ? put_list(k, v, item, words.at, line) : STATUS_NO_MEMORY;
    if (!s)
        *ret = TAKE(line);
    return s;
}

/* While the texts of the row are there: the price's words lie in them. */
static enum status read_price(const struct line_used *u, const struct version *of, struct volume *v,
                              json_t **ret)
{
    struct pricebook_line price;
    if (!pricebook_find(of->text, u->model, u->meter, u->item, &price))
        return STATUS_MODEL_NOT_PRICED;
    enum status s = put_price(u, of, &price.item, ret);
    if (!s)
        s = volume_note(v, &price, u->version, u->qty, u->charged, u->covered, u->line);
    if (s) {
        json_decref(*ret);
        *ret = NULL;
    }
    return s;
}

enum status line_price_read(struct db *db, const struct line_used *u, struct volume *v,
                            json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql_version);
    *ret = NULL;
    if (!s)
        return db_status(db);
    db_int(s, 1, u->version);
    enum db_row row = db_step(s);
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_MODEL_NOT_PRICED;
    if (row == DB_ROW) {
        const struct version of = { db_col_text(s, 0, NULL), db_col_text(s, 1, NULL),
                                    db_col_text(s, 2, NULL), db_col_text(s, 3, NULL),
                                    db_col_text(s, 4, NULL) };
        status = read_price(u, &of, v, ret);
    }
    db_reset(s);
    return status;
}

void line_price_copy(const json_t *from, json_t *to)
{
    static const char *const keys[] = { "price_book", "list_unit_price" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(from, keys[i]))
            json_object_set(to, keys[i], json_object_get(from, keys[i]));
}
