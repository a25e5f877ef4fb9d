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

static bool infer(const struct maas_request *req, struct answer *a, struct simple_answer *ret,
                  struct fault *fault)
{
    size_t header_len = req->header_len < 0 ? req->body_len : (size_t)req->header_len;
    struct span header = { req->body, header_len };
    struct span tail = { req->body + header_len, req->body_len - header_len };
    return simple_infer(header, tail, req->public_model, &a->out, ret, fault);
}

void simple_start(struct jobs *jobs, struct maas_call *call)
{
    struct fault fault;
    struct simple_answer result;
    struct answer *a = answer_new(call, SIMPLE_ANSWER_BYTES_MAX);
    int64_t began = now_ns();
    if (!a)
        return;
    if (!infer(maas_call_request(call), a, &result, &fault)) {
        maas_call_fail(call, fault.code, fault.text, NULL);
        answer_free(a);
        return;
    }
    a->usage.tensor_elements = result.elements;
    a->usage.compute_ms = (now_ns() - began + 999999) / 1000000; /* a begun millisecond counts */
    if (result.header_len < a->out.len &&
        maas_call_format(call, "application/octet-stream", (int64_t)result.header_len) != MAAS_OK) {
        maas_call_fail(call, 500, "the gateway is too old for binary tensors", &a->usage);
        answer_free(a);
        return;
    }
    answer_start(jobs, a, call);
}
