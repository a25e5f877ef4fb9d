/* tests/helpers/badfs.c -- the system's VFS with three of its file methods replaced. */
#include "tests/helpers/badfs.h"
#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stddef.h>

static sqlite3_vfs vfs, *base;
/* Databases and journals have tables that differ in their locks. */
static struct table {
    const sqlite3_io_methods *real;
    sqlite3_io_methods bad;
} tables[8];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of tables that are made */
static struct {
    _Atomic unsigned count, from; /* from: the first call that fails, 0: none */
    _Atomic int rc;
} calls[BADFS_CALLS];

static int answer(enum badfs_call call)
{
    unsigned now = ++calls[call].count;
    return calls[call].from && now >= calls[call].from ? calls[call].rc : SQLITE_OK;
}

static const sqlite3_io_methods *real_of(const sqlite3_file *f)
{
    struct table *t = tables;
    while (f->pMethods != &t->bad)
        t++;
    return t->real;
}

static int bad_write(sqlite3_file *f, const void *bytes, int len, sqlite3_int64 at)
{
    int rc = answer(BADFS_WRITE);
    return rc ? rc : real_of(f)->xWrite(f, bytes, len, at);
}

static int bad_sync(sqlite3_file *f, int flags)
{
    int rc = answer(BADFS_SYNC);
    return rc ? rc : real_of(f)->xSync(f, flags);
}

static int bad_read(sqlite3_file *f, void *bytes, int len, sqlite3_int64 at)
{
    int rc = answer(BADFS_READ);
    return rc ? rc : real_of(f)->xRead(f, bytes, len, at);
}

static const sqlite3_io_methods *bad_table(const sqlite3_io_methods *real)
{
    struct table *t = tables;
    pthread_mutex_lock(&lock);
    while (t->real && t->real != real)
        t++;
    assert(t < tables + sizeof tables / sizeof *tables);
    if (!t->real) {
        t->real = real;
        t->bad = *real;
        t->bad.xWrite = bad_write;
        t->bad.xSync = bad_sync;
        t->bad.xRead = bad_read;
    }
    pthread_mutex_unlock(&lock);
    return &t->bad;
}

static int bad_open(sqlite3_vfs *self, sqlite3_filename name, sqlite3_file *f, int flags, int *out)
{
    (void)self;
    int rc = base->xOpen(base, name, f, flags, out);
    if (f->pMethods)
        f->pMethods = bad_table(f->pMethods);
    return rc;
}

void badfs_install(void)
{
    sqlite3_initialize();
    base = sqlite3_vfs_find(NULL);
    vfs = *base;
    vfs.zName = "badfs";
    vfs.xOpen = bad_open;
    sqlite3_vfs_register(&vfs, 1);
}

void badfs_break(enum badfs_call call, unsigned nth, int rc)
{
    calls[call].count = 0;
    calls[call].from = nth;
    calls[call].rc = rc;
}

void badfs_heal(void)
{
    for (int i = 0; i < BADFS_CALLS; i++)
        calls[i].count = calls[i].from = 0;
}

unsigned badfs_count(enum badfs_call call)
{
    return calls[call].count;
}
