/* gateway/uptake.h -- what a backend answers, on its way into the client's answer. */
#ifndef MAAS_UPTAKE_H
#define MAAS_UPTAKE_H
#include "backends/backend.h"

struct request;

/* A piece or an event.  Anything but OK: why no more of this answer is wanted. */
MUST_CHECK enum status uptake_data(struct request *r, const struct backend_data *d);
/* It is complete, says the backend: OK, or BACKEND_GARBAGE when it cannot be. */
MUST_CHECK enum status uptake_end(const struct request *r);

#endif
