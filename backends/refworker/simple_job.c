/* backends/refworker/simple_job.c -- one inference: computed at once, sent as the gateway takes it. */
#include "backends/refworker/simple.h"
#include <stdlib.h>
#include <time.h>

struct inference {
    struct job job;
    struct buf out;
    size_t sent;
    uint32_t elements;
    int64_t compute_ms;
};

static void inference_usage(const struct job *j, struct maas_usage *ret)
{
    const struct inference *i = (const struct inference *)j;
    ret->tensor_elements = i->elements;
    ret->compute_ms = i->compute_ms;
}

static void inference_free(struct job *j)
{
    struct inference *i = (struct inference *)j;
    buf_free(&i->out);
    free(i);
}

static enum job_next inference_turn(struct job *j)
{
    struct inference *i = (struct inference *)j;
    struct maas_usage usage = MAAS_USAGE_NONE;
    int rc = job_send_body(j->call, &i->out, &i->sent);
    if (rc != MAAS_OK)
        return job_after_refusal(j, rc);
    inference_usage(j, &usage);
    maas_call_finish(j->call, &usage);
    return JOB_DONE;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void simple_start(struct jobs *jobs, struct maas_call *call)
{
    static const struct job_kind kind = { inference_turn, inference_usage, inference_free };
    const struct maas_request *req = maas_call_request(call);
    struct fault fault;
    struct inference *i = calloc(1, sizeof *i);
    if (!i) {
        maas_call_fail(call, 500, "the reference worker is out of memory", NULL);
        return;
    }
    int64_t began = now_ns();
    buf_init(&i->out, SIMPLE_ANSWER_BYTES_MAX);
    if (!simple_infer((struct span){ req->body, req->body_len }, req->public_model, &i->out,
                      &i->elements, &fault)) {
        maas_call_fail(call, fault.code, fault.text, NULL);
        inference_free(&i->job);
        return;
    }
    i->compute_ms = (now_ns() - began + 999999) / 1000000; /* a begun millisecond counts */
    job_start(jobs, &i->job, &kind, call);
}
