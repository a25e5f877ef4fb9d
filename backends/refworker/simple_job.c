/* backends/refworker/simple_job.c -- one inference and the time it took. */
#include "backends/refworker/answer.h"
#include "backends/refworker/simple.h"
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void simple_start(struct jobs *jobs, struct maas_call *call)
{
    const struct maas_request *req = maas_call_request(call);
    struct fault fault;
    struct answer *a = answer_new(call, SIMPLE_ANSWER_BYTES_MAX);
    uint32_t elements;
    int64_t began = now_ns();
    if (!a)
        return;
    if (!simple_infer((struct span){ req->body, req->body_len }, req->public_model, &a->out,
                      &elements, &fault)) {
        maas_call_fail(call, fault.code, fault.text, NULL);
        answer_free(a);
        return;
    }
    a->usage.tensor_elements = elements;
    a->usage.compute_ms = (now_ns() - began + 999999) / 1000000; /* a begun millisecond counts */
    answer_start(jobs, a, call);
}
