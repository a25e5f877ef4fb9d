/* backends/refworker/moderation_job.c -- one moderation request, answered at once. */
#include "backends/refworker/answer.h"
#include "backends/refworker/moderation.h"

void moderation_start(struct jobs *jobs, struct maas_call *call)
{
    const struct maas_request *req = maas_call_request(call);
    struct fault fault;
    struct answer *a = answer_new(call, MODERATION_BYTES_MAX);
    if (!a)
        return;
    if (!moderation_answer((struct span){ req->body, req->body_len }, req->request_id,
                           req->public_model, &a->out, &a->usage.input_tokens, &fault)) {
        maas_call_fail(call, fault.code, fault.text, NULL);
        answer_free(a);
        return;
    }
    answer_start(jobs, a, call);
}
