/* tests/sim/disk.c -- see disk.h. */
#include "tests/sim/disk.h"
#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum { FILES_MAX = 8, NAME_BYTES = 200, SECTOR = 512, SHM_REGIONS = 8, SHM_LOCKS = 8 };

struct bytes {
    uint8_t *at;
    size_t len, room;
};

struct write { /* since the last sync */
    size_t at, len;
    struct write *next;
};

struct file {
    char name[NAME_BYTES];
    bool there;
    struct bytes now, safe; /* as programs see it; as it is after the last sync */
    struct write *writes;
    bool cut; /* truncated since the last sync */
    void *shm[SHM_REGIONS];
    int readers, owners; /* handles with a lock of the file; with more than a shared one */
    int shared[SHM_LOCKS];
    bool exclusive[SHM_LOCKS];
};

struct handle {
    sqlite3_file base;
    struct file *file;
    int level;                  /* SQLITE_LOCK_... of the file itself */
    uint16_t shared, exclusive; /* bits of the WAL index's locks that it holds */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file files[FILES_MAX];
static struct {
    bool there;
    struct bytes now;
    char name[NAME_BYTES];
} kept[FILES_MAX];
static uint64_t state = 1;
static bool off;
static unsigned off_at, power_calls;
static struct fault {
    enum disk_call call;
    unsigned nth;
    int rc;
    bool sticky, fired;
} fault;
static unsigned counts[DISK_CALLS];

void disk_seed(uint64_t seed)
{
    state = seed * 2654435769u + 1;
}

uint64_t disk_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void put(struct bytes *b, size_t at, const void *bytes, size_t len)
{
    if (at + len > b->room) {
        b->room = (at + len) * 2;
        b->at = realloc(b->at, b->room);
        assert(b->at);
    }
    if (at > b->len)
        memset(b->at + b->len, 0, at - b->len);
    if (len)
        memcpy(b->at + at, bytes, len);
    if (at + len > b->len)
        b->len = at + len;
}

static void copy(struct bytes *to, const struct bytes *from)
{
    to->len = 0;
    put(to, 0, from->at, from->len);
}

static void forget_writes(struct file *f)
{
    while (f->writes) {
        struct write *next = f->writes->next;
        free(f->writes);
        f->writes = next;
    }
}

/* All that was written is safe.  By its writes alone: a commit writes little of a large file. */
static void make_safe(struct file *f)
{
    if (f->cut)
        copy(&f->safe, &f->now);
    for (const struct write *w = f->cut ? NULL : f->writes; w; w = w->next)
        put(&f->safe, w->at, f->now.at + w->at, w->len);
    f->cut = false;
    forget_writes(f);
}

static void clear(struct file *f)
{
    free(f->now.at);
    free(f->safe.at);
    for (int i = 0; i < SHM_REGIONS; i++)
        free(f->shm[i]);
    forget_writes(f);
    *f = (struct file){ 0 };
}

void disk_format(void)
{
    for (int i = 0; i < FILES_MAX; i++)
        clear(&files[i]);
    off = false;
    off_at = 0;
}

/* ---- faults -------------------------------------------------------------------------------- */

void disk_fail(enum disk_call call, unsigned nth, int rc, bool sticky)
{
    fault = (struct fault){ call, nth, rc, sticky, false };
    memset(counts, 0, sizeof counts);
}

bool disk_fault_fired(void)
{
    return fault.fired;
}

static int answer(enum disk_call call)
{
    if (off_at && (call == DISK_WRITE || call == DISK_SYNC) && ++power_calls >= off_at)
        off = true;
    if (off)
        return SQLITE_IOERR;
    counts[call]++;
    if (!fault.nth || fault.call != call || counts[call] < fault.nth ||
        (fault.fired && !fault.sticky))
        return SQLITE_OK;
    fault.fired = true;
    return fault.rc;
}

/* ---- power --------------------------------------------------------------------------------- */

void disk_power_off(void)
{
    off = true;
}

void disk_power_off_at(unsigned nth)
{
    off_at = nth;
    power_calls = 0;
}

bool disk_is_off(void)
{
    return off;
}

/* A sector of a write that was not synced: there, torn, or as it was. */
static void settle_sector(struct file *f, size_t at, size_t len)
{
    uint64_t dice = disk_random() % 8;
    if (dice < 4) {
        put(&f->safe, at, f->now.at + at, len);
    } else if (dice == 4) {
        size_t part = len / 2;
        put(&f->safe, at, f->now.at + at, part);
    }
}

static void settle_write(struct file *f, const struct write *w)
{
    for (size_t at = w->at; at < w->at + w->len && at < f->now.len;) {
        size_t end = (at / SECTOR + 1) * SECTOR;
        if (end > w->at + w->len)
            end = w->at + w->len;
        if (end > f->now.len)
            end = f->now.len;
        settle_sector(f, at, end - at);
        at = end;
    }
}

void disk_power_on(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *f = &files[i];
        for (const struct write *w = f->writes; w; w = w->next)
            settle_write(f, w);
        forget_writes(f);
        f->cut = false;
        copy(&f->now, &f->safe);
        for (int r = 0; r < SHM_REGIONS; r++) {
            free(f->shm[r]);
            f->shm[r] = NULL;
        }
        f->readers = f->owners = 0;
        memset(f->shared, 0, sizeof f->shared);
        memset(f->exclusive, 0, sizeof f->exclusive);
    }
    off = false;
    off_at = 0;
}

