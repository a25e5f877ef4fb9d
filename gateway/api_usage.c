/* gateway/api_usage.c -- GET /v1/usage: what one's own key has used.
 *
 * ?from= and ?to= are Unix seconds (whole hours are reported; default: this month
 * until now), ?group_by= is model (default) or day. */
#include "billing/period.h"
#include "billing/report.h"
#include "gateway/query.h"
#include "gateway/question.h"
#include "gateway/request.h"
#include <limits.h>

#define SECONDS_MAX INT64_C(99999999999)

struct usage_question {
    struct question q;
    struct usage_query query;
};

static enum status ask(struct question *q, struct db *db)
{
    json_t *report = NULL;
    enum status s = report_usage(db, &((struct usage_question *)q)->query, &report);
    q->text = s == STATUS_OK ? json_dumps(report, JSON_COMPACT) : NULL;
    json_decref(report);
    return s;
}

static enum verdict read_seconds(struct request *r, const char *param, const char *value,
                                 int64_t *ret_us)
{
    int64_t seconds;
    if (!query_number(value, 0, SECONDS_MAX, &seconds))
        return question_bad(r, param, "Unix seconds");
    *ret_us = seconds * 1000000;
    return NEXT;
}

static enum verdict read_from(struct request *r, const char *value, void *into)
{
    return read_seconds(r, "from", value, &((struct usage_query *)into)->from_us);
}

static enum verdict read_to(struct request *r, const char *value, void *into)
{
    return read_seconds(r, "to", value, &((struct usage_query *)into)->to_us);
}

static enum verdict read_group(struct request *r, const char *value, void *into)
{
    ((struct usage_query *)into)->group_by = value;
    return strcmp(value, "model") == 0 || strcmp(value, "day") == 0
               ? NEXT
               : question_bad(r, "group_by", "'model' or 'day'");
}

static const struct parameter parameters[] = { { "from", 1, false, read_from },
                                               { "to", 2, false, read_to },
                                               { "group_by", 4, false, read_group },
                                               { 0 } };

static enum verdict read_query(struct request *r, struct usage_query *q)
{
    int64_t month_end_us;
    period_month(r->accepted_us, &q->from_us, &month_end_us);
    q->to_us = period_hour(r->accepted_us) + HOUR_US;
    q->key_id = r->key->key_id;
    q->project_id = r->key->project_id;
    q->group_by = "model";
    q->limit = 10000;
    if (question_parameters(r, parameters, UINT_MAX, q) != NEXT)
        return FAIL;
    q->from_us = period_hour(q->from_us);
    q->to_us = period_hour(q->to_us + HOUR_US - 1);
    return q->from_us < q->to_us ? NEXT : question_bad(r, "to", "later than 'from'");
}

static struct question *prepare(struct request *r)
{
    struct usage_question *u = question_room(r, sizeof *u);
    if (!u || read_query(r, &u->query) != NEXT)
        return NULL;
    u->q.ask = ask;
    return &u->q;
}

enum verdict answer_usage(struct request *r)
{
    return question_answer(r, prepare);
}
