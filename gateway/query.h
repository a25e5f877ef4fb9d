/* gateway/query.h -- what stands behind the '?' of a target, one parameter after another. */
#ifndef MAAS_QUERY_H
#define MAAS_QUERY_H
#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct query_pair {
    const char *name, *value; /* decoded, in the arena; "models[]" is "models" */
};

/* Takes the next parameter off `rest`; an empty one is passed over.  OK with name NULL: there is
 * none left.  BAD_FIELD: a bad escape, or one that hides a control character.  NO_MEMORY. */
MUST_CHECK enum status query_next(struct span *rest, struct arena *a, struct query_pair *ret);

/* Decimal digits only, from..to.  False: anything else, or outside. */
MUST_CHECK bool query_number(const char *text, int64_t from, int64_t to, int64_t *ret);
/* A moment as RFC 3339 has it, with 'Z' or an offset; a '+' that came as a blank is one.  False: it
 * is none, or before 1970 or after 2286. */
MUST_CHECK bool query_instant(const char *text, int64_t *ret_us);
#endif