/* ---- looking from outside ------------------------------------------------------------------ */

static struct file *find_end(const char *end)
{
    for (int i = 0; i < FILES_MAX; i++) {
        size_t len = strlen(files[i].name), tail = strlen(end);
        if (files[i].there && len >= tail && strcmp(files[i].name + len - tail, end) == 0)
            return &files[i];
    }
    return NULL;
}

bool disk_flip(const char *name_end, uint64_t byte, unsigned bit)
{
    struct file *f = find_end(name_end);
    if (!f || byte >= f->now.len)
        return false;
    f->now.at[byte] ^= (uint8_t)(1u << bit);
    copy(&f->safe, &f->now);
    return true;
}

uint64_t disk_size(const char *name_end)
{
    const struct file *f = find_end(name_end);
    return f ? f->now.len : 0;
}

bool disk_save(const char *name_end, const char *path)
{
    struct file *f = find_end(name_end);
    FILE *to = f ? fopen(path, "wb") : NULL;
    bool ok = to && fwrite(f->now.at, 1, f->now.len, to) == f->now.len;
    return to && fclose(to) == 0 && ok;
}

void disk_snapshot(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        kept[i].there = files[i].there;
        memcpy(kept[i].name, files[i].name, NAME_BYTES);
        copy(&kept[i].now, &files[i].now);
    }
}

void disk_restore(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        clear(&files[i]);
        files[i].there = kept[i].there;
        memcpy(files[i].name, kept[i].name, NAME_BYTES);
        copy(&files[i].now, &kept[i].now);
        copy(&files[i].safe, &kept[i].now);
    }
    off = false;
    off_at = 0;
}

/* ---- the methods of a file ----------------------------------------------------------------- */

static struct file *of(sqlite3_file *f)
{
    return ((struct handle *)f)->file;
}

static void set_level(struct handle *h, int level)
{
    h->file->readers += (level > SQLITE_LOCK_NONE) - (h->level > SQLITE_LOCK_NONE);
    h->file->owners += (level > SQLITE_LOCK_SHARED) - (h->level > SQLITE_LOCK_SHARED);
    h->level = level;
}

static void unlock_all(struct handle *h)
{
    for (int i = 0; i < SHM_LOCKS; i++) {
        if (h->shared >> i & 1)
            h->file->shared[i]--;
        if (h->exclusive >> i & 1)
            h->file->exclusive[i] = false;
    }
    h->shared = h->exclusive = 0;
    set_level(h, SQLITE_LOCK_NONE);
}

static int on_close(sqlite3_file *f)
{
    struct handle *h = (struct handle *)f;
    pthread_mutex_lock(&lock);
    if (!off) /* else everything is reset with the power */
        unlock_all(h);
    pthread_mutex_unlock(&lock);
    return SQLITE_OK;
}

