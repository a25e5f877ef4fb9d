/* gateway/spend.c -- see spend.h. */
#include "gateway/spend.h"
#include "billing/document.h"
#include "billing/minutes.h"
#include "billing/period.h"
#include "gateway/query.h"
#include "gateway/request.h"
#include <stdio.h>
#include <string.h>

#define SECONDS_MAX INT64_C(9999999999)

static enum status refuse(struct question *q, enum status s)
{
    const struct spend_question *asked = (const struct spend_question *)q;
    if (s == STATUS_CONFLICT) {
        q->param = asked->start;
        q->problem = "the requests of that time are in an archive: ask by the hour or the day";
    } else if (asked->page.width_us < HOUR_US) {
        q->param = "bucket_width";
        q->problem = "one minute has too many requests or groups to look at: ask by the hour, or "
                     "filter by project, key or model";
    } else {
        q->param = "group_by";
        q->problem = "one bucket has too many groups; filter by project, key or model";
    }
    return STATUS_BAD_FIELD;
}

static enum status find_customer(struct spend_question *s, struct db *db)
{
    struct payer payer;
    enum status status = document_customer(db, s->page.project, s->customer, &payer);
    s->page.project = payer.project;
    if (status == STATUS_NOT_FOUND) {
        s->q.param = "customer";
        s->q.problem = "nobody of that name buys from your organization";
    }
    return status;
}

/* Reader thread. */
static enum status ask(struct question *q, struct db *db)
{
    struct spend_question *of = (struct spend_question *)q;
    enum status s = of->customer ? find_customer(of, db) : STATUS_OK;
    if (s)
        return s;
    struct buf out;
    buf_init(&out, USAGE_PAGE_BYTES);
    s = usage_page(db, &((struct spend_question *)q)->page, &out);
    if (s == STATUS_OK)
        q->text = buf_take(&out, NULL);
    buf_free(&out);
    return s == STATUS_TOO_LARGE_FOR_LIMIT || s == STATUS_CONFLICT ? refuse(q, s) : s;
}

enum verdict spend_read_customer(struct request *r, const char *value, void *into)
{
    (void)r;
    ((struct spend_question *)into)->customer = value;
    return NEXT;
}

enum verdict spend_read_keys(struct request *r, const char *value, void *into)
{
    return spend_filter_add(r, "api_key_ids", value, &((struct spend_question *)into)->keys);
}

enum verdict spend_read_models(struct request *r, const char *value, void *into)
{
    return spend_filter_add(r, "models", value, &((struct spend_question *)into)->models);
}

struct spend_question *spend_new(struct request *r, enum usage_shape shape, enum usage_kind kind)
{
    struct spend_question *s = question_room(r, sizeof *s);
    if (!s)
        return NULL;
    s->q.ask = ask;
    s->q.amount_unit = kind != USAGE_COSTS ? NULL : shape == SHAPE_ANTHROPIC ? "minor" : "major";
    s->start_us = s->end_us = s->next_us = -1;
    s->page = (struct usage_page_query){
        .shape = shape,
        .project = r->key->project_id,
        .kind = kind,
        .width_us = DAY_US,
        .minor_digits = (int)r->snapshot->conf->currency_minor_digits,
    };
    return s;
}

static const struct width {
    const char *name;
    int64_t us, usual,
        most; /* buckets of a page that says nothing, and at most; 0: the terms say */
} widths[] = {
    { "1m", MINUTE_US, 60, 1440 }, { "1h", HOUR_US, 24, 168 }, { "1d", DAY_US, 7, 0 }, { 0 }
};

enum verdict spend_read_width(struct request *r, const char *value, void *into)
{
    struct usage_page_query *q = &((struct spend_question *)into)->page;
    for (const struct width *w = widths; w->name; w++)
        if (strcmp(value, w->name) == 0 && (q->kind != USAGE_COSTS || w->us == DAY_US))
            return q->width_us = w->us, NEXT;
    return question_bad(r, "bucket_width",
                        q->kind == USAGE_COSTS ? "1d: costs are by the day" : "1m, 1h or 1d");
}

enum verdict spend_read_page(struct request *r, const char *value, void *into)
{
    int64_t *next_us = &((struct spend_question *)into)->next_us, seconds;
    if (strncmp(value, "page_", 5) != 0 || !query_number(value + 5, 0, SECONDS_MAX, &seconds))
        return question_bad(r, "page", "the next_page of an earlier answer");
    *next_us = seconds * 1000000;
    return NEXT;
}

enum verdict spend_read_limit(struct request *r, const char *value, void *into)
{
    struct usage_page_query *q = &((struct spend_question *)into)->page;
    return query_number(value, 1, 1440, &q->buckets)
               ? NEXT
               : question_bad(r, "limit", "a number of buckets");
}

/* No name of ours has a character that JSON would escape. */
enum verdict spend_filter_add(struct request *r, const char *param, const char *value,
                              struct spend_filter *f)
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

static const char *closed(struct spend_filter *f)
{
    if (f->len == 0)
        return NULL;
    f->list[f->len++] = ']'; /* spend_filter_add left room for it and its NUL */
    f->list[f->len] = '\0';
    return f->list;
}

static enum verdict check_limit(struct request *r, struct usage_page_query *q,
                                const struct spend_terms *t)
{
    const struct width *w = widths;
    while (w->us != q->width_us)
        w++;
    int64_t most = w->most ? w->most : t->days_max;
    if (q->buckets == 0)
        q->buckets = w->usual;
    return q->buckets <= most
               ? NEXT
               : request_fail(r, STATUS_BAD_FIELD, "limit",
                              "'limit' must be from 1 to %lld for such buckets", (long long)most);
}

/* Whole buckets, as each of them says: the one that the start lies in is the first. */
static enum verdict check_times(struct request *r, struct spend_question *s,
                                const struct spend_terms *t)
{
    struct usage_page_query *q = &s->page;
    s->start = t->start;
    if (s->start_us < 0)
        return request_fail(r, STATUS_MISSING_FIELD, t->start, "say from when: ?%s= in %s",
                            t->start, t->in);
    q->to_us = s->end_us < 0 ? r->accepted_us : s->end_us;
    if (s->start_us >= q->to_us && s->end_us < 0)
        return question_bad(r, t->start, "in the past");
    if (s->start_us >= q->to_us)
        return request_fail(r, STATUS_BAD_FIELD, t->end, "'%s' must be later than '%s'", t->end,
                            t->start);
    q->first_us = s->start_us - s->start_us % q->width_us;
    if (s->next_us < 0)
        return NEXT;
    if (s->next_us % q->width_us || s->next_us < q->first_us || s->next_us >= q->to_us)
        return question_bad(r, "page", "the next_page of an earlier answer to the same question");
    q->first_us = s->next_us;
    return NEXT;
}

enum verdict spend_finish(struct request *r, struct spend_question *s, const struct spend_terms *t)
{
    if (check_limit(r, &s->page, t) != NEXT || check_times(r, s, t) != NEXT)
        return FAIL;
    s->page.projects = closed(&s->projects);
    s->page.keys = closed(&s->keys);
    s->page.models = closed(&s->models);
    s->page.tiers = closed(&s->tiers);
    s->page.contexts = closed(&s->contexts);
    return NEXT;
}
