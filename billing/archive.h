/* billing/archive.h -- closed months leave the store, whole, into files of their own.
 *
 * A month is archived in three steps, each of which may be the last before a crash:
 *   write   its requests, settlements and postings of usage, with all that an audit of them
 *           needs, become DIR/archive/MONTH.db: a store by itself, audited, and beside it MONTH.json
 *   record  the store knows the file, its digest, and what the month has added up to
 *   drop    they leave the store, a bounded number in each transaction
 * An archive that is being dropped is simply dropped further.  Documents, roll-ups, balances,
 * numbers, funds and contracts stay.  docs/decisions/0007-months-in-one-tree.md says why so.
 */
#ifndef MAAS_ARCHIVE_H
#define MAAS_ARCHIVE_H
#include "base/digest.h"
#include "base/file.h"
#include "base/status.h"
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct db;

enum { ARCHIVE_MONTH_BYTES = 8, ARCHIVE_DROP_ROWS = 2000 };

struct archive {
    char month[ARCHIVE_MONTH_BYTES];
    char file[FILE_PATH_BYTES], sha256[DIGEST_HEX_BYTES];
    char *periods; /* ids of its billing periods, a JSON array; free it */
    json_t *draws; /* [[fund,atoms],..]; the caller's */
    int64_t bytes, requests, from_rid, to_rid, from_tx, to_tx, created_us;
    uint8_t rollups_sha256[DIGEST_BYTES];
};
void archive_clear(struct archive *a);

/* Which month: `month` or, NULL, the oldest that is due; "" in ret: none is.  BAD_FIELD, CONFLICT (it is
 * younger than `retention_months` whole months, archived already, or somebody's invoice of it is not
 * issued): err says so.  Any connection. */
MUST_CHECK enum status archive_choose(struct db *db, const char *month, int64_t retention_months,
                                      int64_t now_us, char ret[static ARCHIVE_MONTH_BYTES],
                                      char err[static 256]);

/* Writes and audits the file, by connections of its own; blocks, any thread but the ledger's. */
MUST_CHECK enum status archive_write(const char *dir, const char *month, int64_t now_us,
                                     const atomic_bool *stop, struct archive *ret,
                                     char err[static 256]);

/* Inside a ledger_call.  CONFLICT: the month is archived already, or was opened again. */
MUST_CHECK enum status archive_record(struct db *db, const struct archive *a);
/* Inside a ledger_call: looks at the next ARCHIVE_DROP_ROWS of each kind of rows of the archive that is being
 * dropped.  `at` is zeroed before the first call; *ret_done: nothing is being dropped any more. */
struct archive_drop {
    int64_t archive, to_rid, to_tx, rid, tx;
};
MUST_CHECK enum status archive_drop(struct db *db, struct archive_drop *at, bool *ret_done);

/* Whether requests that were settled in [from_us, to_us) are in an archive, so not here. */
MUST_CHECK enum status archive_covers(struct db *db, int64_t from_us, int64_t to_us, bool *ret);

/* [{"month","state","file","sha256","requests","bytes","created"}], oldest month first. */
MUST_CHECK enum status archive_list(struct db *db, json_t **ret);

/* Chained over the roll-ups of the periods (a JSON array), in the order of their key. */
MUST_CHECK enum status archive_rollups_digest(struct db *db, const char *periods,
                                              uint8_t ret[static DIGEST_BYTES]);
#endif
