/* backends/refworker/answer.h -- an answer that was computed at once and is sent as the gateway takes it. */
#ifndef REFWORKER_ANSWER_H
#define REFWORKER_ANSWER_H
#include "backends/refworker/job.h"

struct answer { /* zeroed memory of answer_new until it is started or freed */
    struct job job;
    struct buf out;
    size_t sent;
    struct maas_usage usage;
};

/* NULL: no memory, and the call has been failed. */
struct answer *answer_new(struct maas_call *call, size_t bytes_max);
void answer_free(struct answer *a);
void answer_start(struct jobs *jobs, struct answer *a, struct maas_call *call); /* owns a */
#endif
