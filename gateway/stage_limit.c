/* gateway/stage_limit.c -- what is asked for, and may the key have that now? */
#include "gateway/form.h"
#include "gateway/intake.h"
#include "gateway/kind.h"
#include "gateway/request.h"
#include "gateway/rewrite.h"
#include <stdio.h>

static enum status read_body(struct request *r, struct span body, struct ask_error *e)
{
    unsigned capability = r->target.row->capability;
    if (kind_of(capability)->body == BODY_FORM) {
        r->form = arena_alloc(r->arena, sizeof *r->form);
        return r->form ? ask_form(body, r->in.boundary, capability, r->form, &r->ask, e)
                       : STATUS_NO_MEMORY;
    }
    return capability == CAP_INFER && r->in.tensor_headers
               ? ask_tensors(body, r->in.tensor_header_len, &r->ask, e)
               : ask_read(body, capability, &r->ask, e);
}

static enum verdict read_ask(struct request *r)
{
    struct ask_error e = { "", "" };
    struct span body = { r->in.body ? r->in.body : "", r->in.body_len };
    enum status s = read_body(r, body, &e);
    if (s == STATUS_OK)
        return NEXT;
    return request_fail(r, s, e.param, *e.message ? "%s" : NULL, e.message);
}

static struct span named_model(const struct request *r)
{
    return r->target.model.len ? r->target.model
                               : (struct span){ r->ask.model, strlen(r->ask.model) };
}

/* Nothing was named, and the path does not say it either. */
static enum verdict refuse_nameless(struct request *r)
{
    if (r->target.scope.whole)
        return request_fail(r, STATUS_MISSING_FIELD, "model", "the field 'model' is missing");
    return request_fail(r, STATUS_MISSING_FIELD, "model",
                        "the field 'model' is missing, and under this path it is not clear which "
                        "model is to do %s",
                        endpoint_name(r->target.row->endpoint));
}

/* Says what the model is for instead. */
static enum verdict refuse_work(struct request *r, const struct catalog_model *m)
{
    char does[128] = "";
    const char *name;
    for (unsigned i = 0; (name = capability_name(i)); i++) {
        size_t at = strlen(does);
        if (m->capabilities >> i & 1)
            snprintf(does + at, sizeof does - at, "%s%s", at ? ", " : "", name);
    }
    return request_fail(r, STATUS_BAD_FIELD, "model", "the model '%s' does not do %s, but %s",
                        m->id, endpoint_name(r->target.row->endpoint), does);
}

