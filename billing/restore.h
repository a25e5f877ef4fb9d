/* billing/restore.h -- a backup becomes the store again.
 *
 * What happened after the backup is lost from the store, but not from the world: customers
 * have request ids and numbered documents of that time.  None of these is given a second time:
 * the store begins above them, and the gaps are written down as such (schema/0011.sql).
 */
#ifndef MAAS_RESTORE_H
#define MAAS_RESTORE_H
#include "base/status.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { RESTORE_NUMBERS_MAX = 64 };

struct restore_number { /* the last number of a series that was ever given to a document */
    const char *series; /* "MG-2026" */
    int64_t last;
};

struct restore_options {
    const char *dir, *file, *currency;
    int64_t now_us;
    /* What the operator says was issued; what the store that is there says, counts too. */
    const struct restore_number *issued;
    unsigned issued_count;
    bool
        nothing_issued; /* since the backup: the operator's word when the old store cannot be read */
};

/* The store that is there is kept beside it.  CONFLICT: a daemon uses the directory.  BAD_FIELD:
 * nobody says which numbers were given since the backup.  Nothing is changed unless OK, or err says so.
 * One that was interrupted while files changed their names is ended, whatever `file` is now.
 * *ret: {"requests","orphans","aside":"" or a path,"numbers_lost":[{"series","first","last"}]}. */
MUST_CHECK enum status restore_run(const struct restore_options *o, json_t **ret,
                                   char err[static 256]);
#endif
