/* conf/models.c -- the `models:` map: what can be called, entry by entry. */
#include "base/cleanup.h"
#include "conf/draft.h"
#include <stdlib.h>

#define AT(field)  offsetof(struct model_draft, field)
#define TOKENS_MAX 1000000000

/* clang-format off */
const struct conf_key top_keys[] = {
    { "backends", read_backends, 0, "a map of names", 0, 0, false,
      "where models run; each has at least one route to it" },
    { "alerts", read_alerts, 0, "a map", 0, 0, false,
      "who is told by webhook that a budget, a credit or a prepaid fund runs low" },
    { "egress_allow", read_egress, offsetof(struct catalog, egress), "a list of ranges", 0, 256,
      false,
      "addresses that may be connected to, e.g. [10.0.0.0/8, fd00::/8]; when not given all but "
      "link-local, metadata, multicast and reserved ones, which need an entry of their own" },
    { "tokenizers", read_tokenizers, 0, "a map of names", 0, 0, false,
      "how the gateway itself counts tokens; each is named by at least one model" },
    { "models", read_models, 0, "a map of ids", 0, 0, false,
      "what can be called; ids are base/NAME, domain/DOMAIN/NAME, industry/INDUSTRY/NAME "
      "and, for a scene, industry/INDUSTRY/SCENE/NAME" },
    { "price_book", read_text, offsetof(struct catalog, price_book), "a name", 1, 64, false,
      "name of these prices in the ledger and on invoices; `default` when not given" },
    { .key = NULL }
};

const struct conf_key model_keys[] = {
    { "description", read_lines, AT(m.description), "a text", 0, 1024, false,
      "for people, in the list of models" },
    { "owned_by", read_text, AT(m.owned_by), "a text", 1, 64, false,
      "as the list of models says; `maasgate` when not given" },
    { "capabilities", read_choices, AT(m.capabilities), CAPABILITY_CHOICES, 1,
      CAPABILITY_COUNT,
      false, "list of what it can be asked for; the parent's when not given" },
    { "created", read_date, AT(m.created), "a date such as 2026-11-24", 0, 0, false,
      "as the list of models says" },
    { "context_length", read_count, AT(m.context_length), "a number", 1, TOKENS_MAX, false,
      "most tokens of input and output together, as clients are told; a longer chat is refused here only where a tokenizer holds by its count; the parent's, else 131072" },
    { "max_output_tokens", read_count, AT(m.max_output_tokens), "a number", 1, TOKENS_MAX, false,
      "most tokens of output; the parent's, else 8192, at most the context" },
    { "default_output_tokens", read_count, AT(m.default_output_tokens), "a number", 1, TOKENS_MAX,
      false, "chat: when the request sets no limit; the parent's, else max_output_tokens" },
    { "images_max", read_count, AT(m.images_max), "a number", 1, 100, false,
      "most images of one request; the parent's, else 10" },
    { "audio_bytes_per_second_min", read_count, AT(m.audio_bytes_per_second_min), "a number", 100,
      1000000, false,
      "transcription, translation: a file whose length cannot be measured is held for as if it had "
      "a second in so many bytes; the parent's, else 1000" },
    { "video_ms_max", read_count, AT(m.video_ms_max), "a number", 1, 86400000, false,
      "chat: most milliseconds of film that one request may be charged for, and what is held for "
      "them; needed where `video_ms` has a price; the parent's when not given" },
    { "life", read_choice, AT(m.life), "preview|ga|deprecated|retired|unavailable", 0, 0, false,
      "where it is in its life; `ga` when not given" },
    { "life_note", read_text, AT(m.life_note), "a text", 1, 200, false,
      "why it is unavailable (then required), or what replaces it" },
    { "default", read_bool, AT(m.scope_default), "true|false", 0, 0, false,
      "is meant when a request under its level or industry names no model and more than one does its work" },
    { "parent", read_text, AT(parent_id), "the id of a model", 1, MODEL_ID_BYTES_MAX, false,
      "what it is made of: without `routes` of its own it runs on its parent's, and what it "
      "does not say (also the whole `price`) is as its parent's; never the recipe" },
    { "fallback_to_parent", read_bool, AT(m.fallback_to_parent), "true|false", 0, 0, false,
      "when its own backends are down its parent answers" },
    { "recipe", read_recipe, AT(m.recipe), "a map", 0, 0, false,
      "chat: instructions and parameters put into every request" },
    { "routes", read_routes, AT(m), "a list", 1, ROUTES_MAX, false,
      "the backends that run it" },
    { "affinity", read_choice, AT(m.affinity), "none|prefix", 0, 0, false,
      "chat: `prefix` sends the turns of a conversation to the same backend while it has room, "
      "for the sake of its cache; the parent's on the parent's routes, else none" },
    { "tokenizer", read_tokenizer, AT(m.tokenizer), "a name", 0, 0, false,
      "chat, completions, embeddings: the gateway counts tokens, too, and bills no more than it "
      "can understand; the parent's when not given" },
    { "price", read_node, AT(price), "a map of meters", 0, 0, false,
      "what it costs, by meter; needed for each capability unless all of it is the parent's" },
    { "tensor", read_tensor, AT(tensor_tail), "a map", 0, 0, false,
      "infer: metadata in the words of the Open Inference Protocol" },
    { .key = NULL }
};
/* clang-format on */

