/* backends/refworker/simple.h -- the tensor model `simple`, as Triton's examples know it.
 *
 * INPUT0 and INPUT1, INT32, [n,16] with n 1..8; OUTPUT0 is their sum, OUTPUT1
 * their difference, modulo 2^32.  Requests and answers are those of the Open
 * Inference Protocol v2, in JSON or with its binary extension.
 */
#ifndef REFWORKER_SIMPLE_H
#define REFWORKER_SIMPLE_H
#include "backends/refworker/fault.h"
#include "backends/refworker/job.h"
#include "base/span.h"
#include <stdint.h>

enum { SIMPLE_BATCH_MAX = 8, SIMPLE_WIDTH = 16, SIMPLE_ANSWER_BYTES_MAX = 16 * 1024 };

struct simple_answer {
    size_t header_len; /* bytes of JSON in the answer; tensors follow when it is not all */
    uint32_t elements; /* of both inputs */
};

/* The request is `header`, JSON, and then `tail`, the tensors that are binary (len 0: none).
 * Writes the answer to `out`. */
MUST_CHECK bool simple_infer(struct span header, struct span tail, const char *model_name,
                             struct buf *out, struct simple_answer *ret, struct fault *fault);

void simple_start(struct jobs *jobs, struct maas_call *call);
#endif
