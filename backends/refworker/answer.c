/* backends/refworker/answer.c -- see answer.h. */
#include "backends/refworker/answer.h"
#include <stdlib.h>

static void answer_usage(const struct job *j, struct maas_usage *ret)
{
    *ret = ((const struct answer *)j)->usage;
}

static void answer_job_free(struct job *j)
{
    answer_free((struct answer *)j);
}

static enum job_next answer_turn(struct job *j)
{
    struct answer *a = (struct answer *)j;
    int rc = job_send_body(j->call, &a->out, &a->sent);
    if (rc != MAAS_OK)
        return job_after_refusal(j, rc);
    maas_call_finish(j->call, &a->usage);
    return JOB_DONE;
}

struct answer *answer_new(struct maas_call *call, size_t bytes_max)
{
    static const struct maas_usage none = MAAS_USAGE_NONE;
    struct answer *a = calloc(1, sizeof *a);
    if (!a) {
        maas_call_fail(call, 500, "the reference worker is out of memory", NULL);
        return NULL;
    }
    a->usage = none;
    buf_init(&a->out, bytes_max);
    return a;
}

void answer_free(struct answer *a)
{
    buf_free(&a->out);
    free(a);
}

void answer_start(struct jobs *jobs, struct answer *a, struct maas_call *call)
{
    static const struct job_kind kind = { answer_turn, answer_usage, answer_job_free };
    job_start(jobs, &a->job, &kind, call);
}
