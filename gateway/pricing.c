/* gateway/pricing.c -- see pricing.h: the models of a catalog at the prices of a book's text. */
#include "gateway/pricing.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/digest.h"
#include "billing/pricebook.h"
#include "billing/pricebook_layer.h"
#include <stdlib.h>

static void free_terms(const struct price_term *t, size_t count)
{
    for (size_t i = 0; i < count; i++)
        catalog_unref(t[i].catalog);
}

void pricing_free(struct pricing *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->own_count; i++) {
        free_terms(p->own[i].term, p->own[i].count);
        free(p->own[i].term);
    }
    free(p->own);
    free_terms(p->term, p->count);
    free(p);
}

static struct pricing *pricing_room(size_t terms)
{
    return calloc(1, sizeof(struct pricing) + terms * sizeof(struct price_term));
}

struct pricing *pricing_of(struct catalog *c)
{
    struct pricing *p = pricing_room(1);
    if (p) {
        p->term[0].catalog = catalog_ref(c);
        p->count = 1;
    }
    return p;
}

/* ---- a model and its lines ----------------------------------------------------------------- */

/* Plain prices need no sheet; a request is then charged for looking at its meters alone. */
static void put_prices(struct catalog_model *m, const struct price_sheet *s)
{
    bool plain = true;
    for (unsigned meter = 0; meter < METER_COUNT; meter++) {
        unsigned count = (unsigned)(s->first[meter + 1] - s->first[meter]);
        if (!count)
            continue;
        const struct price_item *first = &s->items[s->first[meter]];
        m->priced |= UINT32_C(1) << meter;
        m->price[meter] = first->price;
        plain = plain && count == 1 && price_item_plain(first);
    }
    m->sheet = plain ? NULL : s;
}

/* What of the text is about the model of the line at `at`: lines of a model follow one another. */
static enum status take_model(const char **at, struct span *ret_id, struct span *ret_lines)
{
    struct pricebook_line line = { .number = 0 };
    const char *next = *at;
    bool bad;
    *ret_lines = (struct span){ NULL, 0 };
    while (pricebook_next(&next, &line, &bad)) {
        if (!ret_lines->at) {
            *ret_id = line.model;
            ret_lines->at = line.model.at;
        } else if (line.model.len != ret_id->len ||
                   memcmp(line.model.at, ret_id->at, ret_id->len) != 0)
            break;
        ret_lines->len = (size_t)(next - ret_lines->at);
    }
    *at = ret_lines->at + ret_lines->len;
    return bad ? STATUS_INTERNAL : ret_lines->at ? STATUS_OK : STATUS_NOT_FOUND;
}

static enum status price_model(struct catalog *c, struct arena *a, struct span id, struct span text)
{
    static const struct catalog_scope everywhere = { .whole = true };
    const struct catalog_model *found = catalog_find(c, &everywhere, id);
    const struct price_sheet *sheet;
    if (!found) /* it has left the configuration */
        return STATUS_OK;
    char *lines = arena_memdup(a, text.at, text.len);
    if (!lines)
        return STATUS_NO_MEMORY;
    enum status s = pricebook_sheet(lines, found->id, a, &sheet);
    if (!s) /* nobody has the catalog yet */
        put_prices((struct catalog_model *)(uintptr_t)found, sheet);
    return s == STATUS_BAD_FIELD || s == STATUS_NOT_FOUND ? STATUS_INTERNAL : s;
}

static void tell_unpriced(const struct catalog *c)
{
    for (size_t i = 0; i < c->model_count; i++)
        if (!c->models[i].priced)
            log_env("model_not_priced model=%s price_book=%s version=%lld", c->models[i].id,
                    c->price_book, (long long)c->price_version);
}

/* ---- a book -------------------------------------------------------------------------------- */

