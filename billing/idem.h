/* billing/idem.h -- Idempotency-Key: the same key with the same request is charged once
 * (draft-ietf-httpapi-idempotency-key-header-07; reference/billing.md 3.2).
 *
 * A key belongs to the project that pays.  It is looked up and taken in the transaction of
 * the hold, and the answer is kept in that of the settlement: no commit is added, and a
 * crash leaves either all of it or nothing.  A request that was voided (nothing reached the
 * client, nothing was charged) gives its key to the next one that brings it.
 *
 * The ledger thread's alone, but for struct idem, which is a request's and lent with its
 * operations.  Costs nothing where no request brings a key.
 */
#ifndef MAAS_IDEM_H
#define MAAS_IDEM_H
#include "base/digest.h"
#include "base/rid.h"
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

enum { IDEM_TYPE_BYTES = 128 };

enum idem_found {
    IDEM_NONE,   /* nobody has the key, or a request that was voided (`original`) */
    IDEM_RUNS,   /* its request has not ended */
    IDEM_OTHER,  /* it stands for a request that was not the same */
    IDEM_GONE,   /* its request was charged and its answer is not kept (any more) */
    IDEM_REPLAY, /* `answer` is what its request was answered */
};

struct idem_answer {
    const char *body;           /* lent to the settlement; found: malloc'd, the request's */
    size_t len;                 /* bytes */
    char type[IDEM_TYPE_BYTES]; /* Content-Type; "": application/json */
    int64_t header_bytes;       /* of binary tensors; -1: it has none */
};

struct idem {
    uint8_t key[DIGEST_BYTES], fingerprint[DIGEST_BYTES];
    enum idem_found found; /* after the hold */
    rid_t original;        /* whose key it is; 0: nobody's */
    struct idem_answer answer;
};

struct idem_limits {
    int64_t keep_us, answer_keep_us; /* how long keys and answers are remembered */
    int64_t answers_bytes_max;       /* of all answers together; older ones make room */
};

struct idem_books {
    struct idem_limits limits;
    bool counted;
    int64_t bytes;    /* of all answers, once counted */
    int64_t sweep_us; /* when old rows are looked for again */
};

/* OK: the key is free, or a voided request's.  CONFLICT: it is not, i->found says why.
 * Else the batch must be rolled back. */
MUST_CHECK enum status idem_find(struct db *db, int64_t project, struct idem *i);
/* After idem_find: it is this request's now. */
MUST_CHECK enum status idem_take(struct db *db, int64_t now_us, rid_t rid, int64_t project,
                                 const struct idem *i);
/* Keeps i->answer, when there is room for it. */
MUST_CHECK enum status idem_keep(struct idem_books *b, struct db *db, int64_t now_us, rid_t rid,
                                 const struct idem *i);
/* Forgets some of what is old: a small batch at once, now and then.  Each batch of the ledger. */
MUST_CHECK enum status idem_sweep(struct idem_books *b, struct db *db, int64_t now_us);
void idem_rolled_back(struct idem_books *b);

#endif
