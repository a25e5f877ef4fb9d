/* gateway/guard.h -- the framing guard: what a request's head must be before
 * anything else looks at it (RFC 9110 5.5 and 5.6.2, RFC 9112 3.2, 6.1-6.3).
 *
 * libmicrohttpd 1.0.10 already refuses the worst; this is the second lock, in our
 * own words, so that no version or option of the library decides what is one
 * request.  Pure: it sees names and values, nothing else.
 */
#ifndef MAAS_GUARD_H
#define MAAS_GUARD_H
#include "base/span.h"
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct guard { /* gathered header by header */
    unsigned fields, hosts, lengths, codings, authorizations, keys, types, encodings, expects;
    bool chunked, has_length, bad;
    uint64_t length;
    enum status status; /* of the first breach */
    const char *what;   /* a static sentence about it */
};

void guard_method(struct guard *g, const char *method);
/* `fields_max`: 431 beyond. */
void guard_header(struct guard *g, struct span name, struct span value, unsigned fields_max);
/* After the last header.  OK, or the first breach's status with g->what. */
MUST_CHECK enum status guard_finish(struct guard *g, const char *http_version, bool may_have_body);

#endif
