/* gateway/stage_accept.c -- is it well-formed HTTP for an endpoint we have? */
#include "gateway/form.h"
#include "gateway/idempotency.h"
#include "gateway/intake.h"
#include "gateway/kind.h"
#include "gateway/request.h"
#include <string.h>

static void split_target(struct intake *in)
{
    const char *mark = memchr(in->target.at, '?', in->target.len);
    size_t path = mark ? (size_t)(mark - in->target.at) : in->target.len;
    in->path = (struct span){ in->target.at, path };
    in->query =
        mark ? (struct span){ mark + 1, in->target.len - path - 1 } : (struct span){ "", 0 };
}

static bool takes_body(const char *method)
{
    return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
}

/* How much of a body of tensors is JSON: a number that the body, when its length is known, can have. */
static enum verdict check_tensors(struct request *r)
{
    static const char name[] = "Inference-Header-Content-Length";
    const struct intake *in = &r->in;
    if (in->tensor_headers == 0)
        return NEXT;
    if (in->tensor_headers > 1 || in->tensor_header_len == UINT64_MAX)
        return request_fail(r, STATUS_BAD_FIELD, name, "%s must be one decimal number", name);
    if (in->guard.has_length && in->tensor_header_len > in->guard.length)
        return request_fail(r, STATUS_BAD_FIELD, name, "%s is more than the body has", name);
    return NEXT;
}

/* What the head says of the body, against what the endpoint takes. */
static enum verdict check_media(struct request *r)
{
    unsigned capability = r->target.row->capability;
    if (!capability)
        return NEXT;
    const struct kind *kind = kind_of(capability);
    if (kind->body == BODY_FORM)
        return form_boundary(r->in.multipart, &r->in.boundary)
                   ? NEXT
                   : request_fail(r, STATUS_UNSUPPORTED_MEDIA, NULL,
                                  "this endpoint takes multipart/form-data with a boundary");
    if (r->in.multipart.len)
        return request_fail(r, STATUS_UNSUPPORTED_MEDIA, NULL,
                            "this endpoint takes application/json, not a form");
    return kind->body == BODY_TENSORS ? check_tensors(r) : NEXT;
}

/* What the head says of the request as a whole. */
static enum verdict check_head(struct request *r)
{
    static const char timeout[] = "x-request-timeout-ms";
    if (r->in.timeout_ms == UINT64_MAX)
        return request_fail(r, STATUS_BAD_FIELD, timeout,
                            "%s must be one whole number of milliseconds, at least 1", timeout);
    if (r->in.hops >= BACKEND_HOPS_MAX && r->target.row->capability) {
        COUNT(&r->loop->counters, loops_detected);
        return request_fail(r, STATUS_LOOP_DETECTED, NULL, NULL);
    }
    if (r->in.idempotency_headers && r->target.row->capability && idempotency_check(r) != NEXT)
        return FAIL;
    return check_media(r);
}

static uint64_t body_max(const struct request *r)
{
    unsigned capability = r->target.row->capability;
    uint64_t all = r->in.body_max;
    uint64_t own = capability ? kind_of(capability)->body_max : 0;
    return own && own < all ? own : all;
}

/* Says what was asked for, and what may have been meant. */
static enum verdict refuse_target(struct request *r, enum status s)
{
    const struct intake *in = &r->in;
    if (s == STATUS_BAD_FRAMING)
        return request_fail(r, s, NULL,
                            "the path must begin with one '/' and have no empty or dot segment, no "
                            "character but plain ASCII, and no %%-escape but in a model's id");
    if (s == STATUS_METHOD_NOT_ALLOWED)
        return request_fail(r, s, NULL, "this endpoint takes %s, not %.20s", r->answer.allow,
                            in->method);
    if (s != STATUS_NOT_FOUND)
        return request_fail(r, s, NULL, NULL);
    const char *meant = route_meant(in->path);
    return request_fail(r, s, NULL, "there is no endpoint %.20s %.*s%s%s", in->method,
                        in->path.len > 80 ? 80 : (int)in->path.len, in->path.at,
                        meant ? "; a base URL that ends in /v1 leads to " : "", meant ? meant : "");
}

enum verdict stage_accept(struct request *r)
{
    struct intake *in = &r->in;
    if (r->gone) /* perhaps before its head was whole: nothing of it may be looked at */
        return request_fail(r, STATUS_CLIENT_GONE, NULL, NULL);
    if (r->status != STATUS_OK)
        return FAIL;
    split_target(in);
    guard_method(&in->guard, in->method);
    enum status s = guard_finish(&in->guard, in->version, takes_body(in->method));
    if (s != STATUS_OK) {
        in->guard.bad = true; /* the connection is not kept */
        COUNT(&r->loop->counters, refused_framing);
        return request_fail(r, s, NULL, "%s", in->guard.what);
    }
    s = route_match(in->method, in->path, r->arena, &r->target, &r->answer.allow);
    in->guard.bad = s == STATUS_BAD_FRAMING;
    if (s != STATUS_OK)
        return refuse_target(r, s);
    if (atomic_load_explicit(&r->loop->daemon->draining, memory_order_relaxed) &&
        r->target.row->capability) {
        r->answer.retry_after_ms = 1000;
        return request_fail(r, STATUS_DRAINING, NULL, NULL);
    }
    in->body_max = body_max(r);
    if (in->guard.has_length && in->guard.length > in->body_max)
        return request_fail(r, STATUS_BODY_TOO_LARGE, NULL, "the body may have at most %llu bytes",
                            (unsigned long long)in->body_max);
    if (in->sdk_retry)
        COUNT(&r->loop->counters, client_retries);
    return check_head(r);
}
