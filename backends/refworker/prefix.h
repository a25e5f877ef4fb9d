/* backends/refworker/prefix.h -- which beginnings of conversations were seen lately.
 *
 * It lets the reference worker report cached input tokens, as engines with a
 * prefix cache do, so that this price is exercised.  Nothing is computed from it
 * and it does not know whose conversation it was: for demonstrations only.
 */
#ifndef REFWORKER_PREFIX_H
#define REFWORKER_PREFIX_H
#include "base/span.h"
#include "base/status.h"
#include <stdint.h>

enum { PREFIX_ENTRIES = 4096, PREFIX_WAYS = 8 };

struct prefix_mark { /* of a conversation up to some message; {0} before the first */
    uint64_t a, b;
};

struct prefix_cache {
    struct prefix_entry {
        struct prefix_mark mark;
        uint64_t used; /* when last; 0 = free */
    } entries[PREFIX_ENTRIES / PREFIX_WAYS][PREFIX_WAYS];
    uint64_t clock;
};

struct prefix_mark prefix_extend(struct prefix_mark before, struct span text);

/* True when it was there; it is afterwards, in place of the one unused for longest. */
bool prefix_visit(struct prefix_cache *c, struct prefix_mark mark);
#endif
