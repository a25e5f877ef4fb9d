/* base/db.h -- SQLite behind one door: open, migrate, prepare once, transact.
 *
 * One connection belongs to one thread.  The read-write connection is the ledger
 * thread's, and it alone checkpoints (reference/runtime.md 5); everything else
 * opens read-only.  Integers, text and blobs only; nothing is ever REAL.
 */
#ifndef MAAS_DB_H
#define MAAS_DB_H
#include "base/status.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct db_stmt; /* owned by the connection; never finalised by callers */

enum { DB_SQLITE_VERSION_MIN = 3051003 }; /* before it: the WAL-reset corruption bug */

/* Of the SQLite that is really linked. */
const char *db_library_version(void);

enum db_mode { DB_WRITER, DB_READER };

/* Refuses a linked SQLite older than DB_SQLITE_VERSION_MIN.  Writer: WAL,
 * synchronous=FULL, no autocheckpoint, foreign keys, recursive triggers,
 * DEFENSIVE, cell_size_check, mmap off; a new file is readable by its owner only.
 * ":memory:" is a store for tests.  err: one sentence. */
MUST_CHECK enum status db_open(const char *path, enum db_mode mode, struct db **ret,
                               char err[static 256]);
void db_close(struct db *db);

/* Runs the numbered schema texts that user_version has not seen, each in one transaction. */
MUST_CHECK enum status db_migrate(struct db *db, const char *const *texts, size_t count,
                                  char err[static 256]);

/* Runs inside BEGIN IMMEDIATE .. COMMIT; rolled back unless OK.  The body may not
 * talk to anyone: a failed commit means that nothing of it happened. */
MUST_CHECK enum status db_tx(struct db *db, enum status (*body)(struct db *db, void *arg),
                             void *arg);
MUST_CHECK enum status db_begin(struct db *db);
MUST_CHECK enum status db_commit(struct db *db);
void db_rollback(struct db *db);
/* A savepoint around one operation of a batch; rolling back to it also ends it. */
MUST_CHECK enum status db_savepoint(struct db *db);
MUST_CHECK enum status db_release(struct db *db);
void db_rollback_to(struct db *db);

/* Prepared once per connection and SQL text (compared by pointer: pass a literal
 * or a static array's element); reset and unbound.  NULL: see db_error; it may be handed
 * on: nothing is bound to it, and its step fails. */
struct db_stmt *db_prepare(struct db *db, const char *sql);
void db_int(struct db_stmt *s, int at, int64_t value); /* 1-based */
/* NULL is NULL; len < 0: up to the NUL.  Not copied: text and blob live until the reset or run. */
void db_text(struct db_stmt *s, int at, const char *text, ptrdiff_t len);
void db_blob(struct db_stmt *s, int at, const void *bytes, size_t len);
void db_null(struct db_stmt *s, int at);
/* The columns of the row that `from`, of any connection, stands on; returns how many. */
int db_bind_row(struct db_stmt *s, struct db_stmt *from);

enum db_row { DB_ROW, DB_DONE, DB_FAILED };
enum db_row db_step(struct db_stmt *s);
/* Step a statement that returns no rows, and make it ready for the next run, before which all of
 * it must be bound again: to unbind costs as much as to bind. */
MUST_CHECK enum status db_run(struct db_stmt *s);
void db_reset(struct db_stmt *s);
/* Step a bound query once, and reset it: the first column of its row, 0 when there is none. */
MUST_CHECK enum status db_first_int(struct db *db, struct db_stmt *s, int64_t *ret);
int64_t db_col_int(struct db_stmt *s, int at); /* 0-based */
/* NULL for NULL; valid until the next step; ret_len may be NULL. */
const char *db_col_text(struct db_stmt *s, int at, size_t *ret_len);
const void *db_col_blob(struct db_stmt *s, int at, size_t *ret_len);
bool db_col_null(struct db_stmt *s, int at);

int db_col_count(struct db_stmt *s);
int db_params(struct db_stmt *s); /* the largest number of a ? in it */
int64_t db_last_id(const struct db *db);
int64_t db_changes(const struct db *db);
/* Of the last failure: CONFLICT for UNIQUE and PRIMARY KEY, BAD_FIELD for another constraint,
 * STORE_BUSY, DEADLINE, NO_MEMORY, else STORE_FAILED (a full disk, too: it may get room). */
enum status db_status(const struct db *db);
const char *db_error(const struct db *db); /* for the log; never for a client */

/* The writer saw an I/O error or corruption.  A retried fsync lies, so from then on every
 * step fails: reopen in a new process, which reads what is really on the disk.  What the
 * failed transaction left there is unknown, so replaying it must be harmless. */
bool db_lost(const struct db *db);

/* Copies WAL pages back without waiting for readers; `restart` waits a moment for them, so
 * that the next write begins the WAL anew.  ret_wal_bytes: the WAL in use. */
MUST_CHECK enum status db_checkpoint(struct db *db, bool restart, uint64_t *ret_wal_bytes);
MUST_CHECK enum status db_quick_check(struct db *db, char err[static 256]);
/* The same of every page, index entry and reference; reads all there is. */
MUST_CHECK enum status db_whole_check(struct db *db, char err[static 256]);
/* A copy of the database `from`, which may be in use, as the new private file `to`, on the disk
 * when it returns.  CONFLICT: `to` exists.  After another failure `to` may be there, half done.
 * Blocks; any thread; `stop` (NULL: never) ends it early. */
MUST_CHECK enum status db_copy(const char *from, const char *to, const atomic_bool *stop,
                               char err[static 256]);
/* Statements of this connection are interrupted (DEADLINE) from when *stop is true; it outlives it. */
void db_stop_when(struct db *db, const atomic_bool *stop);
/* A statement still running that long after its first step is interrupted; 0: no deadline. */
void db_deadline(struct db *db, uint64_t ms);
#endif
