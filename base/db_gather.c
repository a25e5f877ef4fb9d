/* base/db_gather.c -- a commit goes to the write-ahead log in one write.
 *
 * SQLite writes a page of it in two pieces, head and page, so a commit of six pages is twelve system
 * calls.  This layer below SQLite keeps the pieces until that of the commit has come, which its head
 * tells, and writes them at once.  Nothing of a transaction is looked at by anybody before its commit, so
 * there is nothing to be seen of it earlier; whatever else is done with the file finds it written. */
#include "base/db_inside.h"
#include <string.h>

/* SQLite writes less than 128K at once, and its layer for Unix takes no more. */
enum { PAGES_MAX = 31, ROOM_BYTES = PAGES_MAX * (WAL_FRAME_HEAD_BYTES + PAGE_BYTES) };

struct log { /* the file that is gathered for stands behind it */
    sqlite3_file base;
    uint8_t *kept; /* NULL: nothing was written yet, or there is no memory to keep it in */
    int len;
    sqlite3_int64 at; /* of what is kept */
    bool commits;     /* the head that came last */
};

static sqlite3_vfs *real;

static sqlite3_file *under(sqlite3_file *f)
{
    return (sqlite3_file *)((struct log *)f + 1);
}

static int write_kept(sqlite3_file *f)
{
    struct log *l = (struct log *)f;
    int len = l->len;
    l->len = 0;
    return len ? under(f)->pMethods->xWrite(under(f), l->kept, len, l->at) : SQLITE_OK;
}

static bool commits(const uint8_t head[static WAL_FRAME_HEAD_BYTES])
{
    return (head[4] | head[5] | head[6] | head[7]) !=
           0; /* pages of the database after the commit */
}

static bool may_keep(struct log *l, int len)
{
    if (len != WAL_FRAME_HEAD_BYTES && len != PAGE_BYTES)
        return false;
    if (!l->kept)
        l->kept = sqlite3_malloc(ROOM_BYTES);
    return l->kept != NULL;
}

static int on_write(sqlite3_file *f, const void *bytes, int len, sqlite3_int64 at)
{
    struct log *l = (struct log *)f;
    bool keep = may_keep(l, len);
    if (l->len > 0 && (!keep || at != l->at + l->len || len > ROOM_BYTES - l->len)) {
        int rc = write_kept(f);
        if (rc != SQLITE_OK)
            return rc;
    }
    if (!keep)
        return under(f)->pMethods->xWrite(under(f), bytes, len, at);
    if (l->len == 0)
        l->at = at;
    memcpy(l->kept + l->len, bytes, (size_t)len);
    l->len += len;
    if (len == WAL_FRAME_HEAD_BYTES)
        l->commits = commits(bytes);
    return len == PAGE_BYTES && l->commits ? write_kept(f) : SQLITE_OK;
}

static int on_close(sqlite3_file *f)
{
    int kept = write_kept(f), rc = under(f)->pMethods->xClose(under(f));
    sqlite3_free(((struct log *)f)->kept);
    return kept ? kept : rc;
}

static int on_read(sqlite3_file *f, void *bytes, int len, sqlite3_int64 at)
{
    int rc = write_kept(f);
    return rc ? rc : under(f)->pMethods->xRead(under(f), bytes, len, at);
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int rc = write_kept(f);
    return rc ? rc : under(f)->pMethods->xTruncate(under(f), size);
}

static int on_sync(sqlite3_file *f, int flags)
{
    int rc = write_kept(f);
    return rc ? rc : under(f)->pMethods->xSync(under(f), flags);
}

static int on_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    int rc = write_kept(f);
    return rc ? rc : under(f)->pMethods->xFileSize(under(f), ret);
}

static int on_lock(sqlite3_file *f, int level)
{
    return under(f)->pMethods->xLock(under(f), level);
}

static int on_unlock(sqlite3_file *f, int level)
{
    return under(f)->pMethods->xUnlock(under(f), level);
}

static int on_reserved(sqlite3_file *f, int *ret)
{
    return under(f)->pMethods->xCheckReservedLock(under(f), ret);
}

static int on_control(sqlite3_file *f, int op, void *arg)
{
    return under(f)->pMethods->xFileControl(under(f), op, arg);
}

static int on_sector(sqlite3_file *f)
{
    return under(f)->pMethods->xSectorSize(under(f));
}

static int on_device(sqlite3_file *f)
{
    return under(f)->pMethods->xDeviceCharacteristics(under(f));
}

static const sqlite3_io_methods methods = {
    .iVersion = 1, /* the index of a log is a matter of the database's file */
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_size,
    .xLock = on_lock,
    .xUnlock = on_unlock,
    .xCheckReservedLock = on_reserved,
    .xFileControl = on_control,
    .xSectorSize = on_sector,
    .xDeviceCharacteristics = on_device,
};

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    (void)v;
    if (!(flags & SQLITE_OPEN_WAL))
        return real->xOpen(real, name, f, flags, ret_flags);
    *(struct log *)f = (struct log){ 0 };
    memset(under(f), 0, (size_t)real->szOsFile);
    int rc = real->xOpen(real, name, under(f), flags, ret_flags);
    if (under(f)->pMethods) /* then it must be closed, whether it was opened or not */
        f->pMethods = &methods;
    return rc;
}

void db_gather_register(void)
{
    static sqlite3_vfs vfs;
    real = sqlite3_vfs_find(NULL);
    vfs = *real;
    vfs.szOsFile = real->szOsFile + (int)sizeof(struct log);
    vfs.zName = "maas-gather";
    vfs.xOpen = vfs_open;
    sqlite3_vfs_register(
        &vfs, 1); /* it has a name and is no longer than its version says: it cannot fail */
}
