/* backends/refworker/stops.h -- stop strings, found while the text grows, also across pieces. */
#ifndef REFWORKER_STOPS_H
#define REFWORKER_STOPS_H
#include "base/span.h"

enum { STOPS_MAX = 4, STOP_BYTES_MAX = 128 };

struct stops {
    struct span text[STOPS_MAX]; /* 1..STOP_BYTES_MAX bytes each; lent */
    size_t count;
};

/* `text` grew; its first `checked` bytes were passed on before.  Returns how many
 * bytes may be passed on now: the rest may be the beginning of a stop string.
 * *ret_stopped: a stop string follows these bytes, and the answer ends there. */
size_t stops_check(const struct stops *s, struct span text, size_t checked, bool *ret_stopped);
#endif
