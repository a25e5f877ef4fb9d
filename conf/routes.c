/* conf/routes.c -- the `routes:` of a model: which backends run it, and for which requests.
 *
 * They are kept in the order of their priority, with the sums that make a draw by
 * weight cheap: routing never sorts.
 */
#include "conf/draft.h"

#define AT(field)  offsetof(struct catalog_route, field)
#define TOKENS_MAX 1000000000

static READER(read_amount);

/* clang-format off */
const struct conf_key route_keys[] = {
    { "backend", read_backend, AT(backend), "the name of a backend", 0, 0, true,
      "one of `backends`" },
    { "model", read_text, AT(model), "a name", 1, 255, true,
      "the backend's own name of the model" },
    { "weight", read_count32, AT(weight), "a number", 1, 1000, false,
      "share among routes of the same priority; 1 when not given" },
    { "priority", read_count32, AT(priority), "a number", 0, 100, false,
      "lower first; a higher one only when all lower ones are down or full; 0 when not given" },
    { "context_min", read_count, AT(context_min), "a number", 1, TOKENS_MAX, false,
      "only for requests of at least so many tokens, estimated: one for every 4 bytes of the body, "
      "and the most that the answer may have" },
    { "context_max", read_count, AT(context_max), "a number", 1, TOKENS_MAX, false,
      "only for requests of at most so many tokens, estimated like that" },
    { "cost_max", read_amount, AT(cost_max), "an amount", 0, 0, false,
      "only for requests whose hold, the most that they can cost the customer, is not more" },
    { .key = NULL }
};
/* clang-format on */

static READER(read_amount)
{
    const char *text;
    enum status status = conf_text(r, value, &text);
    if (status)
        return status;
    money_t amount;
    if (!money_parse(text, &amount) || amount.atoms <= 0)
        return conf_fail(r, value, "'%.40s' is not %s such as 0.05", text, k->expects);
    *(money_t *)field = amount;
    return STATUS_OK;
}

static enum status check_route(struct conf_reader *r, const struct yaml_node *n,
                               const struct catalog_route *routes, size_t at)
{
    const struct catalog_route *p = &routes[at];
    for (size_t i = 0; i < at; i++)
        if (routes[i].backend == p->backend && !strcmp(routes[i].model, p->model))
            return conf_fail(r, n, "is the same as routes[%zu]; use weight", i);
    if (p->context_max && p->context_min > p->context_max)
        return conf_fail(r, yaml_get(n, "context_min"), "%llu is more than context_max",
                         (unsigned long long)p->context_min);
    return STATUS_OK;
}

/* FNV-1a: the same in every process, so that a conversation's home is, too. */
static uint64_t identity(const struct catalog_route *p)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    const char *parts[] = { p->backend->name, p->model };
    for (int i = 0; i < 2; i++)
        for (const char *at = parts[i];; at++) {
            h = (h ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
            if (!*at)
                break;
        }
    return h;
}

/* By insertion: what has the same priority stays in the order of the file. */
static void sort_routes(struct catalog_route *routes, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct catalog_route moved = routes[i];
        size_t at = i;
        for (; at > 0 && routes[at - 1].priority > moved.priority; at--)
            routes[at] = routes[at - 1];
        routes[at] = moved;
    }
}

/* A rung is the routes of one priority. */
static void sum_rungs(struct catalog_route *routes, size_t count)
{
    for (size_t first = 0, end; first < count; first = end) {
        uint32_t sum = 0;
        for (end = first; end < count && routes[end].priority == routes[first].priority; end++)
            routes[end].weight_sum = sum += routes[end].weight;
        for (size_t i = first; i < end; i++)
            routes[i].rung_end = (uint32_t)end;
    }
}

READER(read_routes)
{
    struct catalog_model *m = field;
    enum status status = conf_want(r, value, YAML_LIST);
    if (status)
        return status;
    if (value->count < k->min || value->count > k->max)
        return conf_fail(r, value, "has %zu routes; expected %llu to %llu", value->count,
                         (unsigned long long)k->min, (unsigned long long)k->max);
    struct catalog_route *routes = arena_alloc(r->keep, value->count * sizeof *routes);
    if (!routes)
        return conf_no_memory(r);
    for (const struct yaml_node *n = value->first; !status && n; n = n->next) {
        struct catalog_route *p = &routes[n->at];
        p->weight = 1;
        status = conf_walk(r, n, route_keys, p);
        if (!status)
            status = check_route(r, n, routes, n->at);
        if (status)
            return status;
        p->identity = identity(p);
        p->cost = cost_of(p->backend, p->model);
        const struct price_sheet *sheet = p->cost ? p->cost->sheet : NULL;
        m->cost_facts = m->cost_facts || sheet;
        m->cost_dims |= sheet ? sheet->dims : 0;
        m->conditions = m->conditions || p->context_min || p->context_max || p->cost_max.atoms;
    }
    sort_routes(routes, value->count);
    sum_rungs(routes, value->count);
    m->routes = routes;
    m->route_count = value->count;
    return STATUS_OK;
}
