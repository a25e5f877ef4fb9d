/* backends/rate_map.h -- how much a backend lets us ask, from the headers of its answers.  Pure.
 *
 * A map is rows of header names.  They are only believed for how long to stay
 * away, at most an hour: a backend that lies harms itself.
 */
#ifndef MAAS_RATE_MAP_H
#define MAAS_RATE_MAP_H
#include "base/span.h"
#include "conf/compose.h"
#include <stdint.h>

enum { RATE_WAIT_MS_MAX = 3600 * 1000, RATE_BUCKETS = 4 };

enum rate_what { RATE_RETRY, RATE_LEFT, RATE_RESET };
enum rate_form {
    RATE_NUMBER,
    RATE_MS,
    RATE_SECONDS,  /* or an HTTP date */
    RATE_DURATION, /* "6m0s", "1.5s", "20ms"; a number without a unit is seconds */
    RATE_TIME,     /* RFC 3339: 2026-11-24T13:00:00Z */
};

struct rate_row {
    const char *header; /* lower case */
    enum rate_what what;
    enum rate_form form;
    unsigned bucket; /* which left goes with which reset: requests, tokens, ... */
};

struct rate_map {
    const struct rate_row *rows;
    size_t count;
};

struct rates { /* all zero: nothing was said */
    uint32_t retry_ms;
    bool retry_exact; /* in milliseconds: a header in seconds does not overwrite it */
    bool told[RATE_BUCKETS], reset_told[RATE_BUCKETS];
    int64_t left[RATE_BUCKETS], reset_ms[RATE_BUCKETS];
};

const struct rate_map *rate_map_find(enum rate_map_id id);

/* One header line of an answer, its end included.  wall_s is asked for only when a header is a
 * point in time.  A value that cannot be read is as if it had not been sent. */
void rate_map_line(const struct rate_map *m, struct span line, int64_t (*wall_s)(void *arg),
                   void *arg, struct rates *r);
/* How long not to ask again: what was said; else, until something that is used up comes back. */
uint32_t rates_wait_ms(const struct rates *r);

#endif
