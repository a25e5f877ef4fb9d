/* gateway/api_spend.c -- /v1/organization/usage/{kind} and /v1/organization/costs, in OpenAI's
 * shape, for the organization whose finance key asks.
 *
 * What the hourly sums cannot tell is refused by name: buckets of a minute, users,
 * batches, tiers, sizes. */
#include "billing/period.h"
#include "billing/usage_page.h"
#include "gateway/query.h"
#include "gateway/question.h"
#include "gateway/request.h"
#include <stdio.h>
#include <string.h>

#define SECONDS_MAX INT64_C(9999999999)
enum { FILTER_BYTES = 2048, COST_BUCKETS = 7, COST_BUCKETS_MAX = 180 };

struct filter {
    char list[FILTER_BYTES]; /* of a JSON array, its end missing */
    size_t len;
};

struct spend_question {
    struct question q;
    struct usage_page_query page;
    int64_t start_us, end_us; /* -1: not said */
    int64_t next_us;          /* of the page; -1: the first */
    struct filter projects, keys, models;
};

/* ---- reader thread ---- */

static enum status ask(struct question *q, struct db *db)
{
    struct buf out;
    buf_init(&out, USAGE_PAGE_BYTES);
    enum status s = usage_page(db, &((struct spend_question *)q)->page, &out);
    if (s == STATUS_OK)
        q->text = buf_take(&out, NULL);
    if (s == STATUS_TOO_LARGE_FOR_LIMIT) {
        q->param = "group_by";
        q->problem = "one bucket has too many groups; filter by project, key or model";
        s = STATUS_BAD_FIELD;
    }
    buf_free(&out);
    return s;
}

/* ---- the query ---- */

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

static enum verdict read_page(struct request *r, const char *value, void *into)
{
    int64_t *next_us = &((struct spend_question *)into)->next_us, seconds;
    if (strncmp(value, "page_", 5) != 0 || !query_number(value + 5, 0, SECONDS_MAX, &seconds))
        return question_bad(r, "page", "the next_page of an earlier answer");
    *next_us = seconds * 1000000;
    return NEXT;
}

static enum verdict read_width(struct request *r, const char *value, void *into)
{
    struct usage_page_query *q = &((struct spend_question *)into)->page;
    q->width_us = strcmp(value, "1h") == 0 ? HOUR_US : DAY_US;
    if (strcmp(value, "1d") == 0 || (q->kind != USAGE_COSTS && q->width_us == HOUR_US))
        return NEXT;
    return question_bad(r, "bucket_width",
                        q->kind == USAGE_COSTS
                            ? "1d: costs are by the day"
                            : "1h or 1d: sums are kept by the hour, and nothing finer can be told");
}

static enum verdict read_limit(struct request *r, const char *value, void *into)
{
    struct usage_page_query *q = &((struct spend_question *)into)->page;
    return query_number(value, 1, 1440, &q->buckets)
               ? NEXT
               : question_bad(r, "limit", "a number of buckets");
}

static enum verdict read_group(struct request *r, const char *value, void *into)
{
    struct usage_page_query *q = &((struct spend_question *)into)->page;
    bool costs = q->kind == USAGE_COSTS;
    unsigned bit = strcmp(value, "project_id") == 0           ? GROUP_PROJECT
                   : strcmp(value, "api_key_id") == 0         ? GROUP_KEY
                   : !costs && strcmp(value, "model") == 0    ? GROUP_MODEL
                   : costs && strcmp(value, "line_item") == 0 ? GROUP_METER
                                                              : 0;
    q->group |= bit;
    return bit ? NEXT
               : question_bad(r, "group_by",
                              costs
                                  ? "project_id, api_key_id or line_item: nothing else is recorded"
                                  : "project_id, api_key_id or model: nothing else is recorded");
}

