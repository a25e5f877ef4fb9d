/* gateway/choose.h -- which backend does the work: among the model's routes, then
 * among its parent's when it may fall back. */
#ifndef MAAS_CHOOSE_H
#define MAAS_CHOOSE_H
#include "base/status.h"

struct request;

/* Sets r->work.{served,route,backend} to one that was not tried yet.  NO_BACKEND
 * or OVERLOADED when there is none. */
MUST_CHECK enum status choose_backend(struct request *r);

#endif
