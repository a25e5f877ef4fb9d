/* gateway/api_reports.c -- /v1/organizations/usage_report/messages and
 * /v1/organizations/cost_report: what api_spend.c tells, in Anthropic's shape.
 *
 * A workspace is a project.  Filters by what is the same for all (a region, tiers that are not
 * sold) find nothing rather than everything. */
#include "gateway/query.h"
#include "gateway/request.h"
#include "gateway/spend.h"
#include <string.h>

static enum verdict read_instant(struct request *r, const char *param, const char *value,
                                 int64_t *ret_us)
{
    return query_instant(value, ret_us)
               ? NEXT
               : question_bad(r, param, "a moment of RFC 3339, such as 2026-11-01T00:00:00Z");
}

static enum verdict read_start(struct request *r, const char *value, void *into)
{
    return read_instant(r, "starting_at", value, &((struct spend_question *)into)->start_us);
}

static enum verdict read_end(struct request *r, const char *value, void *into)
{
    return read_instant(r, "ending_at", value, &((struct spend_question *)into)->end_us);
}

/* What may be grouped by; the bits of costs are all that a description says. */
static const struct grouping {
    const char *name;
    unsigned usage, costs; /* enum usage_group bits; 0: not of these */
} groupings[] = {
    { "workspace_id", GROUP_PROJECT, GROUP_PROJECT },
    { "api_key_id", GROUP_KEY, 0 },
    { "model", GROUP_MODEL, 0 },
    { "service_tier", GROUP_TIER, 0 },
    { "context_window", GROUP_CONTEXT, 0 },
    { "description", 0, GROUP_METER | GROUP_TIER | GROUP_CONTEXT },
};

static enum verdict read_group(struct request *r, const char *value, void *into)
{
    struct usage_page_query *q = &((struct spend_question *)into)->page;
    bool costs = q->kind == USAGE_COSTS;
    if (!costs && strcmp(value, "inference_geo") == 0)
        return q->no_region = true, NEXT;
    for (size_t i = 0; i < sizeof groupings / sizeof *groupings; i++) {
        unsigned bits = costs ? groupings[i].costs : groupings[i].usage;
        if (bits && strcmp(value, groupings[i].name) == 0) {
            q->group |= bits;
            q->no_region |= costs && bits != GROUP_PROJECT;
            return NEXT;
        }
    }
    return question_bad(r, "group_by",
                        costs ? "workspace_id or description"
                              : "workspace_id, api_key_id, model, service_tier, context_window "
                                "or inference_geo");
}

static enum verdict read_workspaces(struct request *r, const char *value, void *into)
{
    return spend_filter_add(r, "workspace_ids", value, &((struct spend_question *)into)->projects);
}

static bool is_one_of(const char *value, const char *const *words)
{
    while (*words && strcmp(*words, value) != 0)
        words++;
    return *words;
}

static enum verdict read_tiers(struct request *r, const char *value, void *into)
{
    static const char *const words[] = {
        "standard", "batch", "priority", "priority_on_demand", "flex", "flex_discount", NULL
    };
    if (!is_one_of(value, words))
        return question_bad(r, "service_tiers",
                            "standard, batch, priority, priority_on_demand, flex or flex_discount");
    return spend_filter_add(r, "service_tiers", value, &((struct spend_question *)into)->tiers);
}

static enum verdict read_contexts(struct request *r, const char *value, void *into)
{
    static const char *const words[] = { "0-200k", "200k-1M", NULL };
    if (!is_one_of(value, words))
        return question_bad(r, "context_window", "0-200k or 200k-1M");
    return spend_filter_add(r, "context_window", value, &((struct spend_question *)into)->contexts);
}

static enum verdict read_region(struct request *r, const char *value, void *into)
{
    (void)into;
    return strcmp(value, "not_available") == 0
               ? NEXT
               : question_bad(r, "inference_geos", "not_available: no region is recorded");
}

static const struct parameter parameters[] = {
    { "starting_at", 1, false, read_start },          { "ending_at", 2, false, read_end },
    { "bucket_width", 4, false, spend_read_width },   { "group_by", 8, true, read_group },
    { "limit", 16, false, spend_read_limit },         { "page", 32, false, spend_read_page },
    { "workspace_ids", 64, true, read_workspaces },   { "api_key_ids", 128, true, spend_read_keys },
    { "models", 256, true, spend_read_models },       { "service_tiers", 512, true, read_tiers },
    { "context_window", 1024, true, read_contexts },  { "inference_geos", 2048, true, read_region },
    { "customer", 4096, false, spend_read_customer }, { 0 },
};
enum { TAKES_COSTS = 63 | 4096, TAKES_USAGE = 8191 };

static struct question *make(struct request *r, enum usage_kind kind)
{
    static const struct spend_terms terms = { "starting_at", "ending_at",
                                              "RFC 3339, such as 2026-11-01T00:00:00Z", 31 };
    struct spend_question *s = spend_new(r, SHAPE_ANTHROPIC, kind);
    unsigned takes = kind == USAGE_COSTS ? TAKES_COSTS : TAKES_USAGE;
    if (!s || question_parameters(r, parameters, takes, s) != NEXT ||
        spend_finish(r, s, &terms) != NEXT)
        return NULL;
    return &s->q;
}

static struct question *prepare_usage(struct request *r)
{
    return make(r, USAGE_COMPLETIONS);
}

static struct question *prepare_costs(struct request *r)
{
    return make(r, USAGE_COSTS);
}

enum verdict answer_usage_report(struct request *r)
{
    return question_answer(r, prepare_usage);
}

enum verdict answer_cost_report(struct request *r)
{
    return question_answer(r, prepare_costs);
}