static int on_read(sqlite3_file *f, void *bytes, int len, sqlite3_int64 at)
{
    struct file *file = of(f);
    size_t have = (size_t)at < file->now.len ? file->now.len - (size_t)at : 0;
    size_t n = have < (size_t)len ? have : (size_t)len;
    if (off)
        return SQLITE_IOERR_READ;
    if (n)
        memcpy(bytes, file->now.at + at, n);
    memset((uint8_t *)bytes + n, 0, (size_t)len - n);
    return n == (size_t)len ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int on_write(sqlite3_file *f, const void *bytes, int len, sqlite3_int64 at)
{
    pthread_mutex_lock(&lock);
    int rc = answer(DISK_WRITE);
    if (rc == SQLITE_OK) {
        struct file *file = of(f);
        struct write *w = malloc(sizeof *w);
        assert(w);
        put(&file->now, (size_t)at, bytes, (size_t)len);
        *w = (struct write){ (size_t)at, (size_t)len, file->writes };
        file->writes = w;
    }
    pthread_mutex_unlock(&lock);
    return rc == SQLITE_IOERR ? SQLITE_IOERR_WRITE : rc;
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 len)
{
    pthread_mutex_lock(&lock);
    int rc = answer(DISK_TRUNCATE);
    if (rc == SQLITE_OK && (size_t)len < of(f)->now.len) {
        of(f)->now.len = (size_t)len;
        of(f)->cut = true;
    }
    pthread_mutex_unlock(&lock);
    return rc == SQLITE_IOERR ? SQLITE_IOERR_TRUNCATE : rc;
}

static int on_sync(sqlite3_file *f, int flags)
{
    (void)flags;
    pthread_mutex_lock(&lock);
    bool on = !off;
    int rc = answer(DISK_SYNC);
    if (rc == SQLITE_OK || (on && off && disk_random() % 2)) /* done, and nobody is told */
        make_safe(of(f));
    pthread_mutex_unlock(&lock);
    return rc == SQLITE_IOERR ? SQLITE_IOERR_FSYNC : rc;
}

static int on_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)of(f)->now.len;
    return off ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

/* Who closes last would tidy up the WAL, so these must be true. */
static int on_lock(sqlite3_file *f, int level)
{
    struct handle *h = (struct handle *)f;
    pthread_mutex_lock(&lock);
    int other_readers = h->file->readers - (h->level > SQLITE_LOCK_NONE);
    int other_owners = h->file->owners - (h->level > SQLITE_LOCK_SHARED);
    bool busy = (level > SQLITE_LOCK_SHARED && other_owners) ||
                (level == SQLITE_LOCK_EXCLUSIVE && other_readers);
    if (!busy && level > h->level)
        set_level(h, level);
    pthread_mutex_unlock(&lock);
    return busy ? SQLITE_BUSY : SQLITE_OK;
}

static int on_unlock(sqlite3_file *f, int level)
{
    struct handle *h = (struct handle *)f;
    pthread_mutex_lock(&lock);
    if (level < h->level)
        set_level(h, level);
    pthread_mutex_unlock(&lock);
    return SQLITE_OK;
}

static int check_lock(sqlite3_file *f, int *ret)
{
    (void)f;
    *ret = 0;
    return SQLITE_OK;
}

static int on_control(sqlite3_file *f, int op, void *arg)
{
    (void)f, (void)op, (void)arg;
    return SQLITE_NOTFOUND;
}

static int sector_size(sqlite3_file *f)
{
    (void)f;
    return SECTOR;
}

static int characteristics(sqlite3_file *f)
{
    (void)f;
    /* Nothing is atomic, nothing is in order; but what was not written stays as it was, as the
     * system's VFS says of its disks. */
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- shared memory of the WAL's index ------------------------------------------------------ */

static int shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **ret)
{
    struct file *file = of(f);
    pthread_mutex_lock(&lock);
    int rc = region < SHM_REGIONS ? answer(DISK_SHM) : SQLITE_IOERR;
    if (rc == SQLITE_OK && !file->shm[region] && extend) {
        file->shm[region] = calloc(1, (size_t)size);
        assert(file->shm[region]);
    }
    *ret = rc == SQLITE_OK ? file->shm[region] : NULL;
    pthread_mutex_unlock(&lock);
    return rc == SQLITE_IOERR ? SQLITE_IOERR_SHMMAP : rc;
}

