/* gateway/api_health.c -- is it alive, is it ready?  For probes and for the Open
 * Inference Protocol's health and metadata paths. */
#include "gateway/coverage.h"
#include "gateway/error_body.h"
#include "gateway/request.h"

static enum verdict say(struct request *r, const char *json)
{
    return buf_text(&r->answer.body, json) ? FAIL : request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
}

static bool is_ready(const struct request *r)
{
    const struct daemon *d = r->loop->daemon;
    return atomic_load(&d->ready) && !atomic_load(&d->draining) && ledger_healthy(d->ledger);
}

enum verdict answer_root(struct request *r)
{
    return say(r, "{\"service\":\"maasgate\",\"version\":\"" MAAS_VERSION "\"}");
}

enum verdict answer_health(struct request *r)
{
    return say(r, "{\"status\":\"ok\"}");
}

/* What backends lack is said and does not make the gateway unready: a probe would then take it
 * out of service for its other models, too, and all gateways at the same time. */
enum verdict answer_ready(struct request *r)
{
    bool ready = is_ready(r);
    r->answer.http = ready ? 200 : 503;
    bool ok = buf_printf(&r->answer.body,
                         "{\"status\":\"%s\",\"models\":%zu,\"models_without_backend\":%zu}",
                         ready ? "ready" : "not_ready", r->snapshot->catalog->model_count,
                         coverage_models_down(r->loop));
    return ok ? FAIL : request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
}

enum verdict answer_oip_live(struct request *r)
{
    return say(r, "{\"live\":true}");
}

enum verdict answer_oip_ready(struct request *r)
{
    r->answer.http = is_ready(r) ? 200 : 503;
    return say(r, is_ready(r) ? "{\"ready\":true}" : "{\"ready\":false}");
}

enum verdict answer_oip_server(struct request *r)
{
    return say(r, "{\"name\":\"maasgate\",\"version\":\"" MAAS_VERSION
                  "\",\"extensions\":[\"binary_tensor_data\"]}");
}

static const struct catalog_model *tensor_model(struct request *r)
{
    const struct catalog_model *m =
        catalog_find(r->snapshot->catalog, &r->target.scope, r->target.model);
    if (m && (m->capabilities & CAP_INFER))
        return m;
    request_no_model(r, r->target.model);
    return NULL;
}

enum verdict answer_oip_model(struct request *r)
{
    const struct catalog_model *m = tensor_model(r);
    if (!m)
        return FAIL;
    if (*m->tensor_json)
        return say(r, m->tensor_json);
    bool ok = buf_text(&r->answer.body, "{\"name\":") &&
              json_quote(&r->answer.body, m->id, strlen(m->id)) &&
              buf_text(&r->answer.body, ",\"versions\":[\"1\"],\"platform\":\"maasgate\","
                                        "\"inputs\":[],\"outputs\":[]}");
    return ok ? FAIL : request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
}

enum verdict answer_oip_model_ready(struct request *r)
{
    const struct catalog_model *m = tensor_model(r);
    if (!m)
        return FAIL;
    r->answer.http = coverage_has(r->snapshot, m, request_now_ns(r)) ? 200 : 503;
    return buf_text(&r->answer.body, "{\"name\":") &&
                   json_quote(&r->answer.body, m->id, strlen(m->id)) &&
                   buf_printf(&r->answer.body, ",\"ready\":%s}",
                              r->answer.http == 200 ? "true" : "false")
               ? FAIL
               : request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
}
