/* conf/catalog.c -- looks up models; counts the references to a catalog.
 *
 * Models are sorted by id, so what lies under a prefix lies together: every lookup is a
 * binary search, and a short name is looked for among its own scope only.
 */
#include "conf/catalog.h"
#include "base/bpe.h"
#include "base/digest.h"
#include "base/tls.h"
#include "conf/reader.h"
#include <assert.h>
#include <stdio.h>

enum { CATALOG_BYTES_MAX = 256 << 20, PREFIX_BYTES = 320 };

struct owned_catalog {
    struct catalog c; /* first: a catalog's address is its owner's */
    struct arena *arena;
    struct catalog *of; /* whose texts and backends these are; NULL: its own */
};

struct catalog *catalog_new(struct arena **ret_keep)
{
    struct arena *a = arena_new(CATALOG_BYTES_MAX);
    struct owned_catalog *owned = a ? arena_alloc(a, sizeof *owned) : NULL;
    if (!owned) {
        arena_free(a);
        return NULL;
    }
    owned->arena = a;
    atomic_init(&owned->c.refs, 1);
    *ret_keep = a;
    return &owned->c;
}

/* Parents are found by their place. */
static struct catalog_model *models_copied(const struct catalog *of, struct arena *a)
{
    struct catalog_model *models = arena_alloc(a, (of->model_count + 1) * sizeof *models);
    for (size_t i = 0; models && i < of->model_count; i++) {
        const struct catalog_model *m = &of->models[i];
        models[i] = *m;
        models[i].parent = m->parent ? &models[m->parent->index] : NULL;
    }
    return models;
}

struct catalog *catalog_copy(struct catalog *of, struct arena **ret_keep)
{
    struct catalog *c = catalog_new(ret_keep);
    struct catalog_model *models = c ? models_copied(of, *ret_keep) : NULL;
    if (!models) {
        catalog_unref(c);
        return NULL;
    }
    c->models = models;
    c->model_count = of->model_count;
    c->backends = of->backends;
    c->backend_count = of->backend_count;
    c->tokenizers = of->tokenizers;
    c->tokenizer_count = of->tokenizer_count;
    c->egress = of->egress;
    c->currency = of->currency;
    c->cost_text = of->cost_text;
    memcpy(c->cost_sha256, of->cost_sha256, sizeof c->cost_sha256);
    c->cost_version = of->cost_version;
    ((struct owned_catalog *)c)->of = catalog_ref(of);
    return c;
}

struct catalog *catalog_unpriced(struct catalog *of, struct arena **ret_keep)
{
    struct catalog *c = catalog_copy(of, ret_keep);
    for (size_t i = 0; c && i < c->model_count; i++) {
        struct catalog_model *m = (struct catalog_model *)(uintptr_t)&c->models[i];
        m->priced = m->derived = 0;
        m->sheet = NULL;
        memset(m->price, 0, sizeof m->price);
    }
    return c;
}

struct catalog *catalog_ref(struct catalog *c)
{
    unsigned before = atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    assert(before > 0);
    return c;
}

void catalog_unref(struct catalog *c)
{
    if (!c)
        return;
    unsigned before = atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    struct catalog *of = ((struct owned_catalog *)c)->of;
    for (size_t i = 0; !of && i < c->backend_count; i++) {
        const struct catalog_backend *b = &c->backends[i];
        if (b->secret)
            digest_wipe(b->secret, strlen(b->secret));
        tls_free(b->tls);
    }
    for (size_t i = 0; i < c->alerts.webhook_count; i++) {
        for (unsigned k = 0; k < ALERT_KEYS_MAX; k++)
            hmac_key_wipe(&c->alerts.webhooks[i].keys[k]);
        tls_free(c->alerts.webhooks[i].tls);
    }
    for (size_t i = 0; !of && i < c->tokenizer_count; i++)
        bpe_free(c->tokenizers[i].bpe);
    arena_free(((struct owned_catalog *)c)->arena);
    catalog_unref(of);
}

const char *level_name(enum level l)
{
    static const char *const names[] = { "base", "domain", "industry", "scene" };
    return names[l];
}

const char *capability_name(unsigned bit)
{
    static const char *const names[] = {
#define X(at, NAME, name) [at] = name,
        CAPABILITY_MAP(X)
#undef X
    };
    return bit < sizeof names / sizeof *names ? names[bit] : NULL;
}

