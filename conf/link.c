/* conf/link.c -- models and their parents: what is inherited, and what must fit together.
 *
 * Parents are completed before their children, so a child only looks one step up.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "conf/draft.h"
#include <stdlib.h>

static int by_id(const void *a, const void *b)
{
    const struct model_draft *x = a, *y = b;
    return strcmp(x->m.id, y->m.id);
}

static enum status find_parent(struct conf_reader *r, struct model_draft *drafts, size_t count,
                               struct model_draft *d)
{
    if (!d->parent_id)
        return STATUS_OK;
    const struct model_draft wanted = { .m.id = d->parent_id };
    d->parent = bsearch(&wanted, drafts, count, sizeof *drafts, by_id);
    if (!d->parent)
        return conf_fail(r, yaml_get(d->node, "parent"), "there is no model '%.100s'",
                         d->parent_id);
    return STATUS_OK;
}

static enum status count_parents(struct conf_reader *r, struct model_draft *d)
{
    for (const struct model_draft *p = d->parent; p; p = p->parent) {
        if (p == d)
            return conf_fail(r, yaml_get(d->node, "parent"), "the model is its own ancestor");
        if (++d->depth > PARENTS_MAX)
            return conf_fail(r, yaml_get(d->node, "parent"), "more than %d parents in a row",
                             PARENTS_MAX);
    }
    return STATUS_OK;
}

static enum status no_effect(struct conf_reader *r, const struct model_draft *d, const char *key,
                             const char *why)
{
    const struct yaml_node *n = yaml_get(d->node, key);
    return n ? conf_fail_key(r, n, "'%s' has no effect: %s", key, why) : STATUS_OK;
}

static const struct {
    const char *key;
    unsigned capabilities;
    const char *why;
} key_needs[] = {
    { "context_length", CAPS_CONTEXT, "the model has only images or infer" },
    { "max_output_tokens", CAPS_TOKENS_OUT, "the model's output is not counted in tokens" },
    { "default_output_tokens", CAP_CHAT, "the model has no chat" },
    { "images_max", CAP_IMAGES, "the model has no images" },
    { "audio_bytes_per_second_min", CAPS_AUDIO_IN, "the model hears nothing" },
    { "video_ms_max", CAP_CHAT, "the model has no chat" },
    { "tokenizer", CAPS_COUNTED, "the model reads and writes no text that is billed by tokens" },
    { "recipe", CAP_CHAT, "the model has no chat" },
    { "affinity", CAP_CHAT, "the model has no chat" },
    { "tensor", CAP_INFER, "the model has no infer" },
};

static enum status complete_capabilities(struct conf_reader *r, struct model_draft *d)
{
    struct catalog_model *m = &d->m;
    if (!m->capabilities && d->parent)
        m->capabilities = d->parent->m.capabilities;
    if (!m->capabilities)
        return conf_fail(r, d->node, "'capabilities' is missing; expected a list of %s",
                         CAPABILITY_CHOICES);
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < sizeof key_needs / sizeof *key_needs; i++)
        if (!(m->capabilities & key_needs[i].capabilities))
            status = no_effect(r, d, key_needs[i].key, key_needs[i].why);
    return status;
}

static enum status complete_routes(struct conf_reader *r, struct model_draft *d)
{
    struct catalog_model *m = &d->m;
    const struct model_draft *p = d->parent;
    bool own = m->routes != NULL;
    if (!own && !p)
        return conf_fail(r, d->node, "has neither 'routes' nor 'parent'");
    if (p && (!own || m->fallback_to_parent) && (m->capabilities & ~p->m.capabilities))
        return conf_fail(r, d->node, "has a capability that its parent %s lacks", p->m.id);
    enum status status =
        p ? STATUS_OK : no_effect(r, d, "fallback_to_parent", "the model has no 'parent'");
    if (status)
        return status;
    if (own)
        return compose_check_routes(r, d);
    m->routes = p->m.routes;
    m->route_count = p->m.route_count;
    m->conditions = p->m.conditions;
    m->cost_facts = p->m.cost_facts;
    m->cost_dims = p->m.cost_dims;
    if (!yaml_get(d->node, "affinity"))
        m->affinity = p->m.affinity;
    if (m->fallback_to_parent && !p->m.fallback_to_parent)
        return no_effect(r, d, "fallback_to_parent",
                         "without 'routes' the model already runs on its parent's");
    return STATUS_OK;
}

/* After the routes and the capabilities. */
static enum status check_affinity(struct conf_reader *r, const struct model_draft *d)
{
    if (d->m.affinity == AFFINITY_PREFIX && d->m.route_count == 1)
        return no_effect(r, d, "affinity", "the model has one route");
    return STATUS_OK;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Its own number, which may not be more than `most`; else the other one, cut to it. */
static enum status complete_size(struct conf_reader *r, const struct model_draft *d,
                                 const char *key, uint64_t *own, uint64_t otherwise, uint64_t most)
{
    if (*own > most)
        return conf_fail(r, yaml_get(d->node, key), "%llu is more than %llu, all that is possible",
                         (unsigned long long)*own, (unsigned long long)most);
    if (!*own)
        *own = smaller(otherwise, most);
    return STATUS_OK;
}

/* On its parent's routes a model can do no more than its parent. */
static enum status complete_sizes(struct conf_reader *r, struct model_draft *d)
{
    struct catalog_model *m = &d->m;
    const struct catalog_model *p = d->parent ? &d->parent->m : NULL;
    bool bound = p && m->routes == p->routes;
    enum status status = STATUS_OK;
    if (m->capabilities & CAPS_CONTEXT)
        status = complete_size(r, d, "context_length", &m->context_length,
                               p && p->context_length ? p->context_length : CONTEXT_LENGTH_DEFAULT,
                               bound ? p->context_length : UINT64_MAX);
    if (!status && (m->capabilities & CAPS_TOKENS_OUT))
        status = complete_size(
            r, d, "max_output_tokens", &m->max_output_tokens,
            p && p->max_output_tokens ? p->max_output_tokens : OUTPUT_TOKENS_DEFAULT,
            bound ? smaller(p->max_output_tokens, m->context_length) : m->context_length);
    if (!status && (m->capabilities & CAP_CHAT))
        status = complete_size(r, d, "default_output_tokens", &m->default_output_tokens,
                               p && p->default_output_tokens ? p->default_output_tokens
                                                             : m->max_output_tokens,
                               m->max_output_tokens);
    if (!status && (m->capabilities & CAP_IMAGES))
        status = complete_size(r, d, "images_max", &m->images_max,
                               p && p->images_max ? p->images_max : IMAGES_MAX_DEFAULT,
                               bound ? p->images_max : UINT64_MAX);
    if (!m->tokenizer && p && (m->capabilities & CAPS_COUNTED))
        m->tokenizer = p->tokenizer;
    if (!m->video_ms_max && p && (m->capabilities & CAP_CHAT))
        m->video_ms_max = p->video_ms_max;
    if (!m->audio_bytes_per_second_min)
        m->audio_bytes_per_second_min =
            p && p->audio_bytes_per_second_min ? p->audio_bytes_per_second_min : AUDIO_RATE_DEFAULT;
    return status;
}

static enum status complete_tensor(struct conf_reader *r, struct model_draft *d)
{
    if (!d->tensor_tail && d->parent && (d->m.capabilities & CAP_INFER))
        d->tensor_tail = d->parent->tensor_tail;
    if (!d->tensor_tail)
        return STATUS_OK;
    const char *json =
        arena_printf(r->keep, "{\"name\":\"%s\",\"versions\":[\"1\"],\"platform\":\"maasgate\",%s",
                     d->m.id, d->tensor_tail);
    if (!json)
        return conf_no_memory(r);
    d->m.tensor_json = json;
    return STATUS_OK;
}

static enum status check_life(struct conf_reader *r, const struct model_draft *d)
{
    if (d->m.life == LIFE_UNAVAILABLE && !d->m.life_note[0])
        return conf_fail(r, yaml_get(d->node, "life"), "needs a 'life_note' that says why");
    if (d->m.life == LIFE_GA || d->m.life == LIFE_PREVIEW)
        return no_effect(r, d, "life_note", "the model's life is ga or preview");
    return STATUS_OK;
}

static enum status check_recipe(struct conf_reader *r, const struct model_draft *d)
{
    const struct yaml_node *recipe = yaml_get(d->node, "recipe");
    const struct yaml_node *params = recipe ? yaml_get(recipe, "params") : NULL;
    const struct yaml_node *most = params ? yaml_get(params, "max_tokens") : NULL;
    uint64_t tokens;
    if (most && value_number(CONF_COUNT, most->text, &tokens) && tokens > d->m.max_output_tokens)
        return conf_fail(r, most, "%s is more than max_output_tokens, which is %llu", most->text,
                         (unsigned long long)d->m.max_output_tokens);
    return STATUS_OK;
}

static enum status complete(struct conf_reader *r, struct model_draft *d)
{
    enum status status = complete_capabilities(r, d);
    if (!status)
        status = complete_routes(r, d);
    if (!status)
        status = check_affinity(r, d);
    if (!status)
        status = complete_sizes(r, d);
    if (!status)
        status = complete_tensor(r, d);
    if (!status)
        status = draft_price(r, d);
    if (!status)
        status = check_life(r, d);
    return status ? status : check_recipe(r, d);
}

/* Where a short name must be unique, and where one model may be the default. */
static int by_scope(const struct model_draft *a, const struct model_draft *b)
{
    enum level x = a->m.level == LEVEL_SCENE ? LEVEL_INDUSTRY : a->m.level;
    enum level y = b->m.level == LEVEL_SCENE ? LEVEL_INDUSTRY : b->m.level;
    int levels = (x > y) - (x < y);
    int domains = levels ? levels : strcmp(a->m.domain, b->m.domain);
    return domains ? domains : strcmp(a->m.industry, b->m.industry);
}

static int by_short_name(const void *a, const void *b)
{
    const struct model_draft *const *x = a, *const *y = b;
    int scopes = by_scope(*x, *y);
    int names = scopes ? scopes : strcmp((*x)->m.short_name, (*y)->m.short_name);
    return names ? names : strcmp((*x)->m.id, (*y)->m.id);
}

static enum status check_names(struct conf_reader *r, const struct model_draft *drafts,
                               size_t count)
{
    const struct model_draft **sorted = arena_alloc(r->scratch, (count + 1) * sizeof *sorted);
    if (!sorted)
        return conf_no_memory(r);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &drafts[i];
    qsort(sorted, count, sizeof *sorted, by_short_name);
    const struct model_draft *marked = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct model_draft *d = sorted[i], *before = i ? sorted[i - 1] : NULL;
        bool together = before && !by_scope(before, d);
        if (together && !strcmp(before->m.short_name, d->m.short_name))
            return conf_fail(r, d->node, "its short name '%s' is also that of %s", d->m.short_name,
                             before->m.id);
        if (!together)
            marked = NULL;
        if (d->m.scope_default && marked)
            return conf_fail(r, yaml_get(d->node, "default"), "%s is already the default here",
                             marked->m.id);
        if (d->m.scope_default)
            marked = d;
    }
    return STATUS_OK;
}

enum status drafts_link(struct conf_reader *r, struct model_draft *drafts, size_t count)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < count; i++)
        status = find_parent(r, drafts, count, &drafts[i]);
    for (size_t i = 0; !status && i < count; i++)
        status = count_parents(r, &drafts[i]);
    for (unsigned depth = 0; depth <= PARENTS_MAX; depth++)
        for (size_t i = 0; !status && i < count; i++)
            if (drafts[i].depth == depth)
                status = complete(r, &drafts[i]);
    return status ? status : check_names(r, drafts, count);
}
