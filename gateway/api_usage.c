/* gateway/api_usage.c -- GET /v1/usage: what one's own key has used.
 *
 * ?from= and ?to= are Unix seconds (whole hours are reported; default: this month
 * until now), ?group_by= is model (default) or day.  Asked of the reader thread. */
#include "base/log.h"
#include "billing/report.h"
#include "gateway/ask_ledger.h"
#include "gateway/request.h"
#include <stdlib.h>
#include <time.h>

#define HOUR_US INT64_C(3600000000)

struct usage_job {
    struct reader_op op;
    struct usage_query query;
    struct request *request;
    json_t *report;
};

static enum status run(struct reader_op *op, struct db *db)
{
    struct usage_job *job = (struct usage_job *)op;
    return report_usage(db, &job->query, &job->report);
}

static void done(struct reader_op *op)
{
    ask_answered(((struct usage_job *)op)->request);
}

static int64_t month_start_us(int64_t now_us)
{
    time_t now = (time_t)(now_us / 1000000);
    struct tm tm;
    gmtime_r(&now, &tm);
    tm.tm_mday = 1;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    return (int64_t)timegm(&tm) * 1000000;
}

static bool parse_seconds(struct span v, int64_t *ret_us)
{
    int64_t n = 0;
    if (v.len == 0 || v.len > 11)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (v.at[i] < '0' || v.at[i] > '9')
            return false;
        n = n * 10 + (v.at[i] - '0');
    }
    *ret_us = n * 1000000;
    return true;
}

static struct span next_pair(struct span *query, struct span *ret_value)
{
    const char *end = memchr(query->at, '&', query->len);
    struct span pair = { query->at, end ? (size_t)(end - query->at) : query->len };
    size_t skip = pair.len + (end != NULL);
    query->at += skip;
    query->len -= skip;
    const char *eq = memchr(pair.at, '=', pair.len);
    size_t name = eq ? (size_t)(eq - pair.at) : pair.len;
    *ret_value = eq ? (struct span){ eq + 1, pair.len - name - 1 } : (struct span){ "", 0 };
    return (struct span){ pair.at, name };
}

static enum verdict bad(struct request *r, const char *param, const char *expected)
{
    return request_fail(r, STATUS_BAD_FIELD, param, "'%s' must be %s", param, expected);
}

static enum verdict read_query(struct request *r, struct usage_query *q)
{
    struct span rest = r->in.query, value;
    q->from_us = month_start_us(r->accepted_us);
    q->to_us = r->accepted_us / HOUR_US * HOUR_US + HOUR_US;
    q->key_id = r->key->key_id;
    q->group_by = "model";
    q->limit = 10000;
    while (rest.len > 0) {
        struct span name = next_pair(&rest, &value);
        if (span_is(name, "from") && !parse_seconds(value, &q->from_us))
            return bad(r, "from", "Unix seconds");
        if (span_is(name, "to") && !parse_seconds(value, &q->to_us))
            return bad(r, "to", "Unix seconds");
        if (span_is(name, "group_by") && !span_is(value, "model") && !span_is(value, "day"))
            return bad(r, "group_by", "'model' or 'day'");
        if (span_is(name, "group_by"))
            q->group_by = span_is(value, "day") ? "day" : "model";
        if (!span_is(name, "from") && !span_is(name, "to") && !span_is(name, "group_by"))
            return request_fail(r, STATUS_UNSUPPORTED_FIELD, NULL,
                                "the parameters are 'from', 'to' and 'group_by'");
    }
    q->from_us = q->from_us / HOUR_US * HOUR_US;
    q->to_us = (q->to_us + HOUR_US - 1) / HOUR_US * HOUR_US;
    return q->from_us < q->to_us ? NEXT : bad(r, "to", "later than 'from'");
}

static enum verdict submit(struct request *r)
{
    struct usage_job *job = calloc(1, sizeof *job);
    if (!job)
        return request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
    if (read_query(r, &job->query) != NEXT) {
        free(job);
        return FAIL;
    }
    job->op = (struct reader_op){ .run = run, .done = done };
    job->request = r;
    r->usage_job = job;
    r->asked = ASKED_WAITING;
    enum status s = reader_submit(r->loop->daemon->reader, &job->op);
    if (s == STATUS_OK)
        return WAIT;
    r->asked = ASKED_NOT;
    r->usage_job = NULL;
    free(job);
    r->answer.retry_after_ms = 1000;
    return request_fail(r, s, NULL, NULL);
}

static enum verdict deliver(struct request *r)
{
    struct usage_job *job = r->usage_job;
    enum status s = job->op.status;
    char *text = s == STATUS_OK ? json_dumps(job->report, JSON_COMPACT) : NULL;
    bool ok = text && buf_text(&r->answer.body, text);
    free(text);
    json_decref(job->report);
    free(job);
    r->usage_job = NULL;
    r->asked = ASKED_NOT;
    return ok ? FAIL : request_fail(r, s == STATUS_OK ? STATUS_NO_MEMORY : s, NULL, NULL);
}

enum verdict answer_usage(struct request *r)
{
    if (r->asked == ASKED_WAITING)
        return WAIT;
    return r->asked == ASKED_ANSWERED ? deliver(r) : submit(r);
}