READER(read_choices)
{
    enum status status = conf_want(r, value, YAML_LIST);
    if (status)
        return status;
    if (!value->count)
        return conf_fail(r, value, "is empty; expected some of %s", k->expects);
    unsigned bits = 0;
    for (const struct yaml_node *n = value->first; n; n = n->next) {
        unsigned bit;
        status = read_choice(r, k, n, &bit);
        if (status)
            return status;
        if (bits & 1u << bit)
            return conf_fail(r, n, "'%s' is given twice", n->text);
        bits |= 1u << bit;
    }
    *(unsigned *)field = bits;
    return STATUS_OK;
}

/* Words with a meaning of their own in a URL: no level and no model may be called so. */
static bool reserved(const char *segment, size_t len)
{
    static const char *const words[] = { "v1",         "v2",        "v1beta", "v1alpha",  "api",
                                         "openai",     "anthropic", "rerank", "tokenize", "metrics",
                                         "detokenize", "healthz",   "readyz", "console",  "admin" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (span_is((struct span){ segment, len }, words[i]))
            return true;
    return false;
}

static enum status check_segments(struct conf_reader *r, const struct yaml_node *n, size_t *ret)
{
    size_t segments = 0;
    for (const char *at = n->key;; at++) {
        size_t len = strcspn(at, "/");
        if (!value_segment(at, len))
            return conf_fail_key(r, n,
                                 "'%.100s' is not a model id: each part is "
                                 "[a-z0-9][a-z0-9._-]{0,62}",
                                 n->key);
        if (reserved(at, len))
            return conf_fail_key(r, n, "'%.100s' is not a model id: '%.*s' is a reserved word",
                                 n->key, (int)len, at);
        segments++;
        at += len;
        if (!*at)
            break;
    }
    *ret = segments;
    return STATUS_OK;
}

static enum status second_segment(struct conf_reader *r, const char *id, const char **ret)
{
    const char *begin = strchr(id, '/') + 1;
    const char *copy = arena_memdup(r->keep, begin, strcspn(begin, "/"));
    if (!copy)
        return conf_no_memory(r);
    *ret = copy;
    return STATUS_OK;
}

enum status id_read(struct conf_reader *r, const struct yaml_node *n, struct catalog_model *m)
{
    size_t segments = 0;
    enum status status =
        strlen(n->key) > MODEL_ID_BYTES_MAX
            ? conf_fail_key(r, n, "the id is longer than %d bytes", MODEL_ID_BYTES_MAX)
            : check_segments(r, n, &segments);
    if (status)
        return status;
    m->id = arena_strdup(r->keep, n->key);
    if (!m->id)
        return conf_no_memory(r);
    m->short_name = strrchr(m->id, '/') ? strrchr(m->id, '/') + 1 : m->id;
    m->domain = m->industry = "";
    if (!strncmp(m->id, "base/", 5) && segments == 2) {
        m->level = LEVEL_BASE;
        return STATUS_OK;
    }
    if (!strncmp(m->id, "domain/", 7) && segments == 3) {
        m->level = LEVEL_DOMAIN;
        return second_segment(r, m->id, &m->domain);
    }
    if (!strncmp(m->id, "industry/", 9) && segments >= 3 && segments <= 6) {
        m->level = segments == 3 ? LEVEL_INDUSTRY : LEVEL_SCENE;
        return second_segment(r, m->id, &m->industry);
    }
    return conf_fail_key(r, n,
                         "'%.100s' is not a model id; expected base/NAME, domain/DOMAIN/NAME, "
                         "industry/INDUSTRY/NAME or industry/INDUSTRY/SCENE/NAME",
                         n->key);
}

static enum status read_draft(struct conf_reader *r, const struct yaml_node *n,
                              struct model_draft *d)
{
    d->node = n;
    d->m.description = d->m.life_note = d->m.tensor_json = "";
    d->m.owned_by = "maasgate";
    d->m.life = LIFE_GA;
    enum status status = id_read(r, n, &d->m);
    return status ? status : conf_walk(r, n, model_keys, d);
}

static int by_id(const void *a, const void *b)
{
    const struct model_draft *x = a, *y = b;
    return strcmp(x->m.id, y->m.id);
}

/* Drafts and models have the same order, so a parent is found by its draft's position. */
static enum status publish(struct conf_reader *r, const struct model_draft *drafts, size_t count,
                           struct catalog *c)
{
    struct catalog_model *models = arena_alloc(r->keep, (count + 1) * sizeof *models);
    if (!models)
        return conf_no_memory(r);
    for (size_t i = 0; i < count; i++) {
        models[i] = drafts[i].m;
        models[i].index = (unsigned)i;
        if (drafts[i].parent)
            models[i].parent = &models[drafts[i].parent - drafts];
    }
    c->models = models;
    c->model_count = count;
    return STATUS_OK;
}

READER(read_models)
{
    (void)k;
    enum status status = conf_want(r, value, YAML_MAP);
    if (status)
        return status;
    if (value->count > MODELS_MAX)
        return conf_fail(r, value, "has %zu models; at most %d", value->count, MODELS_MAX);
    struct model_draft *drafts = arena_alloc(r->scratch, (value->count + 1) * sizeof *drafts);
    if (!drafts)
        return conf_no_memory(r);
    for (const struct yaml_node *n = value->first; !status && n; n = n->next)
        status = read_draft(r, n, &drafts[n->at]);
    if (status)
        return status;
    qsort(drafts, value->count, sizeof *drafts, by_id);
    status = drafts_link(r, drafts, value->count);
    return status ? status : publish(r, drafts, value->count, field);
}

enum status catalog_complete(struct conf_reader *r, const struct yaml_node *root, struct catalog *c)
{
    const struct yaml_node *book = yaml_get(root, "price_book");
    if (book && r->unpriced)
        return conf_fail_key(r, book, "'price_book' has no effect: price_source is published");
    if (!c->price_book)
        c->price_book = r->unpriced ? "" : "default";
    const struct yaml_node *backends = yaml_get(root, "backends");
    enum status status = egress_check(r, backends, &c->egress);
    if (!status)
        status = alerts_check(r, yaml_get(root, "alerts"), c);
    if (!status)
        status = backends_used(r, backends);
    if (!status)
        status = costs_seal(r, backends, c);
    if (!status)
        status = tokenizers_used(r, yaml_get(root, "tokenizers"), c);
    return status ? status : prices_seal(r, c);
}
