/* gateway/idempotency.h -- the Idempotency-Key header, from its line to the answer that is
 * given again.  billing/idem.h remembers; this knows what a request is.
 *
 * Two requests are the same when method, path and canonical body are: of JSON, without the
 * spaces between its parts; of a form, without its boundary, which is new in each attempt.
 */
#ifndef MAAS_IDEMPOTENCY_H
#define MAAS_IDEMPOTENCY_H
#include "base/buf.h"
#include "gateway/pipeline.h"

enum { IDEMPOTENCY_KEY_BYTES_MAX = 255 };

/* At the head: a key that is none is refused.  Only called when there is one. */
enum verdict idempotency_check(struct request *r);
/* Before the hold, whose part it is.  Only called when there is a key.  NO_MEMORY: FAIL. */
enum verdict idempotency_begin(struct request *r);
/* The hold was refused because of the key: the kept answer, or why there is none. */
enum verdict idempotency_known(struct request *r);
/* An event of its stream, which may have to be told again.  Only called when there is a key. */
void idempotency_said(struct request *r, struct span event);
/* What of an answer that came whole is kept with its settlement, of a stream its events and their end; NULL:
 * nothing. */
const struct idem *idempotency_keep(struct request *r);
/* Frees what the ledger had found, and what was kept of a stream. */
void idempotency_free(struct request *r);

#endif
