/* gateway/probe_report.c -- what is said of a probe: was there an answer, was it counted, and what
 * to do about what went wrong. */
#include "base/cleanup.h"
#include "gateway/kind.h"
#include "gateway/probe_parts.h"

/* By HTTP status, or by what the driver made of it; the first row that fits. */
static const struct hint {
    int http;
    enum status status; /* OK: any */
    const char *text;
} hints[] = {
    { 400, STATUS_OK,
      "the backend does not take this request: check 'dialect' and the route's "
      "'model'; perhaps the model wants other parameters" },
    { 401, STATUS_OK,
      "the backend does not know this key: check 'secret_file', 'signer' and "
      "'signer_name'" },
    { 403, STATUS_OK,
      "the backend knows this key, but it may not do this: check what the key is "
      "allowed at the vendor's, and 'signer'" },
    { 402, STATUS_OK, "the account at the vendor's has to be paid" },
    { 404, STATUS_OK,
      "no such path or model there: check 'address' (of dialect openai it mostly "
      "ends in /v1), 'dialect' and the route's 'model'" },
    { 405, STATUS_OK, "there is no such endpoint: check 'address' and 'dialect'" },
    { 422, STATUS_OK,
      "the backend does not take this request: check 'dialect' and the route's "
      "'model'" },
    { 429, STATUS_OK,
      "the backend is busy, or what the account may use is used up: try again "
      "later, or raise the limit at the vendor's" },
    { 503, STATUS_OK, "the backend says itself that it cannot now: look into its log" },
    { 0, STATUS_BACKEND_GARBAGE,
      "what answers there is not what 'dialect' says: check 'address', "
      "'dialect' and 'framer'" },
    { 0, STATUS_BACKEND_CUT, "the answer broke off: look into the backend's log" },
    { 0, STATUS_DEADLINE,
      "it took too long: look into the backend's log, or give it more time "
      "(--timeout-ms, 'first_byte_timeout_ms')" },
    { 0, STATUS_OVERLOADED, "all calls at once are in use: try again, or raise 'concurrency'" },
    { 0, STATUS_NO_BACKEND,
      "it was lost just now, or it cannot carry this kind of request: look "
      "at maasgate status, and try again" },
    { 0, STATUS_BACKEND_FAILED, "look into the backend's log" },
};

static const char *hint_for(int http, enum status status)
{
    if (http >= 300 && http < 400)
        return "redirects are not followed: write the final place into 'address'";
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (hints[i].http ? hints[i].http == http : hints[i].status == status)
            return hints[i].text;
    return NULL;
}

/* "200 application/json, " of an HTTP answer. */
static const char *head_of(const struct probe *p, char text[static 100])
{
    const struct trace *t = &p->trace;
    text[0] = '\0';
    if (t->http_status)
        snprintf(text, 100, "%d%s%s, ", t->http_status, t->content_type[0] ? " " : "",
                 t->content_type);
    return text;
}

static void judge_answer(struct probe *p)
{
    char head[100];
    long long us = (long long)(p->first_byte_ns - p->started_ns) / 1000;
    const char *why = p->end.message[0] ? p->end.message : status_info(p->end.status)->text;
    if (p->end.status != STATUS_OK)
        trace_failed(&p->trace, TRACE_ANSWER, hint_for(p->trace.http_status, p->end.status), "%s%s",
                     head_of(p, head), why);
    else
        trace_ok(&p->trace, TRACE_ANSWER, "%sfirst byte after %lld.%03lld ms, %llu bytes%s",
                 head_of(p, head), us / 1000, us % 1000, (unsigned long long)p->bytes,
                 p->order.stream ? " in events" : "");
}

/* ---- usage ---- */

/* As stage_meter.c judges it: kinds whose backends mostly say nothing need it only for a price of
 * what the gateway cannot tell itself. */
static bool is_needed(const struct probe *p)
{
    const uint32_t ours = METER_BIT(REQUESTS) | METER_BIT(COMPUTE_MS);
    for (unsigned i = 0; i < METER_COUNT; i++)
        if (model_priced(p->model, i) && p->model->price[i].atoms > 0 && !(ours >> i & 1))
            return true;
    return !(kind_of(p->capability)->traits & KIND_SILENT);
}

static const char *list_usage(const struct usage *u, char text[static 200])
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < METER_COUNT && used < 200; i++)
        if (usage_has(u, (enum meter)i))
            used += (size_t)snprintf(text + used, 200 - used, "%s%s %llu", used ? ", " : "",
                                     meter_name((enum meter)i), (unsigned long long)u->qty[i]);
    return text;
}

static void judge_usage(struct probe *p)
{
    char text[200];
    const struct usage *u = &p->end.usage;
    if (u->present)
        trace_ok(&p->trace, TRACE_USAGE, "%s", list_usage(u, text));
    else if (is_needed(p))
        trace_failed(&p->trace, TRACE_USAGE,
                     "make the backend report usage, or check 'usage_map': until then answers are "
                     "billed without it",
                     "nothing was reported");
    else
        trace_ok(&p->trace, TRACE_USAGE,
                 "nothing was reported, and the price of '%s' needs nothing", p->model->id);
}

void probe_judge(struct probe *p)
{
    if (trace_failure(&p->trace) != TRACE_STEPS)
        return; /* there was no call, or it did not get that far */
    judge_answer(p);
    if (p->end.status == STATUS_OK)
        judge_usage(p);
}

/* ---- all of it ---- */

static json_t *usage_object(const struct usage *u)
{
    json_t *o = json_object();
    for (unsigned i = 0; i < METER_COUNT; i++)
        if (usage_has(u, (enum meter)i))
            json_object_set_new(o, meter_name((enum meter)i), json_integer((json_int_t)u->qty[i]));
    return o;
}

json_t *probe_steps(const struct trace *t)
{
    json_t *list = json_array();
    for (enum trace_step s = 0; s < TRACE_STEPS; s++) {
        const struct trace_note *n = &t->step[s];
        if (n->result != TRACE_UNTRIED)
            json_array_append_new(list, json_pack("{s:s, s:b, s:s, s:s*}", "step",
                                                  trace_step_name(s), "ok", n->result == TRACE_OK,
                                                  "text", n->text, "hint", n->hint));
    }
    return list;
}

json_t *probe_report(const struct probe *p)
{
    bool ok =
        trace_failure(&p->trace) == TRACE_STEPS && p->trace.step[TRACE_USAGE].result == TRACE_OK;
    const char *name = capability_name((unsigned)__builtin_ctz(p->capability));
    AUTO(json_decref_ptr)
    json_t *report = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:o, s:o}", "backend", p->conf->name, "transport",
        transport_name(p->conf->transport), "address", p->conf->address, "model", p->model->id,
        "backend_model", p->route->model, "capability", name, "stream", (int)p->order.stream, "ok",
        (int)ok, "steps", probe_steps(&p->trace), "usage", usage_object(&p->end.usage));
    if (report && p->end.retry_after_ms)
        json_object_set_new(report, "retry_after_ms", json_integer(p->end.retry_after_ms));
    json_t *whole = report;
    report = NULL;
    return whole;
}
