/* billing/recover_rate.c -- see recover_rate.h. */
#include "billing/recover_rate.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/books_rate.h"
#include "billing/pricebook.h"
#include <jansson.h>
#include <string.h>

enum { SHEET_BYTES_MAX = 16 << 20 };

static const char sql_book[] =
    "SELECT v.text, n.name FROM price_version v JOIN name n ON n.id = ?2 WHERE v.id = ?1";

void recover_sheet_free(struct recover_sheet *c)
{
    arena_free(c->words);
    *c = (struct recover_sheet){ .words = NULL };
}

static enum status read_sheet(struct recover_sheet *c, struct db_stmt *s)
{
    if (db_step(s) != DB_ROW)
        return STATUS_BAD_FIELD;
    c->words = arena_new(SHEET_BYTES_MAX);
    if (!c->words)
        return STATUS_NO_MEMORY;
    enum status status =
        pricebook_sheet(db_col_text(s, 0, NULL), db_col_text(s, 1, NULL), c->words, &c->sheet);
    if (!status && !c->sheet->periodic)
        c->sheet = NULL;
    return status == STATUS_NOT_FOUND ? STATUS_BAD_FIELD : status;
}

/* The book of a thousand streams of one model is read once. */
static enum status find_sheet(struct recover_sheet *c, struct db *db, int64_t version,
                              int64_t model)
{
    if (c->version == version && c->model == model)
        return STATUS_OK;
    recover_sheet_free(c);
    struct db_stmt *s = db_prepare(db, sql_book);
    if (!s)
        return db_status(db);
    db_int(s, 1, version);
    db_int(s, 2, model);
    enum status status = read_sheet(c, s);
    db_reset(s);
    if (!status) {
        c->version = version;
        c->model = model;
    }
    return status;
}

/* As price_facts_text wrote them. */
static bool read_facts(struct recover_sheet *c, const char *text, int64_t accepted_us)
{
    AUTO(json_decref_ptr) json_t *facts = text ? json_loads(text, 0, NULL) : NULL;
    const json_t *context = json_object_get(facts, "context");
    size_t used = 0;
    if (!json_is_integer(context) || json_integer_value(context) < 0)
        return false;
    c->facts =
        (struct price_facts){ .context = json_integer_value(context), .accepted_us = accepted_us };
    for (unsigned d = 0; d < PRICE_DIMS; d++) {
        const char *word =
            json_string_value(json_object_get(facts, price_dim_name((enum price_dim)d)));
        size_t len = word ? strlen(word) : 0;
        if (used + len > sizeof c->facts_text)
            return false;
        memcpy(c->facts_text + used, word ? word : "", len);
        c->facts.dim[d] = (struct span){ c->facts_text + used, len };
        used += len;
    }
    return true;
}

/* The ledger asserts what is looked at here: this is from a disk. */
static enum status try_rate(struct books *b, struct ledger_settle t)
{
    struct budget *budget;
    struct purse *purse;
    enum status s = books_payer(b, t.project, &budget, &purse);
    if (!s)
        s = books_rate(b, purse, &t);
    return s ? s : t.amount.atoms <= t.hold.atoms ? STATUS_OK : STATUS_BAD_FIELD;
}

enum status recover_rate(struct recover_sheet *c, struct books *b, int64_t accepted_us,
                         struct ledger_settle *t)
{
    enum status s = find_sheet(c, b->db, t->price_version, t->model);
    if (s || !c->sheet)
        return s;
    if (!read_facts(c, t->facts, accepted_us))
        return STATUS_BAD_FIELD;
    struct ledger_settle rated = *t;
    rated.sheet = c->sheet;
    rated.chosen_by = &c->facts;
    s = try_rate(b, rated);
    if (!s)
        *t = rated;
    return s;
}
