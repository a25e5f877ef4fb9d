/* billing/terms.c -- which version is in force when (publication.h): the list's terms, and for each
 * organization with a book of its own the two layered, wherever one of them changes.
 */
#include "base/db.h"
#include "billing/layer.h"
#include "billing/pricebook_layer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sql_terms[] =
    "SELECT u.effective_us, v.id, v.book, v.text, v.sha256 FROM price_publication u"
    " JOIN price_version v ON v.id = u.price_version WHERE u.owner_kind = ?2"
    " AND u.organization = ?3 AND u.effective_us >= coalesce((SELECT min(effective_us) FROM"
    "  (SELECT effective_us FROM price_publication WHERE effective_us <= ?1 AND owner_kind = ?2"
    "   AND organization = ?3 ORDER BY effective_us DESC LIMIT 2)), 0) ORDER BY u.effective_us";
static const char sql_first_term[] =
    "SELECT 0, v.id, v.book, v.text, v.sha256 FROM price_configured c JOIN price_version v"
    " ON v.id = c.price_version WHERE (SELECT count(*) FROM price_publication"
    " WHERE effective_us <= ?1 AND organization = 0) < 2";
static const char sql_owners[] = "SELECT DISTINCT owner_kind, organization FROM price_publication"
                                 " WHERE organization <> 0"
                                 " ORDER BY owner_kind, organization";
static const char sql_own_books[] =
    "SELECT u.organization, v.id, v.book, v.text, v.sha256 FROM price_publication u"
    " JOIN price_version v ON v.id = u.price_version WHERE u.owner_kind = ?2"
    " AND (?3 = 0 OR u.organization = ?3) AND u.effective_us = (SELECT max(x.effective_us)"
    " FROM price_publication x WHERE x.effective_us <= ?1 AND x.owner_kind = u.owner_kind"
    " AND x.organization = u.organization) ORDER BY u.organization";

const char *book_kind_name(enum book_kind k)
{
    static const char *const names[] = {
#define X(NAME, word) [BOOK_##NAME] = word,
        BOOK_KIND_MAP(X)
#undef X
    };
    return names[k];
}

static enum book_kind kind_of(const char *name)
{
    enum book_kind k = BOOK_LIST;
    while (k + 1 < BOOK_KINDS && strcmp(name, book_kind_name(k)) != 0)
        k++;
    return k;
}

/* ---- lists of terms ------------------------------------------------------------------------ */

static void list_free(struct term_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->term[i].book);
        free(l->term[i].text);
    }
    free(l->term);
    *l = (struct term_list){ NULL, 0, 0 };
}

void publication_terms_free(struct publication_terms *t)
{
    list_free(&t->list);
    for (size_t i = 0; i < t->own_count; i++)
        list_free(&t->own[i].terms);
    free(t->own);
    *t = (struct publication_terms){ .own = NULL };
}

/* Of the instant and the version; NULL: no memory. */
static struct publication_term *add_term(struct term_list *l, int64_t from_us, int64_t version)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 4;
        struct publication_term *more = realloc(l->term, room * sizeof *more);
        if (!more)
            return NULL;
        l->term = more;
        l->room = room;
    }
    l->term[l->count] = (struct publication_term){ .from_us = from_us, .version = version };
    return &l->term[l->count++];
}

