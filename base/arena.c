/* base/arena.c -- blocks in a list, newest first; the first one comes with the arena.
 *
 * Most requests never need a second block, so an arena is one block.  A thread keeps a few of
 * those it has freed: glibc merges all of its small free pieces at every malloc of 1 KiB or
 * more, and what it merged for one request it cuts up again for the next.
 */
#include "base/arena.h"
#include <assert.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef ARENA_MALLOC
enum { BLOCK_BYTES = 0, SPARES_MAX = 0 }; /* no allocation fits a block, so each gets its own */
#else
enum { BLOCK_BYTES = 8192, SPARES_MAX = 64 };
#endif

struct block {
    struct block *next;
    alignas(max_align_t) char data[];
};

struct arena {
    struct block *blocks; /* without the first */
    struct arena *next;   /* among the spares */
    char *at;             /* free room of the newest block */
    size_t room;
    size_t used, limit;
    alignas(max_align_t) char first[];
};

static _Thread_local struct arena *spares;
static _Thread_local unsigned spare_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end;
static bool spares_end; /* a thread that ends frees its spares; else none are kept */

static void free_spares(void *unused)
{
    (void)unused;
    for (struct arena *a; (a = spares);) {
        spares = a->next;
        free(a);
    }
    spare_count = 0;
}

static void make_thread_end(void)
{
    spares_end = pthread_key_create(&thread_end, free_spares) == 0;
}

static bool keep_spare(struct arena *a)
{
    if (spare_count == SPARES_MAX) /* with the sanitizers none are kept */
        return false;
    if (spare_count == 0) {
        pthread_once(&once, make_thread_end);
        if (!spares_end || pthread_setspecific(thread_end, &spares) != 0)
            return false;
    }
    a->next = spares;
    spares = a;
    spare_count++;
    return true;
}

static struct arena *take_spare(void)
{
    struct arena *a = spares;
    if (a) {
        spares = a->next;
        spare_count--;
    }
    return a;
}

struct arena *arena_new(size_t limit_bytes)
{
    struct arena *a = take_spare();
    if (!a)
        a = malloc(sizeof *a + BLOCK_BYTES);
    if (a)
        *a = (struct arena){ .at = a->first, .room = BLOCK_BYTES, .limit = limit_bytes };
    return a;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    if (!keep_spare(a))
        free(a);
}

static char *new_block(struct arena *a, size_t bytes)
{
    struct block *b = malloc(sizeof *b + bytes);
    if (!b)
        return NULL;
    b->next = a->blocks;
    a->blocks = b;
    return b->data;
}

/* Room for `bytes`, which is a multiple of the alignment.  What is large gets a block of its
 * own, so that the rest of the newest block stays in use. */
static char *take(struct arena *a, size_t bytes)
{
    if (bytes > a->room) {
        if (bytes > BLOCK_BYTES / 4)
            return new_block(a, bytes);
        char *data = new_block(a, BLOCK_BYTES);
        if (!data)
            return NULL;
        a->at = data;
        a->room = BLOCK_BYTES;
    }
    char *taken = a->at;
    a->at += bytes;
    a->room -= bytes;
    return taken;
}

static void *take_counted(struct arena *a, size_t bytes)
{
    assert(a->used <= a->limit);
    const size_t mask = alignof(max_align_t) - 1;
    size_t left = a->limit - a->used;
    if (bytes > left || bytes > SIZE_MAX - mask)
        return NULL;
    size_t padded = bytes ? (bytes + mask) & ~mask : mask + 1;
    if (padded > left)
        return NULL;
    char *taken = take(a, BLOCK_BYTES ? padded : bytes);
    if (taken)
        a->used += padded;
    return taken;
}

void *arena_room(struct arena *a, size_t bytes)
{
    return take_counted(a, bytes);
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    void *taken = take_counted(a, bytes);
    return taken ? memset(taken, 0, bytes) : NULL;
}

char *arena_memdup(struct arena *a, const void *bytes, size_t len)
{
    char *copy = len < SIZE_MAX ? take_counted(a, len + 1) : NULL;
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

char *arena_strdup(struct arena *a, const char *text)
{
    return arena_memdup(a, text, strlen(text));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    char *text = len >= 0 ? take_counted(a, (size_t)len + 1) : NULL;
    if (text)
        vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    va_end(args);
    return text;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}
