/* gateway/intake.h -- gathers a request's head and body under their limits. */
#ifndef MAAS_INTAKE_H
#define MAAS_INTAKE_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>

struct request;

enum { DISCARD_BYTES_MAX = 1 << 20 };

/* One header of the head, in order. */
MUST_CHECK enum status intake_header(struct request *r, const char *name, size_t name_len,
                                     const char *value, size_t value_len);
/* Room for a body whose length is known, before it is read: what cannot be kept is
 * refused at its head.  OVERLOADED or NO_MEMORY. */
MUST_CHECK enum status intake_reserve(struct request *r);
/* A piece of the body. BODY_TOO_LARGE, OVERLOADED (all bodies together are too large) or NO_MEMORY. */
MUST_CHECK enum status intake_body(struct request *r, const char *bytes, size_t len);
/* Whether the rest of the body is small enough to be read and dropped, so that
 * the connection can be kept after an early refusal. */
bool intake_can_discard(const struct request *r);
/* Frees the body and gives its bytes back to the common allowance. */
void intake_release(struct request *r);

#endif
