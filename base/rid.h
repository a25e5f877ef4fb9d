/* base/rid.h -- request ids: one 63-bit integer that is the row id in the store
 * and, as text, what the client sees in x-request-id.
 *
 * 41 bits of milliseconds since 2024-01-01, 6 bits of loop thread, 16 bits of
 * counter whose start in each millisecond is random: ids grow with time, so rows
 * append at the right edge of the tree, and tell a tenant nothing about volume.
 */
#ifndef MAAS_RID_H
#define MAAS_RID_H
#include "base/env.h"
#include <stdbool.h>
#include <stdint.h>

typedef int64_t rid_t; /* > 0 */

enum { RID_TEXT_BYTES = 18, RID_THREADS_MAX = 64 }; /* "req_" + 13 Crockford base32 digits + NUL */

struct rid_source { /* one per loop thread */
    unsigned thread;
    int64_t ms;       /* of the last id; never goes back, even when the clock does */
    uint32_t counter; /* left in this ms */
    uint64_t seed;    /* cheap generator for the start of a ms, seeded from env */
};

/* `floor` is the largest id already in the store (0: none): ids stay above it. */
void rid_source_init(struct rid_source *s, unsigned thread, const struct env *env, rid_t floor);
rid_t rid_next(struct rid_source *s, const struct env *env);
/* The first id that can be given at that time. */
rid_t rid_at(int64_t wall_us);
char *rid_text(rid_t rid, char buf[static RID_TEXT_BYTES]);
bool rid_parse(const char *text, rid_t *ret);
#endif
