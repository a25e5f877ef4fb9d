/* base/buf.c -- grows by half, never past the maximum it was told. */
#include "base/buf.h"
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { FIRST_BYTES = 256, BIG_BYTES = 2 << 20 };

void buf_init(struct buf *b, size_t max)
{
    assert(max < SIZE_MAX / 2);
    *b = (struct buf){ .max = max };
}

void buf_free(struct buf *b)
{
    free(b->at);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->at)
        b->at[0] = '\0';
}

/* By half; a big one all at once, since what is not touched costs nothing and moving does. */
static size_t next_room(const struct buf *b)
{
    size_t room = b->room < BIG_BYTES ? b->room + b->room / 2 : 16 * b->room;
    return room > b->max + 1 ? b->max + 1 : room;
}

/* Fresh memory costs more than what is copied into it, page by page; in huge pages a third of that.
 * Where there are none, nothing changes. */
static void expect_much(char *at, size_t room)
{
    uintptr_t page = 4096, from = ((uintptr_t)at + page - 1) & ~(page - 1);
    madvise((void *)from, (room - (from - (uintptr_t)at)) & ~(page - 1), MADV_HUGEPAGE);
}

void buf_drop(struct buf *b, size_t len)
{
    assert(len <= b->len);
    if (!len)
        return;
    b->len -= len;
    memmove(b->at, b->at + len, b->len + 1);
}

/* Room for `more` bytes and the NUL after them. */
static bool make_room(struct buf *b, size_t more)
{
    if (more > b->max - b->len)
        return false;
    size_t need = b->len + more + 1;
    if (need <= b->room)
        return true;
    size_t room = next_room(b);
    if (room < FIRST_BYTES && b->max >= FIRST_BYTES)
        room = FIRST_BYTES;
    if (room < need)
        room = need;
    char *at = realloc(b->at, room);
    if (!at)
        return false;
    if (room > 2 * BIG_BYTES)
        expect_much(at, room);
    b->at = at;
    b->room = room;
    return true;
}

bool buf_add(struct buf *b, const void *bytes, size_t len)
{
    if (len >= b->room - b->len && !make_room(b, len)) /* most additions are short and fit */
        return false;
    if (len)
        memcpy(b->at + b->len, bytes, len);
    b->len += len;
    b->at[b->len] = '\0';
    return true;
}

bool buf_text(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

bool buf_vprintf(struct buf *b, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    bool ok = len >= 0 && make_room(b, (size_t)len);
    if (ok) {
        vsnprintf(b->at + b->len, (size_t)len + 1, fmt, again);
        b->len += (size_t)len;
    }
    va_end(again);
    return ok;
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    bool ok = buf_vprintf(b, fmt, args);
    va_end(args);
    return ok;
}

char *buf_take(struct buf *b, size_t *ret_len)
{
    if (!b->at && !make_room(b, 0))
        return NULL;
    char *taken = b->at;
    taken[b->len] = '\0';
    if (ret_len)
        *ret_len = b->len;
    buf_init(b, b->max);
    return taken;
}