static enum verdict find_model(struct request *r)
{
    struct span name = named_model(r);
    const struct catalog_model *m = catalog_find(r->catalog, &r->target.scope, name);
    if (!m)
        return name.len ? request_no_model(r, name) : refuse_nameless(r);
    r->model = m;
    if (m->life == LIFE_RETIRED || m->life == LIFE_UNAVAILABLE)
        return request_fail(r, STATUS_MODEL_NOT_FOUND, "model", "the model '%s' is %s%s%s", m->id,
                            life_name(m->life), *m->life_note ? ": " : "", m->life_note);
    if (!(m->capabilities & r->target.row->capability))
        return refuse_work(r, m);
    return NEXT;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The most tokens of one answer; 0: not counted in tokens. */
static uint64_t answer_tokens(const struct kind *k, const struct catalog_model *m, int64_t asked)
{
    if (k->output != OUTPUT_ASKED)
        return k->output == OUTPUT_MODEL ? m->max_output_tokens : 0;
    uint64_t otherwise = k->default_out ? (uint64_t)k->default_out : m->default_output_tokens;
    return lesser(asked ? (uint64_t)asked : otherwise, m->max_output_tokens);
}

static size_t recipe_growth(const struct catalog_model *m)
{
    size_t growth = rewrite_growth(&m->recipe);
    if (m->fallback_to_parent && rewrite_growth(&m->parent->recipe) > growth)
        growth = rewrite_growth(&m->parent->recipe);
    return growth;
}

/* A backend that counts in begun seconds is right, too.  A length that is not known is that of the
 * slowest sound the operator expects. */
static uint64_t audio_ms_most(const struct ask *a, const struct catalog_model *m)
{
    if (a->audio_bytes == 0)
        return 0;
    uint64_t ms =
        a->audio_known ? a->audio_ms : a->audio_bytes * 1000 / m->audio_bytes_per_second_min;
    return (ms / 1000 + 2) * 1000;
}

/* An upper bound of everything the request can use: a token is at least a byte. */
static void set_bound(struct request *r)
{
    const struct kind *k = kind_of(r->target.row->capability);
    uint64_t out = answer_tokens(k, r->model, r->ask.max_out);
    r->ask.max_out = (int64_t)out;
    r->bound = r->ask.most;
    r->bound.output_tokens_max = out * r->ask.generated;
    r->bound.audio_ms_max = audio_ms_most(&r->ask, r->model);
    r->bound.video_ms_max = r->model->video_ms_max;
    r->bound.compute_ms_max = r->snapshot->conf->request_timeout_ms;
    if (k->traits & KIND_RECIPE)
        r->bound.input_tokens_max += recipe_growth(r->model);
}

static enum verdict check_size(struct request *r)
{
    const struct catalog_model *m = r->model;
    if (r->ask.most.images_max > m->images_max)
        return request_fail(r, STATUS_BAD_FIELD, "n", "'n' may be at most %llu for this model",
                            (unsigned long long)m->images_max);
    return NEXT;
}

/* The share of the body that is likely tokens; what it was really is corrected at
 * the end.  Money is held by the upper bound, not by this. */
static int64_t likely_tokens(const struct request *r)
{
    if (!(kind_of(r->target.row->capability)->traits & KIND_RATED))
        return 0;
    return (int64_t)(r->bound.input_tokens_max / 3 + 1 + r->bound.output_tokens_max);
}

static enum verdict enter(struct request *r)
{
    r->work.likely_tokens = likely_tokens(r);
    enum status s = limits_enter(&r->key->state, &r->key->limits, likely_tokens(r),
                                 request_now_ns(r), &r->grant, &r->rates);
    r->rates_known = true;
    if (s == STATUS_OK)
        return NEXT;
    COUNT(&r->loop->counters, refused_limit);
    const struct rate_answer *why =
        s == STATUS_RATE_REQUESTS ? &r->rates.requests : &r->rates.tokens;
    if (s == STATUS_TOO_LARGE_FOR_LIMIT)
        return request_fail(r, s, NULL,
                            "the request needs up to %lld tokens at once, the key may use %lld",
                            (long long)likely_tokens(r), (long long)r->key->limits.tokens.burst);
    int64_t ms = s == STATUS_RATE_CONCURRENCY ? 1000 : (why->retry_ns + 999999) / 1000000;
    r->answer.retry_after_ms = ms;
    return request_fail(r, s, NULL, "%s. Please try again in %lld.%03llds.", status_info(s)->text,
                        (long long)(ms / 1000), (long long)(ms % 1000));
}

static enum verdict wait_for_body(struct request *r)
{
    enum status s = intake_reserve(r);
    if (s == STATUS_OK)
        return WAIT;
    r->answer.retry_after_ms = 1000;
    return request_fail(r, s, NULL, NULL);
}

enum verdict stage_limit(struct request *r)
{
    static stage_fn *const steps[] = { read_ask, find_model, check_size, enter };
    if (r->gone)
        return request_fail(r, STATUS_CLIENT_GONE, NULL, NULL);
    if (!r->in.body_complete)
        return wait_for_body(r);
    if (r->status != STATUS_OK)
        return FAIL;
    if (!r->target.row->capability)
        return NEXT;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        enum verdict v = steps[i](r);
        if (v != NEXT)
            return v;
        if (steps[i] == find_model)
            set_bound(r);
    }
    return NEXT;
}
