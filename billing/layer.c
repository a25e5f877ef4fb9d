/* billing/layer.c -- see layer.h. */
#include "billing/layer.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/digest.h"
#include "billing/ledger.h"
#include "billing/pricebook.h"
#include "billing/pricebook_layer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHEET_BYTES_MAX = 16 << 20 };

static const char sql_find[] =
    "SELECT v.id, v.book, v.text, v.sha256 FROM price_layer y JOIN price_version v"
    " ON v.id = y.price_version WHERE y.list_version = ?1 AND y.own_version = ?2";
static const char sql_layer[] = "INSERT INTO price_layer VALUES (?1,?2,?3)";
static const char sql_currency[] = "SELECT currency FROM price_version WHERE id = ?1";
static const char sql_slug[] = "SELECT slug FROM organization WHERE id = ?1";

static enum status misfit(struct db *db, const struct book_owner *of, const char *book,
                          struct span model, char err[static 256])
{
    struct db_stmt *s = db_prepare(db, sql_slug);
    if (s) {
        db_int(s, 1, of->organization);
        const char *slug = db_step(s) == DB_ROW ? db_col_text(s, 0, NULL) : "?";
        snprintf(err, 256,
                 "the book '%.64s' of '%.64s' does not fit on the list: a request of %.*s "
                 "could have more than %d lines on its bill",
                 book, slug, (int)(model.len < 80 ? model.len : 80), model.at, PRICE_LINES_MAX);
        db_reset(s);
    }
    return STATUS_CONFLICT;
}

/* Each model that the organization's book is about has a sheet that can be billed by. */
static enum status check_layer(struct db *db, const struct book_owner *of,
                               const struct publication_term *own, const char *text,
                               char err[static 256])
{
    struct pricebook_line line = { .number = 0 };
    struct span last = { "", 0 };
    const char *at = own->text;
    bool bad;
    enum status s = STATUS_OK;
    while (!s && pricebook_next(&at, &line, &bad)) {
        if (last.len == line.model.len && memcmp(last.at, line.model.at, last.len) == 0)
            continue;
        last = line.model;
        AUTO(arena_free_ptr) struct arena *a = arena_new(SHEET_BYTES_MAX);
        AUTO(free_ptr) char *model = strndup(last.at, last.len);
        const struct price_sheet *sheet;
        s = a && model ? pricebook_sheet(text, model, a, &sheet) : STATUS_NO_MEMORY;
        if (s == STATUS_BAD_FIELD)
            s = misfit(db, of, own->book, last, err);
    }
    return s;
}

static enum status store_layer(struct db *db, const struct publication_term *list,
                               const struct publication_term *own, const char *currency,
                               struct publication_term *ret)
{
    enum status s = ledger_publish_prices(db, own->book, currency, ret->text, ret->sha256,
                                          ret->from_us, &ret->version);
    struct db_stmt *layer = s ? NULL : db_prepare(db, sql_layer);
    if (!layer)
        return s ? s : db_status(db);
    db_int(layer, 1, ret->version);
    db_int(layer, 2, list->version);
    db_int(layer, 3, own->version);
    return db_run(layer);
}

static enum status read_currency(struct db *db, int64_t version, char ret[static 16])
{
    struct db_stmt *s = db_prepare(db, sql_currency);
    if (!s)
        return db_status(db);
    db_int(s, 1, version);
    enum db_row row = db_step(s);
    if (row == DB_ROW)
        snprintf(ret, 16, "%s", db_col_text(s, 0, NULL));
    db_reset(s);
    return row == DB_ROW ? STATUS_OK : row == DB_DONE ? STATUS_INTERNAL : db_status(db);
}

static enum status make_layer(struct db *db, const struct book_owner *of,
                              const struct publication_term *list,
                              const struct publication_term *own, struct publication_term *ret,
                              char err[static 256])
{
    AUTO(buf_free) struct buf b;
    char currency[16];
    const struct layer_of below = { list->text, list->sha256 }, above = { own->text, own->sha256 };
    buf_init(&b, LAYER_BYTES_MAX);
    enum status s = read_currency(db, own->version, currency);
    if (!s)
        s = pricebook_layer(currency, own->book, &below, &above, &b);
    if (!s)
        s = check_layer(db, of, own, b.at, err);
    if (s)
        return s;
    digest_sha256(b.at, b.len, ret->sha256);
    ret->book = strdup(own->book);
    ret->text = buf_take(&b, NULL);
    return ret->book && ret->text ? store_layer(db, list, own, currency, ret) : STATUS_NO_MEMORY;
}

/* What was made once is there, and was looked at then. */
static enum status find_layer(struct db *db, const struct publication_term *list,
                              const struct publication_term *own, struct publication_term *ret)
{
    struct db_stmt *s = db_prepare(db, sql_find);
    if (!s)
        return db_status(db);
    db_int(s, 1, list->version);
    db_int(s, 2, own->version);
    enum db_row row = db_step(s);
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_NOT_FOUND;
    if (row == DB_ROW) {
        ret->version = db_col_int(s, 0);
        ret->book = strdup(db_col_text(s, 1, NULL));
        ret->text = strdup(db_col_text(s, 2, NULL));
        memcpy(ret->sha256, db_col_blob(s, 3, NULL), sizeof ret->sha256);
        status = ret->book && ret->text ? STATUS_OK : STATUS_NO_MEMORY;
    }
    db_reset(s);
    return status;
}

enum status layer_term(struct db *db, const struct book_owner *of,
                       const struct publication_term *list, const struct publication_term *own,
                       struct publication_term *ret, char err[static 256])
{
    enum status s = find_layer(db, list, own, ret);
    return s == STATUS_NOT_FOUND ? make_layer(db, of, list, own, ret, err) : s;
}
