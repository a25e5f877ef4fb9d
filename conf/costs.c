/* conf/costs.c -- the `costs:` of a backend: what its models cost us.
 *
 * They are read and kept as the prices of a model that is sold are, and become a book of
 * their own, so that a call is rated by the same evaluator and audited by the same text. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "conf/price_draft.h"

enum { COST_TEXT_MAX = 64 << 20 };

/* What a book of prices needs of a name: no blank, nothing that ends a line. */
static bool name_ok(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] <= 0x20 || (unsigned char)name[i] == 0x7f)
            return false;
    return len >= 1 && len <= 255;
}

/* A count of what was used before would have to be kept for each backend: nothing does. */
static enum status read_cost(struct conf_reader *r, const struct yaml_node *n,
                             const struct catalog_backend *b, struct catalog_model *m)
{
    if (!name_ok(n->key))
        return conf_fail_key(r, n, "'%.80s' is no name of a model: it may have no blanks", n->key);
    *m = (struct catalog_model){ .capabilities = CAPS_ALL };
    m->id = arena_printf(r->keep, "@%s/%s", b->name, n->key);
    m->short_name = arena_strdup(r->keep, n->key);
    if (!m->id || !m->short_name)
        return conf_no_memory(r);
    enum status status = prices_read(r, n, m);
    if (!status && m->sheet && m->sheet->periodic)
        return conf_fail(r, n,
                         "what a call costs cannot depend on the calls before it; expected prices "
                         "by the unit, or flat for each request");
    return status;
}

READER(read_costs)
{
    struct catalog_backend *b = field;
    enum status status = conf_want(r, value, YAML_MAP);
    if (status)
        return status;
    if (value->count < k->min || value->count > k->max)
        return conf_fail(r, value, "has %zu models; expected %llu to %llu", value->count,
                         (unsigned long long)k->min, (unsigned long long)k->max);
    struct catalog_model *costs = arena_alloc(r->keep, value->count * sizeof *costs);
    if (!costs)
        return conf_no_memory(r);
    for (const struct yaml_node *n = value->first; !status && n; n = n->next)
        status = read_cost(r, n, b, &costs[n->at]);
    b->costs = costs;
    b->cost_count = value->count;
    return status;
}

const struct catalog_model *cost_of(const struct catalog_backend *b, const char *model)
{
    for (size_t i = 0; i < b->cost_count; i++)
        if (strcmp(b->costs[i].short_name, model) == 0)
            return &b->costs[i];
    return NULL;
}

static bool is_used(const struct catalog *c, const struct catalog_model *cost)
{
    for (size_t i = 0; i < c->model_count; i++)
        for (size_t k = 0; k < c->models[i].route_count; k++)
            if (c->models[i].routes[k].cost == cost)
                return true;
    return false;
}

static enum status check_used(struct conf_reader *r, const struct yaml_node *map,
                              const struct catalog *c, const struct catalog_backend *b)
{
    const struct yaml_node *own = yaml_get(map, b->name);
    for (size_t i = 0; i < b->cost_count; i++)
        if (!is_used(c, &b->costs[i]))
            return conf_fail_key(r, yaml_get(yaml_get(own, "costs"), b->costs[i].short_name),
                                 "the cost of '%s' has no effect: no route leads to it",
                                 b->costs[i].short_name);
    return STATUS_OK;
}

enum status costs_seal(struct conf_reader *r, const struct yaml_node *map, struct catalog *c)
{
    AUTO(buf_free) struct buf b;
    buf_init(&b, COST_TEXT_MAX);
    enum status status = STATUS_OK;
    c->cost_text = "";
    for (size_t i = 0; i < c->backend_count && !status; i++)
        status = check_used(r, map, c, &c->backends[i]);
    if (status)
        return status;
    for (size_t i = 0; i < c->backend_count; i++)
        for (size_t k = 0; k < c->backends[i].cost_count; k++)
            if ((b.len == 0 && !buf_printf(&b, "currency %s book costs\n", c->currency)) ||
                !prices_write(&b, &c->backends[i].costs[k]))
                return conf_no_memory(r);
    if (b.len == 0)
        return STATUS_OK;
    c->cost_text = conf_keep(r, &b);
    if (!c->cost_text)
        return conf_no_memory(r);
    digest_sha256(b.at, b.len, c->cost_sha256);
    return STATUS_OK;
}
