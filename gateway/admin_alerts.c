/* gateway/admin_alerts.c -- see admin_alerts.h. */
#include "gateway/admin_alerts.h"
#include "billing/alert_due.h"
#include "gateway/admin_spec.h"
#include "gateway/courier.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ALERT_ROWS = 100, ALERT_ROWS_MAX = 10000 };

const struct json_spec admin_alert_list_args[] = {
    TEXT(name, false, 63),
    TEXT(state, false, 16),
    TEXT(organization, false, 200),
    COUNT(limit, ALERT_ROWS_MAX),
    END,
};
const struct json_spec admin_redeliver_args[] = {
    TEXT(alert, true, ALERT_ID_BYTES),
    TEXT(name, false, 63),
    END,
};

static bool is_state(const char *text)
{
    return !text || !strcmp(text, "waiting") || !strcmp(text, "delivered") ||
           !strcmp(text, "given_up");
}

enum status run_alert_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    const struct alert_query q = { .webhook = a->name,
                                   .state = a->state,
                                   .organization = a->organization,
                                   .limit = a->limit ? a->limit : ALERT_ROWS };
    (void)now_us;
    if (!is_state(a->state))
        return admin_refuse(job, STATUS_BAD_FIELD, "state",
                            "'%s' is none of waiting, delivered, given_up", a->state);
    enum status s = alert_list(db, &q, &job->result);
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "organization", "there is no organization '%s'",
                            a->organization);
    return s;
}

/* "12", or the event's own id, which ends with it. */
static bool read_alert(const char *text, int64_t *ret)
{
    bool is_id = strncmp(text, "evt_", 4) == 0 && strlen(text) == 4 + 32;
    const char *digits = is_id ? text + 4 + 16 : text;
    char *end;
    if (strspn(digits, is_id ? "0123456789abcdef" : "0123456789") != strlen(digits))
        return false;
    errno = 0;
    *ret = strtoll(digits, &end, is_id ? 16 : 10);
    return !errno && end != digits && *ret > 0;
}

/* Main thread: the configuration knows whether anybody will ever be told. */
enum status prepare_redeliver(struct admin_job *job)
{
    const struct catalog_alerts *a = &job->daemon->conf->catalog->alerts;
    const char *name = job->args.name;
    bool known = !name;
    if (!read_alert(job->args.alert, &job->alert))
        return admin_refuse(job, STATUS_BAD_FIELD, "alert",
                            "'%s' is neither an alert's number nor an event's id, evt_...",
                            job->args.alert);
    for (size_t i = 0; i < a->webhook_count && !known; i++)
        known = strcmp(a->webhooks[i].name, name) == 0;
    if (!known)
        return admin_refuse(job, STATUS_NOT_FOUND, "name", "the configuration has no webhook '%s'",
                            name);
    return STATUS_OK;
}

static enum status wake_courier(struct admin_job *job)
{
    courier_wake(job->daemon->courier);
    return STATUS_OK;
}

enum status run_redeliver(struct admin_job *job, struct db *db, int64_t now_us)
{
    int64_t count, alert = job->alert;
    enum status s = alert_redeliver(db, alert, job->args.name, now_us, &count);
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "alert", "there is no alert %lld, or no webhook was told of it",
                            (long long)alert);
    if (s)
        return s;
    job->after = wake_courier;
    return admin_answered(
        job, json_pack("{s:I, s:I}", "alert", (json_int_t)alert, "deliveries", (json_int_t)count));
}