/* No name of ours has a character that JSON would escape. */
static enum verdict add(struct request *r, const char *param, const char *value, struct filter *f)
{
    size_t len = strlen(value);
    if (len == 0 || strpbrk(value, "\"\\"))
        return question_bad(r, param, "a name");
    if (f->len + len + 4 >= sizeof f->list)
        return question_bad(r, param, "a shorter list: at most 2000 bytes of names");
    f->len += (size_t)snprintf(f->list + f->len, sizeof f->list - f->len, "%s\"%s\"",
                               f->len ? "," : "[", value);
    return NEXT;
}

static enum verdict read_projects(struct request *r, const char *value, void *into)
{
    return add(r, "project_ids", value, &((struct spend_question *)into)->projects);
}

static enum verdict read_keys(struct request *r, const char *value, void *into)
{
    return add(r, "api_key_ids", value, &((struct spend_question *)into)->keys);
}

static enum verdict read_models(struct request *r, const char *value, void *into)
{
    return add(r, "models", value, &((struct spend_question *)into)->models);
}

static const struct parameter parameters[] = {
    { "start_time", 1, false, read_start },     { "end_time", 2, false, read_end },
    { "bucket_width", 4, false, read_width },   { "group_by", 8, true, read_group },
    { "limit", 16, false, read_limit },         { "page", 32, false, read_page },
    { "project_ids", 64, true, read_projects }, { "api_key_ids", 128, true, read_keys },
    { "models", 256, true, read_models },       { 0 },
};
enum { TAKES_COSTS = 255, TAKES_USAGE = 511 };

static const char *closed(struct filter *f)
{
    if (f->len == 0)
        return NULL;
    f->list[f->len++] = ']'; /* add() left room for it and its NUL */
    f->list[f->len] = '\0';
    return f->list;
}

/* OpenAI's numbers: of a page without `limit`, and at most. */
static enum verdict check_limit(struct request *r, struct usage_page_query *q)
{
    bool hours = q->width_us == HOUR_US, costs = q->kind == USAGE_COSTS;
    int64_t most = costs ? COST_BUCKETS_MAX : hours ? 168 : 31;
    if (q->buckets == 0)
        q->buckets = costs ? COST_BUCKETS : hours ? 24 : 7;
    return q->buckets <= most
               ? NEXT
               : request_fail(r, STATUS_BAD_FIELD, "limit",
                              "'limit' must be from 1 to %lld for such buckets", (long long)most);
}

/* Whole buckets, as each of them says: the one that start_time lies in is the first. */
static enum verdict check_times(struct request *r, struct spend_question *s)
{
    struct usage_page_query *q = &s->page;
    if (s->start_us < 0)
        return request_fail(r, STATUS_MISSING_FIELD, "start_time",
                            "say from when: ?start_time= in Unix seconds");
    q->to_us = s->end_us < 0 ? r->accepted_us : s->end_us;
    if (s->start_us >= q->to_us)
        return question_bad(r, s->end_us < 0 ? "start_time" : "end_time",
                            s->end_us < 0 ? "in the past" : "later than 'start_time'");
    q->first_us = s->start_us - s->start_us % q->width_us;
    if (s->next_us < 0)
        return NEXT;
    if (s->next_us % q->width_us || s->next_us < q->first_us || s->next_us >= q->to_us)
        return question_bad(r, "page", "the next_page of an earlier answer to the same question");
    q->first_us = s->next_us;
    return NEXT;
}

static struct question *make(struct request *r, enum usage_kind kind)
{
    struct spend_question *s = question_room(r, sizeof *s);
    if (!s)
        return NULL;
    s->q.ask = ask;
    s->start_us = s->end_us = s->next_us = -1;
    s->page = (struct usage_page_query){ .catalog = r->snapshot->catalog,
                                         .project = r->key->project_id,
                                         .kind = kind,
                                         .width_us = DAY_US };
    unsigned takes = kind == USAGE_COSTS ? TAKES_COSTS : TAKES_USAGE;
    if (question_parameters(r, parameters, takes, s) != NEXT || check_limit(r, &s->page) != NEXT ||
        check_times(r, s) != NEXT)
        return NULL;
    s->page.projects = closed(&s->projects);
    s->page.keys = closed(&s->keys);
    s->page.models = closed(&s->models);
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
