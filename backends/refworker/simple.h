/* backends/refworker/simple.h -- the tensor model `simple`, as Triton's examples know it.
 *
 * INPUT0 and INPUT1, INT32, [n,16] with n 1..8; OUTPUT0 is their sum, OUTPUT1
 * their difference, modulo 2^32.  Requests and answers are the JSON of the Open
 * Inference Protocol v2, without its binary extension.
 */
#ifndef REFWORKER_SIMPLE_H
#define REFWORKER_SIMPLE_H
#include "backends/refworker/fault.h"
#include "backends/refworker/job.h"
#include "base/span.h"
#include <stdint.h>

enum { SIMPLE_BATCH_MAX = 8, SIMPLE_WIDTH = 16, SIMPLE_ANSWER_BYTES_MAX = 16 * 1024 };

/* Reads the request and writes the answer to `out`; ret_elements: of both inputs. */
MUST_CHECK bool simple_infer(struct span body, const char *model_name, struct buf *out,
                             uint32_t *ret_elements, struct fault *fault);

void simple_start(struct jobs *jobs, struct maas_call *call);
#endif