static enum status take_term(struct term_list *l, struct db_stmt *s)
{
    struct publication_term *t = add_term(l, db_col_int(s, 0), db_col_int(s, 1));
    if (!t)
        return STATUS_NO_MEMORY;
    t->book = strdup(db_col_text(s, 2, NULL));
    t->text = strdup(db_col_text(s, 3, NULL));
    memcpy(t->sha256, db_col_blob(s, 4, NULL), sizeof t->sha256);
    return t->book && t->text ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status take_terms(struct db *db, struct db_stmt *s, struct term_list *l)
{
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = take_term(l, s);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

static enum status read_terms(struct db *db, int64_t now_us, const struct book_owner *of,
                              struct term_list *l)
{
    struct db_stmt *s = db_prepare(db, sql_terms);
    if (!s)
        return db_status(db);
    db_int(s, 1, now_us);
    db_text(s, 2, book_kind_name(of->kind), -1);
    db_int(s, 3, of->organization);
    return take_terms(db, s, l);
}

static enum status read_list(struct db *db, int64_t now_us, struct term_list *l)
{
    static const struct book_owner everybody = { BOOK_LIST, 0 };
    struct db_stmt *first = db_prepare(db, sql_first_term);
    if (!first)
        return db_status(db);
    db_int(first, 1, now_us);
    enum status s = take_terms(db, first, l);
    return s ? s : read_terms(db, now_us, &everybody, l);
}

/* The first one holds from ever. */
static const struct publication_term *term_at(const struct term_list *l, int64_t us)
{
    size_t i = l->count - 1;
    while (i > 0 && l->term[i].from_us > us)
        i--;
    return &l->term[i];
}

/* ---- an organization ----------------------------------------------------------------------- */

static enum status add_layer(struct db *db, struct publication_own *o, const struct term_list *list,
                             const struct term_list *own, int64_t from_us, char err[static 256])
{
    const struct publication_term *below = term_at(list, from_us), *above = term_at(own, from_us);
    struct publication_term *t = add_term(&o->terms, from_us, below->version);
    if (!t)
        return STATUS_NO_MEMORY;
    return pricebook_says(above->text) ? layer_term(db, &o->owner, below, above, t, err)
                                       : STATUS_OK;
}

/* From its first term on, wherever it or the list changes. */
static enum status add_layers(struct db *db, struct publication_own *o,
                              const struct term_list *list, const struct term_list *own,
                              char err[static 256])
{
    size_t i = 0, k = 0;
    enum status s = STATUS_OK;
    while (i < list->count && list->term[i].from_us <= own->term[0].from_us)
        i++;
    while (!s && (i < list->count || k < own->count)) {
        int64_t a = i < list->count ? list->term[i].from_us : INT64_MAX;
        int64_t b = k < own->count ? own->term[k].from_us : INT64_MAX;
        i += a <= b;
        k += b <= a;
        s = add_layer(db, o, list, own, a < b ? a : b, err);
    }
    return s;
}

static bool has_any(const struct term_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->term[i].text)
            return true;
    return false;
}

static enum status fill_owner(struct db *db, int64_t now_us, const struct term_list *list,
                              struct publication_own *o, char err[static 256])
{
    struct term_list own = { NULL, 0, 0 };
    enum status s = read_terms(db, now_us, &o->owner, &own);
    if (!s && own.count)
        s = add_layers(db, o, list, &own, err);
    list_free(&own);
    return s;
}

static struct publication_own *add_owner(struct publication_terms *t, struct book_owner owner)
{
    struct publication_own *more = realloc(t->own, (t->own_count + 1) * sizeof *more);
    if (!more)
        return NULL;
    t->own = more;
    t->own[t->own_count] = (struct publication_own){ .owner = owner };
    return &t->own[t->own_count++];
}

/* All that ever had a book of their own, in their order. */
static enum status read_owners(struct db *db, struct publication_terms *t)
{
    struct db_stmt *s = db_prepare(db, sql_owners);
    if (!s)
        return db_status(db);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW) {
        const struct book_owner owner = { kind_of(db_col_text(s, 0, NULL)), db_col_int(s, 1) };
        status = add_owner(t, owner) ? STATUS_OK : STATUS_NO_MEMORY;
    }
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

static void drop_bookless(struct publication_terms *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->own_count; i++)
        if (has_any(&t->own[i].terms))
            t->own[kept++] = t->own[i];
        else
            list_free(&t->own[i].terms);
    t->own_count = kept;
}

static enum status add_owners(struct db *db, int64_t now_us, struct publication_terms *t,
                              char err[static 256])
{
    enum status s = read_owners(db, t);
    for (size_t i = 0; i < t->own_count && !s; i++)
        s = fill_owner(db, now_us, &t->list, &t->own[i], err);
    if (s)
        return s;
    drop_bookless(t);
    if (t->own_count <= PUBLICATION_OWN_MAX)
        return STATUS_OK;
    snprintf(err, 256, "at most %d price books of organizations can be in force at once",
             PUBLICATION_OWN_MAX);
    return STATUS_CONFLICT;
}

enum status publication_terms(struct db *db, int64_t now_us, struct publication_terms *ret,
                              char err[static 256])
{
    struct publication_terms t = { .own = NULL };
    enum status s = read_list(db, now_us, &t.list);
    if (!s && t.list.count)
        s = add_owners(db, now_us, &t, err);
    if (s)
        publication_terms_free(&t);
    else
        *ret = t;
    return s;
}

/* ---- as they were published ---------------------------------------------------------------- */

static enum status take_book(struct publication_terms *t, enum book_kind kind, struct db_stmt *s)
{
    if (!pricebook_says(db_col_text(s, 3, NULL)))
        return STATUS_OK;
    struct publication_own *o = add_owner(t, (struct book_owner){ kind, db_col_int(s, 0) });
    return o ? take_term(&o->terms, s) : STATUS_NO_MEMORY;
}

enum status publication_own_books(struct db *db, struct book_owner of, int64_t now_us,
                                  struct publication_terms *ret)
{
    struct publication_terms t = { .own = NULL };
    struct db_stmt *s = db_prepare(db, sql_own_books);
    if (!s)
        return db_status(db);
    db_int(s, 1, now_us);
    db_text(s, 2, book_kind_name(of.kind), -1);
    db_int(s, 3, of.organization);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = take_book(&t, of.kind, s);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    if (status)
        publication_terms_free(&t);
    else
        *ret = t;
    return status;
}
