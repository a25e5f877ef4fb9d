/* gateway/api_spend.c -- /v1/organization/usage/{kind} and /v1/organization/costs, in OpenAI's
 * shape, for the organization whose finance key asks.
 *
 * What the stored sums cannot tell is refused by name: users, batches, sizes. */
#include "gateway/query.h"
#include "gateway/request.h"
#include "gateway/spend.h"
#include <string.h>

#define SECONDS_MAX INT64_C(9999999999)

static enum verdict read_seconds(struct request *r, const char *param, const char *value,
                                 int64_t *ret_us)
{
    int64_t seconds;
    if (!query_number(value, 0, SECONDS_MAX, &seconds))
        return question_bad(r, param, "Unix seconds");
    *ret_us = seconds * 1000000;
    return NEXT;
}

static enum verdict read_start(struct request *r, const char *value, void *into)
{
    return read_seconds(r, "start_time", value, &((struct spend_question *)into)->start_us);
}

static enum verdict read_end(struct request *r, const char *value, void *into)
{
    return read_seconds(r, "end_time", value, &((struct spend_question *)into)->end_us);
}

/* What may be grouped by, of which kinds. */
static const struct grouping {
    const char *name;
    unsigned bit;
    bool usage, costs, completions; /* the last: of no other kind of usage */
} groupings[] = {
    { "project_id", GROUP_PROJECT, true, true, false },
    { "api_key_id", GROUP_KEY, true, true, false },
    { "model", GROUP_MODEL, true, false, false },
    { "line_item", GROUP_METER, false, true, false },
    { "service_tier", GROUP_TIER, true, false, true },
};

static enum verdict read_group(struct request *r, const char *value, void *into)
{
    struct usage_page_query *q = &((struct spend_question *)into)->page;
    bool costs = q->kind == USAGE_COSTS;
    for (size_t i = 0; i < sizeof groupings / sizeof *groupings; i++) {
        const struct grouping *g = &groupings[i];
        if (strcmp(value, g->name) != 0 || !(costs ? g->costs : g->usage) ||
            (g->completions && q->kind != USAGE_COMPLETIONS))
            continue;
        q->group |= g->bit;
        return NEXT;
    }
    return question_bad(r, "group_by",
                        costs ? "project_id, api_key_id or line_item: nothing else is recorded"
                              : "project_id, api_key_id, model or, of completions, service_tier: "
                                "nothing else is recorded");
}

static enum verdict read_projects(struct request *r, const char *value, void *into)
{
    return spend_filter_add(r, "project_ids", value, &((struct spend_question *)into)->projects);
}

static const struct parameter parameters[] = {
    { "start_time", 1, false, read_start },
    { "end_time", 2, false, read_end },
    { "bucket_width", 4, false, spend_read_width },
    { "group_by", 8, true, read_group },
    { "limit", 16, false, spend_read_limit },
    { "page", 32, false, spend_read_page },
    { "project_ids", 64, true, read_projects },
    { "api_key_ids", 128, true, spend_read_keys },
    { "models", 256, true, spend_read_models },
    { "customer", 512, false, spend_read_customer },
    { 0 },
};
enum { TAKES_COSTS = 767, TAKES_USAGE = 1023 };

static struct question *make(struct request *r, enum usage_kind kind)
{
    static const struct spend_terms usage = { "start_time", "end_time", "Unix seconds", 31 };
    static const struct spend_terms costs = { "start_time", "end_time", "Unix seconds", 180 };
    bool is_cost = kind == USAGE_COSTS;
    struct spend_question *s = spend_new(r, SHAPE_OPENAI, kind);
    if (!s || question_parameters(r, parameters, is_cost ? TAKES_COSTS : TAKES_USAGE, s) != NEXT ||
        spend_finish(r, s, is_cost ? &costs : &usage) != NEXT)
        return NULL;
    return &s->q;
}

static struct question *prepare_usage(struct request *r)
{
    const char *name = arena_memdup(r->arena, r->target.model.at, r->target.model.len);
    enum usage_kind kind = name ? usage_kind_find(name) : USAGE_KIND_COUNT;
    if (kind != USAGE_KIND_COUNT)
        return make(r, kind);
    (void)request_fail(r, STATUS_NOT_FOUND, NULL,
                       "usage is of completions, embeddings, moderations, "
                       "images, audio_speeches or audio_transcriptions");
    return NULL;
}

static struct question *prepare_costs(struct request *r)
{
    return make(r, USAGE_COSTS);
}

enum verdict answer_spend(struct request *r)
{
    return question_answer(r, prepare_usage);
}

enum verdict answer_costs(struct request *r)
{
    return question_answer(r, prepare_costs);
}
