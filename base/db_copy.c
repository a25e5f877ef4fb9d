/* base/db_copy.c -- a consistent copy of a database that is in use, and proof that it is one.
 *
 * VACUUM INTO by a read-only connection of its own: the writer goes on meanwhile, and what it
 * commits after the copy has begun is not in it.  The write-ahead log cannot start over before
 * the copy is done.  The page layout goes over, room for checksums included.
 */
#include "base/db_inside.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum status copied(struct db *db, const char *to)
{
    struct db_stmt *s = db_prepare(db, "VACUUM INTO ?1");
    if (!s)
        return db_status(db);
    db_text(s, 1, to, -1);
    return db_run(s);
}

enum status db_copy(const char *from, const char *to, const atomic_bool *stop, char err[static 256])
{
    struct db *db = NULL;
    int fd =
        open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* SQLite would let others read */
    if (fd < 0) {
        snprintf(err, DB_ERR_BYTES, "%.180s: %s", to, strerror(errno));
        return errno == EEXIST ? STATUS_CONFLICT : STATUS_STORE_FAILED;
    }
    close(fd); /* before it is a database */
    enum status s = db_open(from, DB_READER, &db, err);
    if (s)
        return s;
    db_stop_when(db, stop);
    /* The connection cannot write to its own file; of the other one query_only knows nothing. */
    s = sqlite3_exec(db->sqlite, "PRAGMA query_only=OFF", NULL, NULL, NULL) == SQLITE_OK
            ? copied(db, to)
            : STATUS_STORE_FAILED;
    if (s)
        snprintf(err, DB_ERR_BYTES, "%.100s: %.150s", to, db->error);
    db_close(db);
    return s ? s : file_sync(to, err);
}
