/* billing/document_page.c -- the documents of one organization, as its own finance reads them. */
#include "billing/document_inside.h"
#include "base/cleanup.h"
#include "base/db_list.h"
#include <string.h>

static const char sql_payer[] = "SELECT o.id, o.slug, p.id FROM project p"
                                " JOIN organization o ON o.id = p.organization WHERE p.id = ?1";
static const char sql_customer[] =
    "SELECT o.id, o.slug, (SELECT min(id) FROM project WHERE organization = o.id)"
    " FROM organization o WHERE o.reseller = ?1 AND o.slug = ?2";
static const char sql_owns[] = "SELECT 1 FROM document WHERE number = ?1 AND organization = ?2";
static const char sql_page[] =
    "SELECT number FROM document WHERE organization = ?1 AND number > ?2"
    " AND (?3 = 0 OR type = ?3) AND (?4 IS NULL OR json_extract(body, '$.month') = ?4)"
    " ORDER BY number LIMIT ?5";

static enum status read_payer(struct db *db, struct db_stmt *s, struct payer *ret)
{
    enum db_row row = db_step(s);
    if (row == DB_ROW) {
        ret->organization = db_col_int(s, 0);
        ret->project = db_col_int(s, 2);
        snprintf(ret->slug, sizeof ret->slug, "%s", db_col_text(s, 1, NULL));
    }
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status || row == DB_ROW ? status : STATUS_NOT_FOUND;
}

enum status document_payer(struct db *db, int64_t project, struct payer *ret)
{
    struct db_stmt *s = db_prepare(db, sql_payer);
    if (!s)
        return db_status(db);
    db_int(s, 1, project);
    return read_payer(db, s, ret);
}

enum status document_customer(struct db *db, int64_t project, const char *customer,
                              struct payer *ret)
{
    enum status status = document_payer(db, project, ret);
    struct db_stmt *s = status || !customer ? NULL : db_prepare(db, sql_customer);
    if (!s)
        return status || !customer ? status : db_status(db);
    db_int(s, 1, ret->organization);
    db_text(s, 2, customer, -1);
    return read_payer(db, s, ret);
}

static enum status owns(struct db *db, int64_t organization, const char *number)
{
    struct db_stmt *s = db_prepare(db, sql_owns);
    if (!s)
        return db_status(db);
    db_text(s, 1, number, -1);
    db_int(s, 2, organization);
    int64_t one;
    enum status status = db_first_int(db, s, &one);
    return status || one ? status : STATUS_NOT_FOUND;
}

enum status document_find_of(struct db *db, int64_t organization, const char *number, json_t **ret)
{
    enum status s = owns(db, organization, number);
    return s ? s : document_find(db, number, ret);
}

static enum status read_numbers(struct db *db, const struct document_query *q, json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql_page);
    db_int(s, 1, q->organization);
    db_text(s, 2, q->after ? q->after : "", -1);
    db_int(s, 3, q->type);
    db_text(s, 4, q->month, -1);
    db_int(s, 5, q->limit + 1);
    return db_list(db, s, db_list_text, NULL, ret);
}

/* One more number than the page has says that more follow. */
enum status document_page(struct db *db, const struct document_query *q, json_t **ret)
{
    AUTO(json_decref_ptr) json_t *numbers = NULL;
    AUTO(json_decref_ptr) json_t *data = json_array();
    if (!data)
        return STATUS_NO_MEMORY;
    enum status s = q->after ? owns(db, q->organization, q->after) : STATUS_OK;
    if (!s)
        s = read_numbers(db, q, &numbers);
    const char *last = NULL;
    bool more = (int64_t)json_array_size(numbers) > q->limit;
    for (size_t i = 0; !s && i < json_array_size(numbers) && i < (size_t)q->limit; i++) {
        AUTO(json_decref_ptr) json_t *d = NULL;
        last = json_string_value(json_array_get(numbers, i));
        s = document_find(db, last, &d);
        if (!s && json_array_append_new(data, document_summary(d)) != 0)
            s = STATUS_NO_MEMORY;
    }
    if (s)
        return s;
    *ret = json_pack("{s:s, s:O, s:b, s:s?}", "object", "list", "data", data, "has_more", (int)more,
                     "next_page", more ? last : NULL);
    return *ret ? STATUS_OK : STATUS_NO_MEMORY;
}