static bool same(struct span a, struct span b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

/* Whether the list says just that of the model: both texts are in the order of models, so *list moves
 * on as they are asked for. */
static bool is_of_list(const char **list, struct span id, struct span lines)
{
    const char *next = *list;
    struct span other = { "", 0 }, said = { "", 0 };
    while (!same(id, other) && take_model(&next, &other, &said) == STATUS_OK)
        ;
    bool found = same(id, other);
    *list = found ? next : *list;
    return found && same(lines, said);
}

/* Of models that `list` says the same of, the catalog has the prices already; NULL: of none. */
static enum status price_catalog(struct catalog *c, struct arena *a,
                                 const struct publication_term *t, const char *list)
{
    c->price_version = t->version;
    memcpy(c->price_sha256, t->sha256, sizeof c->price_sha256);
    c->price_book = arena_strdup(a, t->book);
    c->price_text = arena_strdup(a, t->text);
    if (!c->price_book || !c->price_text)
        return STATUS_NO_MEMORY;
    const char *at = c->price_text;
    struct span id, lines;
    enum status s;
    while ((s = take_model(&at, &id, &lines)) == STATUS_OK)
        if (!(list && is_of_list(&list, id, lines)) &&
            (s = price_model(c, a, id, lines)) != STATUS_OK)
            return s;
    return s == STATUS_NOT_FOUND ? STATUS_OK : s;
}

static enum status add_term(struct pricing *p, struct catalog *models,
                            const struct publication_term *t)
{
    static char none[] = "none", nothing[] = "";
    static const struct publication_term unpublished = { .book = none, .text = nothing };
    struct arena *a;
    struct catalog *c = catalog_unpriced(models, &a);
    if (!c)
        return STATUS_NO_MEMORY;
    p->term[p->count++] = (struct price_term){ t ? t->from_us : 0, c };
    enum status s = price_catalog(c, a, t ? t : &unpublished, NULL);
    if (!s)
        tell_unpriced(c);
    return s;
}

/* ---- of organizations ---------------------------------------------------------------------- */

/* A copy of the list's catalog, which is kept: what the book does not name is not made again. */
static enum status layered(struct catalog *list, const struct publication_term *t,
                           struct catalog **ret)
{
    struct arena *a;
    struct catalog *c = catalog_copy(list, &a);
    enum status s = c ? price_catalog(c, a, t, list->price_text) : STATUS_NO_MEMORY;
    if (s)
        catalog_unref(c);
    else
        *ret = c;
    return s;
}

static enum status add_own_term(const struct pricing *p, struct pricing_own *o,
                                const struct publication_term *t)
{
    struct price_term *term = &o->term[o->count++];
    term->from_us = t->from_us;
    struct catalog *list = (struct catalog *)(uintptr_t)pricing_list_at(p, t->from_us);
    return t->text ? layered(list, t, &term->catalog) : STATUS_OK;
}

static enum status add_own(struct pricing *p, const struct publication_own *of)
{
    struct pricing_own *o = &p->own[p->own_count++];
    const struct term_list *terms = &of->terms;
    o->owner = of->owner;
    o->term = calloc(terms->count, sizeof *o->term);
    enum status s = o->term ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t i = 0; i < terms->count && !s; i++)
        s = add_own_term(p, o, &terms->term[i]);
    return s;
}

static int by_owner(const void *key, const void *own)
{
    const struct book_owner *a = key, *b = &((const struct pricing_own *)own)->owner;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return (a->organization > b->organization) - (a->organization < b->organization);
}

const struct catalog *pricing_own_at(const struct pricing *p, int64_t us, struct book_owner owner)
{
    const struct pricing_own *o =
        p->own_count ? bsearch(&owner, p->own, p->own_count, sizeof *p->own, by_owner) : NULL;
    size_t i = o ? o->count : 0;
    while (i > 0 && o->term[i - 1].from_us > us)
        i--;
    return i ? o->term[i - 1].catalog : NULL;
}

enum status pricing_layered(struct catalog *list, const struct own_book *own, struct catalog **ret)
{
    AUTO(buf_free) struct buf b;
    AUTO(free_ptr) char *name = strdup(own->name);
    const struct layer_of below = { list->price_text, list->price_sha256 },
                          above = { own->text, own->sha256 };
    buf_init(&b, LAYER_BYTES_MAX);
    enum status s =
        name ? pricebook_layer(list->currency, name, &below, &above, &b) : STATUS_NO_MEMORY;
    if (s)
        return s;
    struct publication_term t = { .book = name, .text = b.at };
    digest_sha256(b.at, b.len, t.sha256);
    s = layered(list, &t, ret);
    return s == STATUS_INTERNAL ? STATUS_CONFLICT : s; /* the texts are books: we wrote them */
}

/* ---- all ----------------------------------------------------------------------------------- */

enum status pricing_new(struct catalog *models, const struct publication_terms *terms,
                        struct pricing **ret)
{
    struct pricing *p = pricing_room(terms->list.count + 1);
    enum status s = p ? STATUS_OK : STATUS_NO_MEMORY;
    if (!s && !terms->list.count)
        s = add_term(p, models, NULL);
    for (size_t i = 0; i < terms->list.count && !s; i++)
        s = add_term(p, models, &terms->list.term[i]);
    if (!s && terms->own_count && !(p->own = calloc(terms->own_count, sizeof *p->own)))
        s = STATUS_NO_MEMORY;
    for (size_t i = 0; i < terms->own_count && !s; i++)
        s = add_own(p, &terms->own[i]);
    if (s)
        pricing_free(p);
    else
        *ret = p;
    return s;
}
