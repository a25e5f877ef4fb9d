/* billing/store.h -- the directory of the ledger: who may open it, and the space
 * kept in it for the day the disk is full. */
#ifndef MAAS_STORE_H
#define MAAS_STORE_H
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

struct db;

/* While it is in the directory the files there belong to different stores (billing/restore.c). */
#define STORE_RESTORING "ledger.restoring"

enum { STORE_RESERVE_BYTES = 16 << 20, STORE_PATH_BYTES = 1024 };

/* Locks DIR/ledger.lock for this process, whose death frees it: CONFLICT when another
 * daemon has it.  *ret_fd is closed only after the database is. */
MUST_CHECK enum status store_lock(const char *dir, int *ret_fd, char err[static 256]);

/* Opens DIR/ledger.db for writing, migrates it, checks its pages when it is small
 * enough for that to take no time to speak of (64 MiB), and its currency.  CONFLICT: another
 * currency, or a restore that was interrupted. */
MUST_CHECK enum status store_open(const char *dir, const char *currency, int64_t now_us,
                                  struct db **ret, char err[static 256]);

/* The same of one file; whoever opens it sees to it that nobody else does. */
MUST_CHECK enum status store_open_file(const char *path, const char *currency, int64_t now_us,
                                       struct db **ret, char err[static 256]);

/* A file that is only read.  One that an older version of this program wrote is not changed: it is read
 * as `copy`, which is made, of today's schema; *ret_copied: it is the caller's to remove, also after a
 * failure.  CONFLICT: there is a file `copy` already. */
MUST_CHECK enum status store_open_reader(const char *path, const char *copy, bool *ret_copied,
                                         struct db **ret, char err[static 256]);

/* DIR/ledger.reserve: blocks that belong to the ledger.  False: there is no room. */
MUST_CHECK bool store_reserve(const char *dir);
/* Gives them back to the file system.  False: there was nothing to give. */
MUST_CHECK bool store_release(const char *dir);
#endif
