/* gateway/courier_test.c -- `alert.test`: an event that stands for nothing, by the configuration,
 * the signature and the connection that alerts have, told step by step. */
#include "base/cleanup.h"
#include "gateway/admin_job.h"
#include "gateway/admin_spec.h"
#include "gateway/courier_parts.h"
#include "gateway/probe.h"

struct test { /* the job's arena's */
    struct mpsc_node node;
    struct test *next;
    struct courier *courier;
    struct admin_job *job;
    struct signed_post signed_post;
    struct trace trace;
    char id[ALERT_ID_BYTES];
};

const struct json_spec courier_test_args[] = { TEXT(name, true, 63), END };

/* ---- the courier's thread ------------------------------------------------------------------ */

static void leave(struct test *t)
{
    struct test **at = &t->courier->running;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
}

static void on_done(struct http_post *post)
{
    struct test *t = post->arg;
    struct trace *trace = &t->trace;
    leave(t);
    if (trace->step[TRACE_ANSWER].result != TRACE_UNTRIED)
        trace_ok(trace, TRACE_SIGN, "HMAC-SHA256, in the header webhook-signature");
    json_t *result =
        json_pack("{s:s, s:s, s:s, s:b, s:o}", "webhook", t->job->args.name, "url", post->url, "id",
                  t->id, "ok", !post->error[0], "steps", probe_steps(trace));
    buf_free(&t->signed_post.body);
    admin_job_end(t->job, admin_answered(t->job, result));
}

static const struct catalog_webhook *find(const struct catalog_alerts *a, const char *name)
{
    for (size_t i = 0; i < a->webhook_count; i++)
        if (strcmp(a->webhooks[i].name, name) == 0)
            return &a->webhooks[i];
    return NULL;
}

static bool begin(struct test *t)
{
    struct courier *c = t->courier;
    const struct env *env = c->daemon->env;
    const struct catalog_webhook *w = find(&c->catalog->alerts, t->job->args.name);
    uint8_t random[8];
    char digits[2 * sizeof random + 1];
    int64_t now_us = env->wall_us(env->arg);
    env->random(env->arg, random, sizeof random);
    snprintf(t->id, sizeof t->id, "evt_test_%s", digest_hex(random, sizeof random, digits));
    AUTO(json_decref_ptr)
    json_t *event = json_pack("{s:s, s:s, s:s, s:I, s:{s:s}}", "id", t->id, "object", "event",
                              "type", "alert.test", "created_at", (json_int_t)(now_us / 1000000),
                              "data", "webhook", t->job->args.name);
    AUTO(free_ptr) char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;
    buf_init(&t->signed_post.body, EVENT_BYTES_MAX);
    if (!w || !text || !buf_text(&t->signed_post.body, text) ||
        !courier_sign(&t->signed_post, c->catalog, w, t->id, now_us))
        return false;
    t->signed_post.post.trace = &t->trace;
    t->signed_post.post.done = on_done;
    t->signed_post.post.arg = t;
    return http_poster_begin(c->poster, &t->signed_post.post);
}

static void refuse(struct test *t)
{
    buf_free(&t->signed_post.body);
    admin_job_end(t->job, admin_refuse(t->job, STATUS_OVERLOADED, "",
                                       "the daemon stops, or its configuration was just replaced; "
                                       "try again"));
}

void courier_begin_tests(struct courier *c, struct mpsc_node *asked)
{
    struct mpsc_node *next;
    for (struct mpsc_node *n = asked; n; n = next) {
        struct test *t = (struct test *)n; /* node is its first member */
        next = n->next;
        if (!c->catalog || !begin(t)) {
            refuse(t);
            continue;
        }
        t->next = c->running;
        c->running = t;
    }
}

void courier_drop_tests(struct courier *c)
{
    while (c->running) {
        struct test *t = c->running;
        leave(t);
        http_poster_cancel(c->poster, &t->signed_post.post);
        refuse(t);
    }
}

/* ---- the main thread ----------------------------------------------------------------------- */

static enum status unknown(struct admin_job *job, const struct catalog_alerts *a)
{
    AUTO(buf_free) struct buf names;
    buf_init(&names, ALERT_WEBHOOKS_MAX * ALERT_WEBHOOK_BYTES);
    for (size_t i = 0; i < a->webhook_count; i++)
        if (!buf_printf(&names, "%s%s", i ? ", " : "", a->webhooks[i].name))
            return STATUS_NO_MEMORY;
    if (!a->webhook_count)
        return admin_refuse(job, STATUS_NOT_FOUND, "name",
                            "there is no webhook: the configuration has no 'alerts'");
    return admin_refuse(job, STATUS_NOT_FOUND, "name",
                        "there is no such webhook; there are: %.180s", names.at);
}

enum status courier_test(struct admin_job *job, struct db *db, int64_t now_us)
{
    struct courier *c = job->daemon->courier;
    const struct catalog_alerts *a = &job->daemon->conf->catalog->alerts;
    (void)db, (void)now_us;
    if (!find(a, job->args.name))
        return unknown(job, a);
    struct test *t = c->stopped ? NULL : arena_alloc(job->arena, sizeof *t);
    if (!t)
        return c->stopped ? STATUS_OVERLOADED : STATUS_NO_MEMORY;
    t->courier = c;
    t->job = job;
    mpsc_push(&c->tests, &t->node);
    courier_wake(c);
    return STATUS_OK;
}
