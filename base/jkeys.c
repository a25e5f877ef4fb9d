/* base/jkeys.c -- see the header. */
#include "base/jkeys.h"
#include "base/jscan.h"
#include "base/jstring.h"
#include <stdlib.h>
#include <sys/auxv.h>

__extension__ typedef unsigned __int128 wide;

static uint64_t fold(uint64_t a, uint64_t b)
{
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The kernel gives each process sixteen random bytes at its start. */
static void read_seed(uint64_t seed[static 2])
{
    memcpy(seed, (const void *)getauxval(AT_RANDOM), 16); /* NOLINT: an address by contract */
    seed[0] |= 1;
    seed[1] |= 1;
}

static uint32_t hash_of(const uint64_t seed[static 2], struct span name)
{
    uint64_t h, word;
    size_t i = 0;
    h = seed[0] ^ name.len;
    for (; name.len - i >= 8; i += 8) {
        memcpy(&word, name.at + i, 8);
        h = fold(h ^ word, seed[1]);
    }
    word = 0;
    memcpy(&word, name.at + i, name.len - i);
    h = fold(h ^ word, seed[1]);
    return (uint32_t)(h ^ h >> 32);
}

void jkeys_init(struct jkeys *k)
{
    read_seed(k->seed);
    memset(k->first, 0, sizeof k->first);
    k->slots = k->first;
    k->slot_count = JKEYS_FIRST_SLOTS;
    k->used = 0;
}

void jkeys_free(struct jkeys *k)
{
    if (k->slots != k->first)
        free(k->slots);
}

static bool says(const struct jkey *key, struct span name)
{
    char buf[JSCAN_KEY_BYTES_MAX];
    struct span other = { key->at, key->len };
    if (memchr(key->at, '\\', key->len)) {
        if (!jstring_unescape(other, buf, sizeof buf, &other.len))
            return false;
        other.at = buf;
    }
    return other.len == name.len && memcmp(other.at, name.at, name.len) == 0;
}

static struct jkey *free_slot(struct jkeys *k, uint32_t hash)
{
    uint32_t i = hash & (k->slot_count - 1);
    while (k->slots[i].at)
        i = (i + 1) & (k->slot_count - 1);
    return &k->slots[i];
}

static bool grow(struct jkeys *k)
{
    struct jkeys bigger = { .slot_count = k->slot_count * 4 };
    bigger.slots = calloc(bigger.slot_count, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (uint32_t i = 0; i < k->slot_count; i++)
        if (k->slots[i].at)
            *free_slot(&bigger, k->slots[i].hash) = k->slots[i];
    jkeys_free(k);
    k->slots = bigger.slots;
    k->slot_count = bigger.slot_count;
    return true;
}

enum jkeys_answer jkeys_add(struct jkeys *k, struct span raw, struct span name)
{
    uint32_t hash = hash_of(k->seed, name), i = hash & (k->slot_count - 1);
    for (; k->slots[i].at; i = (i + 1) & (k->slot_count - 1))
        if (k->slots[i].hash == hash && says(&k->slots[i], name))
            return JKEY_DUPLICATE;
    if (k->used == JKEYS_MAX)
        return JKEY_TOO_MANY;
    if (k->used >= k->slot_count / 2 && !grow(k))
        return JKEY_NO_MEMORY;
    *free_slot(k, hash) = (struct jkey){ raw.at, (uint32_t)raw.len, hash };
    k->used++;
    return JKEY_NEW;
}
