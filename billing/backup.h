/* billing/backup.h -- a copy of the store that is whole, checked, and on the disk.
 *
 * A copy has its final name only when every page, reference and sum in it was read and
 * held against the others; what was begun and not ended is called NAME.part.
 */
#ifndef MAAS_BACKUP_H
#define MAAS_BACKUP_H
#include "base/digest.h"
#include "base/status.h"
#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

struct backup {
    int64_t bytes, requests, newest_us; /* newest_us: the ledger's clock in it */
    char sha256[DIGEST_HEX_BYTES];
    json_t *audit; /* audit_run's of the copy; the caller's */
};

/* Copies DIR/ledger.db, which may be in use, to `to`.  CONFLICT: `to`, or `to`.part, exists.
 * STORE_FAILED: no copy was made.  OK also when the audit of the copy, and so of the store, has
 * found something: the caller looks.  Blocks for as long as reading everything takes three times; any
 * thread but the ledger's.  `stop`: as in db_copy.  err: one sentence. */
MUST_CHECK enum status backup_make(const char *dir, const char *to, int64_t now_us,
                                   const atomic_bool *stop, struct backup *ret,
                                   char err[static 256]);

#endif