static bool is_free(const struct handle *h, int i, bool exclusive)
{
    const struct file *f = h->file;
    int others = f->shared[i] - (h->shared >> i & 1);
    bool other_owner = f->exclusive[i] && !(h->exclusive >> i & 1);
    return !other_owner && (!exclusive || others == 0);
}

static void take(struct handle *h, int i, bool exclusive)
{
    if (exclusive) {
        h->file->exclusive[i] = true;
        h->exclusive |= (uint16_t)(1 << i);
    } else if (!(h->shared >> i & 1)) {
        h->file->shared[i]++;
        h->shared |= (uint16_t)(1 << i);
    }
}

static void give(struct handle *h, int i, bool exclusive)
{
    if (exclusive && (h->exclusive >> i & 1)) {
        h->file->exclusive[i] = false;
        h->exclusive &= (uint16_t) ~(1 << i);
    } else if (!exclusive && (h->shared >> i & 1)) {
        h->file->shared[i]--;
        h->shared &= (uint16_t) ~(1 << i);
    }
}

static int shm_lock(sqlite3_file *f, int from, int n, int flags)
{
    struct handle *h = (struct handle *)f;
    bool exclusive = flags & SQLITE_SHM_EXCLUSIVE, free_all = true;
    pthread_mutex_lock(&lock);
    for (int i = from; i < from + n && (flags & SQLITE_SHM_LOCK); i++)
        free_all = free_all && is_free(h, i, exclusive);
    for (int i = from; i < from + n && free_all; i++) {
        if (flags & SQLITE_SHM_LOCK)
            take(h, i, exclusive);
        else
            give(h, i, exclusive);
    }
    pthread_mutex_unlock(&lock);
    return free_all ? SQLITE_OK : SQLITE_BUSY;
}

static void shm_barrier(sqlite3_file *f)
{
    (void)f;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static int shm_unmap(sqlite3_file *f, int delete)
{
    (void)f, (void)delete;
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_size,
    .xLock = on_lock,
    .xUnlock = on_unlock,
    .xCheckReservedLock = check_lock,
    .xFileControl = on_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

/* ---- the methods of the VFS ---------------------------------------------------------------- */

static struct file *find(const char *name, bool make)
{
    struct file *empty = NULL;
    for (int i = 0; i < FILES_MAX; i++) {
        if (files[i].name[0] && strcmp(files[i].name, name) == 0)
            return &files[i];
        if (!files[i].name[0] && !empty)
            empty = &files[i];
    }
    if (!make || !empty || strlen(name) >= NAME_BYTES)
        return NULL;
    memcpy(empty->name, name, strlen(name) + 1);
    return empty;
}

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    (void)v;
    struct handle *h = (struct handle *)f;
    *h = (struct handle){ 0 };
    struct file *file = name ? find(name, true) : NULL;
    if (!file || off || (!file->there && !(flags & SQLITE_OPEN_CREATE)))
        return SQLITE_CANTOPEN;
    file->there = true;
    h->file = file;
    h->base.pMethods = &methods;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *v, const char *name, int sync)
{
    (void)v, (void)sync;
    struct file *f = find(name, false);
    if (off)
        return SQLITE_IOERR_DELETE;
    if (f) {
        f->there = false;
        f->now.len = f->safe.len = 0;
        forget_writes(f);
    }
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
    (void)v;
    const struct file *f = find(name, false);
    *ret = f && f->there && (flags != SQLITE_ACCESS_EXISTS || f->now.len > 0);
    return SQLITE_OK;
}

static int vfs_full(sqlite3_vfs *v, const char *name, int room, char *ret)
{
    (void)v;
    sqlite3_snprintf(room, ret, "%s", name);
    return SQLITE_OK;
}

void disk_install(void)
{
    static sqlite3_vfs vfs;
    vfs = *sqlite3_vfs_find(NULL);
    vfs.szOsFile = sizeof(struct handle);
    vfs.zName = "simulated";
    vfs.xOpen = vfs_open;
    vfs.xDelete = vfs_delete;
    vfs.xAccess = vfs_access;
    vfs.xFullPathname = vfs_full;
    int rc = sqlite3_vfs_register(&vfs, 1);
    assert(rc == SQLITE_OK);
}
