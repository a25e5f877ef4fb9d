/* gateway/api_margin.c -- GET /billing/v1/margin?month=: what models and customers bring, less what
 * backends cost.  It is the operator's own: finance keys of the organization that the setting
 * house_organization names may ask.  A reseller's get its own: what its customers bring, less what it
 * pays. */
#include "billing/margin.h"
#include "billing/report.h"
#include "gateway/question.h"
#include "gateway/request.h"
#include <limits.h>

struct margin_question {
    struct question q;
    struct margin_query query;
    int64_t project;
    const char *house; /* the snapshot's */
};

static enum status ask(struct question *q, struct db *db)
{
    struct margin_question *m = (struct margin_question *)q;
    json_t *report = NULL;
    enum status s = margin_whose(db, m->project, m->house, &m->query.reseller);
    if (s == STATUS_FORBIDDEN)
        q->problem = "margins are told to finance keys of resellers, and of the organization that "
                     "the setting house_organization names";
    if (!s)
        s = margin_report(db, &m->query, &report);
    if (s == STATUS_TOO_LARGE_FOR_LIMIT) {
        q->param = "group_by";
        q->problem = "more than 10000 rows: group by model or by organization";
        s = STATUS_BAD_FIELD;
    }
    q->text = s ? NULL : json_dumps(report, JSON_COMPACT);
    json_decref(report);
    return s ? s : q->text ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum verdict read_month(struct request *r, const char *value, void *into)
{
    struct margin_query *m = &((struct margin_question *)into)->query;
    return report_month(value, &m->from_us, &m->to_us)
               ? NEXT
               : question_bad(r, "month", "a month such as 2026-11");
}

static enum verdict read_group(struct request *r, const char *value, void *into)
{
    return margin_group(value, &((struct margin_question *)into)->query.group)
               ? NEXT
               : question_bad(r, "group_by", "model, organization or model,organization");
}

static const struct parameter parameters[] = { { "month", 1, false, read_month },
                                               { "group_by", 2, false, read_group },
                                               { 0 } };

static struct question *prepare(struct request *r)
{
    struct margin_question *m = question_room(r, sizeof *m);
    if (!m)
        return NULL;
    m->q.ask = ask;
    m->project = r->key->project_id;
    m->house = r->snapshot->conf->house_organization;
    m->query.group = MARGIN_BY_MODEL | MARGIN_BY_ORGANIZATION;
    if (question_parameters(r, parameters, UINT_MAX, m) != NEXT)
        return NULL;
    if (m->query.to_us == 0) {
        (void)request_fail(r, STATUS_MISSING_FIELD, "month", "say of which month: ?month=2026-11");
        return NULL;
    }
    return &m->q;
}

enum verdict answer_margin(struct request *r)
{
    return question_answer(r, prepare);
}
