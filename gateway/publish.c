/* gateway/publish.c -- see publish.h. */
#include "gateway/publish.h"
#include "gateway/admin.h"
#include "gateway/pricing.h"
#include <stdio.h>

struct waited_call {
    struct ledger_call call;
    struct daemon *daemon;
    struct conf *conf;
    struct publication_terms terms; /* read; owned */
    char err[256];                  /* why they cannot be had; "" */
    bool has_keys;
    uv_sem_t done;
};

static void on_done(struct ledger_op *op)
{
    uv_sem_post(&((struct waited_call *)op)->done);
}

static enum status call_and_wait(struct waited_call *w)
{
    w->call.op.kind = LEDGER_CALL;
    w->call.op.done = on_done;
    if (uv_sem_init(&w->done, 0) != 0)
        return STATUS_NO_MEMORY;
    ledger_submit(w->daemon->ledger, &w->call.op);
    uv_sem_wait(&w->done);
    uv_sem_destroy(&w->done);
    return w->call.op.status;
}

/* The only place that writes to a catalog after it was made, and nobody else has
 * it yet: it is not published. */
static enum status name_models(struct db *db, const struct catalog *c)
{
    for (size_t i = 0; i < c->model_count; i++) {
        struct catalog_model *m = (struct catalog_model *)(uintptr_t)&c->models[i];
        enum status s = ledger_name_id(db, m->id, &m->db_id);
        if (s != STATUS_OK)
            return s;
    }
    for (size_t i = 0; i < c->backend_count; i++) {
        struct catalog_backend *b = (struct catalog_backend *)(uintptr_t)&c->backends[i];
        enum status s = ledger_name_id(db, b->name, &b->db_id);
        if (s != STATUS_OK)
            return s;
    }
    return STATUS_OK;
}

/* 0 costs: no book of them. */
static enum status name_costs(struct db *db, struct catalog *c, int64_t now_us)
{
    for (size_t i = 0; i < c->backend_count; i++)
        for (size_t k = 0; k < c->backends[i].cost_count; k++) {
            struct catalog_model *m = (struct catalog_model *)(uintptr_t)&c->backends[i].costs[k];
            enum status s = ledger_name_id(db, m->id, &m->db_id);
            if (s != STATUS_OK)
                return s;
        }
    if (!*c->cost_text)
        return STATUS_OK;
    return ledger_publish_costs(db, c->cost_text, c->cost_sha256, now_us, &c->cost_version);
}

/* The prices of the file become a version, unless it is there already. */
static enum status store_prices(struct db *db, struct catalog *c, int64_t now_us)
{
    enum status s = ledger_publish_prices(db, c->price_book, c->currency, c->price_text,
                                          c->price_sha256, now_us, &c->price_version);
    return s != STATUS_OK ? s : publication_configured(db, c->price_version);
}

static enum status prepare(struct ledger_call *call, struct db *db, int64_t now_us)
{
    struct waited_call *w = (struct waited_call *)call;
    const struct env *env = w->daemon->env;
    struct catalog *c = w->conf->catalog;
    enum status s = name_models(db, c);
    if (s == STATUS_OK)
        s = name_costs(db, c, now_us);
    if (s != STATUS_OK)
        return s;
    return conf_published_prices(w->conf)
               ? publication_terms(db, env->wall_us(env->arg), &w->terms, w->err)
               : store_prices(db, w->conf->catalog, now_us);
}

static enum status read_prices(struct ledger_call *call, struct db *db, int64_t now_us)
{
    struct waited_call *w = (struct waited_call *)call;
    const struct env *env = w->daemon->env;
    (void)now_us;
    return publication_terms(db, env->wall_us(env->arg), &w->terms, w->err);
}

static void explain(const struct waited_call *w, enum status s, char err[static 256])
{
    if (s == STATUS_CONFLICT && !conf_published_prices(w->conf))
        snprintf(err, 256,
                 "price_source is configuration, but prices were published by two people: only "
                 "they change them now; set price_source: published and leave out the prices");
    else
        snprintf(err, 256, "the price books of the store cannot be had: %.200s",
                 *w->err ? w->err : status_info(s)->text);
}

static enum status make_pricing(struct waited_call *w, struct pricing **ret, char err[static 256])
{
    struct catalog *c = w->conf->catalog;
    enum status s = call_and_wait(w);
    if (s == STATUS_OK && conf_published_prices(w->conf))
        s = pricing_new(c, &w->terms, ret);
    else if (s == STATUS_OK && !(*ret = pricing_of(c)))
        s = STATUS_NO_MEMORY;
    publication_terms_free(&w->terms);
    if (s != STATUS_OK)
        explain(w, s, err);
    return s;
}

enum status publish_prepare(struct daemon *d, struct conf *conf, struct pricing **ret,
                            char err[static 256])
{
    struct waited_call w = { .call.run = prepare, .daemon = d, .conf = conf };
    return make_pricing(&w, ret, err);
}

enum status publish_prices(struct daemon *d, struct conf *conf, struct pricing **ret,
                           char err[static 256])
{
    struct waited_call w = { .call.run = read_prices, .daemon = d, .conf = conf };
    return make_pricing(&w, ret, err);
}

static enum status keys_read(enum status s, char err[static 256])
{
    if (s != STATUS_OK)
        snprintf(err, 256, "the API keys cannot be read: %s", status_info(s)->text);
    return s;
}

static enum status look_for_keys(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)now_us;
    return key_any(db, &((struct waited_call *)call)->has_keys);
}

enum status publish_has_keys(struct daemon *d, bool *ret, char err[static 256])
{
    struct waited_call w = { .call.run = look_for_keys, .daemon = d };
    enum status s = call_and_wait(&w);
    *ret = w.has_keys;
    return keys_read(s, err);
}

static enum status load_keys(struct ledger_call *call, struct db *db, int64_t now_us)
{
    struct waited_call *w = (struct waited_call *)call;
    struct limits defaults = admin_default_limits(w->conf);
    (void)now_us;
    return keyring_load(w->daemon->keyring, db, &defaults);
}

enum status publish_keys(struct daemon *d, const struct conf *conf, char err[static 256])
{
    struct waited_call w = { .call.run = load_keys,
                             .daemon = d,
                             .conf = (struct conf *)(uintptr_t)conf };
    enum status s = call_and_wait(&w);
    return keys_read(s, err);
}
