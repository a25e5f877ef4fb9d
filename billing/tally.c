/* billing/tally.c -- open addressing, at most half full. */
#include "billing/tally.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 1024 };

static size_t hash(const int64_t key[static TALLY_KEYS])
{
    uint64_t h = 0;
    for (unsigned i = 0; i < TALLY_KEYS; i++) {
        h = (h ^ (uint64_t)key[i]) * UINT64_C(0xFF51AFD7ED558CCD);
        h ^= h >> 32;
    }
    return (size_t)h;
}

static struct tally_row *slot_for(struct tally_row *rows, size_t room,
                                  const int64_t key[static TALLY_KEYS])
{
    size_t i = hash(key) & (room - 1);
    while (rows[i].used && memcmp(rows[i].key, key, sizeof rows[i].key) != 0)
        i = (i + 1) & (room - 1);
    return &rows[i];
}

static bool grow(struct tally *t)
{
    size_t room = t->room ? t->room * 2 : FIRST_ROOM;
    struct tally_row *rows = calloc(room, sizeof *rows);
    if (!rows)
        return false;
    for (size_t i = 0; i < t->room; i++)
        if (t->rows[i].used)
            *slot_for(rows, room, t->rows[i].key) = t->rows[i];
    free(t->rows);
    t->rows = rows;
    t->room = room;
    return true;
}

void tally_free(struct tally *t)
{
    free(t->rows);
    *t = (struct tally){ 0 };
}

struct tally_row *tally_row(struct tally *t, const int64_t key[static TALLY_KEYS])
{
    if (t->count * 2 >= t->room && !grow(t))
        return NULL;
    struct tally_row *row = slot_for(t->rows, t->room, key);
    if (!row->used) {
        memcpy(row->key, key, sizeof row->key);
        row->used = true;
        t->count++;
    }
    return row;
}

struct tally_row *tally_find(const struct tally *t, const int64_t key[static TALLY_KEYS])
{
    if (!t->room)
        return NULL;
    struct tally_row *row = slot_for(t->rows, t->room, key);
    return row->used ? row : NULL;
}
