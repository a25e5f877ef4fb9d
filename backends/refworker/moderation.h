/* backends/refworker/moderation.h -- a word list in the shape of OpenAI's moderation.
 *
 * It looks for whole words and understands nothing: no context, no language but
 * English, and most of the categories have no words at all.  Each answer says so.
 */
#ifndef REFWORKER_MODERATION_H
#define REFWORKER_MODERATION_H
#include "backends/refworker/fault.h"
#include "backends/refworker/job.h"
#include "base/span.h"
#include <jansson.h>

enum { MODERATION_INPUTS_MAX = 256, MODERATION_BYTES_MAX = 1 << 20 };

/* Reads the request and writes the answer to `out`; ret_tokens: of all input. */
MUST_CHECK bool moderation_answer(struct span body, int64_t request_id, const char *model_name,
                                  struct buf *out, int64_t *ret_tokens, struct fault *fault);

void moderation_start(struct jobs *jobs, struct maas_call *call);
#endif
