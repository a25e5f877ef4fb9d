/* billing/tally.h -- sums by key, for the audit: a hash table that grows. */
#ifndef MAAS_TALLY_H
#define MAAS_TALLY_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TALLY_KEYS = 9, TALLY_SUMS = 4 };

struct tally_row {
    int64_t key[TALLY_KEYS];
    int64_t sum[TALLY_SUMS];
    uint64_t mix;    /* for the caller */
    bool used, seen; /* seen: for the caller */
};

struct tally {
    struct tally_row *rows;
    size_t room, count;
};

void tally_free(struct tally *t);
/* The row of this key, new ones with zeros; valid until the next call.  NULL: no memory. */
struct tally_row *tally_row(struct tally *t, const int64_t key[static TALLY_KEYS]);
/* NULL: there is none. */
struct tally_row *tally_find(const struct tally *t, const int64_t key[static TALLY_KEYS]);
#endif
