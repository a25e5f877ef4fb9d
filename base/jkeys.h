/* base/jkeys.h -- the keys that an object has had so far, to find a duplicate.
 *
 * Open addressing; the first slots are inside, more come from malloc.  The hash is
 * seeded by the process, so that nobody can prepare keys that collide.
 */
#ifndef MAAS_JKEYS_H
#define MAAS_JKEYS_H
#include "base/span.h"
#include <stdint.h>

enum { JKEYS_MAX = 4096, JKEYS_FIRST_SLOTS = 64 };

struct jkey {
    const char *at; /* between the quotes, escapes as they are; NULL: free slot */
    uint32_t len, hash;
};

struct jkeys {
    struct jkey *slots;
    uint32_t slot_count, used; /* slot_count is a power of two */
    uint64_t seed[2];          /* of the process */
    struct jkey first[JKEYS_FIRST_SLOTS];
};

enum jkeys_answer { JKEY_NEW, JKEY_DUPLICATE, JKEY_TOO_MANY, JKEY_NO_MEMORY };

void jkeys_init(struct jkeys *k);
void jkeys_free(struct jkeys *k);

/* `raw` is borrowed until jkeys_free; `name` is the same key unescaped, used now only. */
enum jkeys_answer jkeys_add(struct jkeys *k, struct span raw, struct span name);
#endif
