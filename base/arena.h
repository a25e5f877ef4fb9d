/* base/arena.h -- memory that lives exactly as long as one request.
 *
 * There is no free for one pointer: the whole arena goes at once.  It has a hard
 * limit, so that one request can never take the process down.  What is not
 * memory (a suspended connection, a hold) is not put here: it has a state.  An
 * arena belongs to one thread at a time.  With ARENA_MALLOC each allocation is a
 * malloc of its own, so that the sanitizers see its bounds.
 */
#ifndef MAAS_ARENA_H
#define MAAS_ARENA_H
#include "base/status.h"
#include <stddef.h>

struct arena;

struct arena *arena_new(size_t limit_bytes); /* NULL: no memory */
void arena_free(struct arena *a);            /* NULL is fine */

/* NULL when the limit or the machine is out of memory; zeroed otherwise. */
MUST_CHECK void *arena_alloc(struct arena *a, size_t bytes);
/* The same, with whatever was there before: for what is written before it is read. */
MUST_CHECK void *arena_room(struct arena *a, size_t bytes);
/* A copy of `len` bytes and a NUL after them. */
MUST_CHECK char *arena_memdup(struct arena *a, const void *bytes, size_t len);
MUST_CHECK char *arena_strdup(struct arena *a, const char *text);
MUST_CHECK char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Bytes taken so far, padding included; what the limit is compared with. */
size_t arena_used(const struct arena *a);
#endif
