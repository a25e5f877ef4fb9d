/* base/cleanup.h -- owning local variables free themselves at the end of scope:
 *
 *     AUTO(free_ptr) char *text = strdup(name);
 *     AUTO(buf_free) struct buf b;
 *     AUTO(close_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC);
 *     ...
 *     return TAKE(text);
 */
#ifndef MAAS_CLEANUP_H
#define MAAS_CLEANUP_H
#include "base/arena.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AUTO(free_fn) __attribute__((cleanup(free_fn)))

/* The value goes to a new owner: the local forgets it, so it is not freed. */
#define TAKE(p)                    \
    __extension__({                \
        __typeof__(p) take_ = (p); \
        (p) = NULL;                \
        take_;                     \
    })

static inline void free_ptr(void *p) /* of any pointer type: cleanup passes its address */
{
    void *owned;
    memcpy(&owned, p, sizeof owned);
    free(owned);
}

static inline void close_ptr(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void fclose_ptr(FILE **f)
{
    if (*f)
        fclose(*f);
}

static inline void json_decref_ptr(json_t **j)
{
    json_decref(*j); /* NULL is fine */
}

static inline void arena_free_ptr(struct arena **a)
{
    arena_free(*a);
}
#endif