const char *transport_name(enum transport t)
{
    static const char *const names[] = { "shm", "socket", "http" };
    return names[t];
}

const char *life_name(enum life l)
{
    static const char *const names[] = { "preview", "ga", "deprecated", "retired", "unavailable" };
    return names[l];
}

struct price_items model_prices(const struct catalog_model *m, enum meter meter,
                                struct price_item *plain)
{
    const struct price_sheet *s = m->sheet;
    if (s)
        return (struct price_items){ s->items + s->first[meter],
                                     (unsigned)(s->first[meter + 1] - s->first[meter]) };
    *plain = price_plain(meter, m->price[meter]);
    return (struct price_items){ plain, model_priced(m, meter) };
}

/* Scenes stand in the paths of their industry. */
static const char *level_word(enum level l)
{
    return level_name(l == LEVEL_SCENE ? LEVEL_INDUSTRY : l);
}

bool catalog_in_scope(const struct catalog_scope *scope, const struct catalog_model *m)
{
    if (scope->whole)
        return true;
    const char *word = level_word(scope->level), *id = m->id;
    size_t len = strlen(word);
    if (strncmp(id, word, len) || id[len] != '/')
        return false;
    if (!scope->segment.len)
        return true;
    id += len + 1;
    return !strncmp(id, scope->segment.at, scope->segment.len) &&
           (id[scope->segment.len] == '/' || !id[scope->segment.len]);
}

/* Position of the first model whose id is not below the name. */
static size_t lower_bound(const struct catalog *c, struct span name)
{
    size_t low = 0, high = c->model_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *id = c->models[middle].id;
        int order = strncmp(id, name.at, name.len);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* An id that only begins with the name sorts after the one that is it. */
static const struct catalog_model *by_id(const struct catalog *c, struct span name)
{
    size_t at = lower_bound(c, name);
    return at < c->model_count && span_is(name, c->models[at].id) ? &c->models[at] : NULL;
}

static bool begins(const char *id, struct span prefix)
{
    return !strncmp(id, prefix.at, prefix.len);
}

static const struct catalog_model *only_short_name(const struct catalog *c, struct span prefix,
                                                   struct span name)
{
    const struct catalog_model *found = NULL;
    for (size_t i = lower_bound(c, prefix); i < c->model_count; i++) {
        const struct catalog_model *m = &c->models[i];
        if (!begins(m->id, prefix))
            break;
        if (!span_is(name, m->short_name))
            continue;
        if (found)
            return NULL; /* two industries may each have their "risk" */
        found = m;
    }
    return found;
}

static const struct catalog_model *scope_default(const struct catalog *c, struct span prefix,
                                                 unsigned does)
{
    const struct catalog_model *marked = NULL, *any = NULL;
    size_t models = 0, marks = 0;
    for (size_t i = lower_bound(c, prefix); i < c->model_count; i++) {
        const struct catalog_model *m = &c->models[i];
        if (!begins(m->id, prefix))
            break;
        if (does && !(m->capabilities & does))
            continue;
        any = m;
        models++;
        if (m->scope_default) {
            marked = m;
            marks++;
        }
    }
    return models == 1 ? any : marks == 1 ? marked : NULL;
}

const struct catalog_model *catalog_find(const struct catalog *c, const struct catalog_scope *scope,
                                         struct span name)
{
    if (name.len) {
        const struct catalog_model *m = by_id(c, name);
        if (m || scope->whole)
            return m && catalog_in_scope(scope, m) ? m : NULL;
    } else if (scope->whole)
        return NULL;
    char text[PREFIX_BYTES]; /* "industry/finance/", then what is looked for below it */
    int len =
        snprintf(text, sizeof text, "%s/%.*s%s", level_word(scope->level), (int)scope->segment.len,
                 scope->segment.len ? scope->segment.at : "", scope->segment.len ? "/" : "");
    if (len < 0 || (size_t)len + name.len >= sizeof text)
        return NULL;
    struct span prefix = { text, (size_t)len };
    if (!name.len) {
        const struct catalog_model *m = by_id(c, (struct span){ text, prefix.len - 1 });
        return m ? m : scope_default(c, prefix, scope->does);
    }
    memcpy(text + len, name.at, name.len);
    const struct catalog_model *m = by_id(c, (struct span){ text, prefix.len + name.len });
    return m ? m : only_short_name(c, prefix, name);
}
