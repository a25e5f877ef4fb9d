/* conf/book.c -- see book.h: the readers of the configuration, given one map of prices. */
#include "conf/book.h"
#include "base/cleanup.h"
#include "conf/draft.h"
#include "conf/price_draft.h"

enum { SCRATCH_BYTES = 64 << 20 };

struct book_file {
    const char *name, *currency; /* currency: NULL when it does not say */
    const struct yaml_node *models;
};

const struct conf_key book_keys[] = {
    { "price_book", read_text, offsetof(struct book_file, name), "a name", 1, 64, true,
      "name of these prices in the ledger and on invoices" },
    { "currency", read_text, offsetof(struct book_file, currency), "a code", 3, 3, false,
      "refused unless it is the gateway's; not needed" },
    { "models", read_node, offsetof(struct book_file, models), "a map of ids", 0, 0, true,
      "each with its meters, as in the `price` of a model" },
    { .key = NULL }
};

/* Of all models of the catalog, in its order. */
static struct model_draft *drafts_of(struct conf_reader *r, const struct catalog *c)
{
    struct model_draft *drafts = arena_alloc(r->scratch, (c->model_count + 1) * sizeof *drafts);
    for (size_t i = 0; drafts && i < c->model_count; i++) {
        const struct catalog_model *m = &c->models[i];
        drafts[i].m = *m;
        drafts[i].parent = m->parent ? &drafts[m->parent->index] : NULL;
        for (const struct catalog_model *p = m->parent; p; p = p->parent)
            drafts[i].depth++;
    }
    return drafts;
}

static enum status unknown_model(struct conf_reader *r, const struct yaml_node *n,
                                 const struct catalog *c)
{
    const char **ids = arena_alloc(r->scratch, (c->model_count + 1) * sizeof *ids);
    if (!ids)
        return conf_no_memory(r);
    for (size_t i = 0; i < c->model_count; i++)
        ids[i] = c->models[i].id;
    return conf_fail_unknown(r, n, "model", ids, c->model_count);
}

static enum status take_entries(struct conf_reader *r, const struct yaml_node *models,
                                const struct catalog *c, struct model_draft *drafts)
{
    static const struct catalog_scope everywhere = { .whole = true };
    enum status status = conf_want(r, models, YAML_MAP);
    for (const struct yaml_node *n = models->first; !status && n; n = n->next) {
        struct span id = { n->key, strlen(n->key) };
        const struct catalog_model *m = id.len ? catalog_find(c, &everywhere, id) : NULL;
        if (!m)
            return unknown_model(r, n, c);
        drafts[m->index].node = drafts[m->index].price = n;
    }
    return status;
}

/* One step of a family: its prices, or those of its parent, which is done. */
static enum status price_one(struct conf_reader *r, const struct yaml_node *models,
                             struct model_draft *d)
{
    if (!d->price && !d->parent)
        return conf_fail(r, models, "'%.100s' has no price in this book", d->m.id);
    if (!d->node)
        d->node = models;
    return draft_price(r, d);
}

static enum status price_all(struct conf_reader *r, const struct yaml_node *models,
                             struct catalog *c)
{
    struct model_draft *drafts = drafts_of(r, c);
    enum status status = drafts ? take_entries(r, models, c, drafts) : conf_no_memory(r);
    for (unsigned depth = 0; depth <= PARENTS_MAX; depth++)
        for (size_t i = 0; !status && i < c->model_count; i++)
            if (drafts[i].depth == depth)
                status = price_one(r, models, &drafts[i]);
    struct catalog_model *m = (struct catalog_model *)(uintptr_t)c->models; /* nobody has it yet */
    for (size_t i = 0; !status && i < c->model_count; i++) {
        const struct catalog_model *parent = m[i].parent;
        m[i] = drafts[i].m;
        m[i].parent = parent;
    }
    return status;
}

/* What an organization pays otherwise than the list says. */
static enum status price_some(struct conf_reader *r, const struct yaml_node *models,
                              struct catalog *c, const struct catalog *list)
{
    static const struct catalog_scope everywhere = { .whole = true };
    enum status status = conf_want(r, models, YAML_MAP);
    if (!status && !models->first)
        return conf_fail(r, models, "has no price; maasgate price withdraw ends a book");
    for (const struct yaml_node *n = models->first; !status && n; n = n->next) {
        struct span id = { n->key, strlen(n->key) };
        const struct catalog_model *m = id.len ? catalog_find(c, &everywhere, id) : NULL;
        if (!m)
            return unknown_model(r, n, c);
        status = own_prices_read(r, n, &list->models[m->index],
                                 (struct catalog_model *)(uintptr_t)m); /* nobody has it yet */
    }
    return status;
}

static enum status check_currency(struct conf_reader *r, const struct yaml_node *root,
                                  const struct book_file *file, const struct catalog *c)
{
    if (!file->currency || strcmp(file->currency, c->currency) == 0)
        return STATUS_OK;
    return conf_fail(r, yaml_get(root, "currency"), "'%.10s' is not the currency of contracts, %s",
                     file->currency, c->currency);
}

static enum status read_tree(struct conf_reader *r, const struct yaml_node *root, struct catalog *c,
                             const struct catalog *list)
{
    struct book_file file = { .name = NULL };
    enum status status = conf_walk(r, root, book_keys, &file);
    if (!status)
        status = check_currency(r, root, &file, c);
    if (status)
        return status;
    c->price_book = file.name;
    status = list ? price_some(r, file.models, c, list) : price_all(r, file.models, c);
    return status ? status : prices_seal(r, c);
}

static void unref(struct catalog **c)
{
    catalog_unref(*c);
}

static enum status read_book(const char *name, struct span text, struct catalog *of,
                             const struct catalog *list, struct catalog **ret,
                             char err[static CONF_ERROR_BYTES])
{
    AUTO(arena_free_ptr) struct arena *scratch = arena_new(SCRATCH_BYTES);
    struct conf_reader r = { .file = name, .err = err, .scratch = scratch };
    AUTO(unref) struct catalog *c = scratch ? catalog_unpriced(of, &r.keep) : NULL;
    if (!c)
        return conf_no_memory(&r);
    const struct yaml_node *root;
    struct yaml_problem problem = { 0 };
    enum status status = yaml_read(text, scratch, &root, &problem);
    if (status == STATUS_BAD_FIELD) {
        const struct yaml_node at = { .line = problem.line, .column = problem.column };
        return conf_fail(&r, &at, "%s", problem.text);
    }
    if (!status)
        status = read_tree(&r, root, c, list);
    if (status == STATUS_NO_MEMORY)
        return conf_no_memory(&r);
    if (!status)
        *ret = TAKE(c);
    return status;
}

enum status book_read(const char *name, struct span text, struct catalog *of, struct catalog **ret,
                      char err[static CONF_ERROR_BYTES])
{
    return read_book(name, text, of, NULL, ret, err);
}

enum status book_read_own(const char *name, struct span text, struct catalog *list,
                          struct catalog **ret, char err[static CONF_ERROR_BYTES])
{
    return read_book(name, text, list, list, ret, err);
}
