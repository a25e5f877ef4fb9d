/* billing/ledger.c -- the ledger thread: takes what has gathered, applies it in one
 * transaction, and only after the commit says that it is done.
 *
 * Batches form by themselves: while one commit waits for the disk the next batch
 * gathers, so a busy ledger commits rarely and an idle one at once.
 *
 * When a commit fails
 *   and the connection is lost (a write or an fsync failed): nothing is retried,
 *     since an fsync that is repeated may lie.  Everything ends with STORE_FAILED
 *     from then on; the next start recovers from what is on disk.
 *   and the disk is full: holds and calls are refused, settlements are kept and
 *     tried again; a reserve file is given up, so that what is in flight can end.
 */
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/books.h"
#include "billing/checkpoint.h"
#include "billing/running.h"
#include "billing/store.h"
#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

enum {
    BATCH_OPS = 4096,
    RETRY_MS = 200,
    RESERVE_RETRY_MS = 1000,
    WAL_PAGE_BYTES = 4096 + 24,
    WAL_LOOK_OPS = 256, /* how often the size of the WAL is asked for */
    WAL_LOOK_COMMITS = 32,
};
#define WAL_PASSIVE_BYTES (UINT64_C(4) << 20)
#define WAL_RESTART_BYTES (UINT64_C(64) << 20)

struct ledger {
    struct mpsc queue;
    _Atomic uint32_t pushes;   /* futex word: changes with each push onto an empty queue */
    _Atomic uint32_t sleeping; /* the thread waits, or is about to */
    _Atomic bool stop, lost, full;
    _Atomic int64_t stamp_us; /* of the newest batch */
    pthread_t thread;
    const struct env *env;
    struct db *db;
    int lock_fd;
    bool reload, retry_now;
    uint64_t wal_passive_bytes, wal_restart_at;
    unsigned ops_since_look, commits_since_look;
    int64_t reserve_retry_ns;
    struct ledger_stats stats;
    struct books books;
    struct mpsc_node *waiting; /* taken from the queue, not in a batch yet */
    unsigned kept, count;      /* kept: settlements of a failed batch, to be tried again */
    struct ledger_op *batch[BATCH_OPS];
    char dir[STORE_PATH_BYTES];
};

static void *ledger_main(void *arg);

/* ---- life ---------------------------------------------------------------------------------- */

static void ledger_free(struct ledger *l)
{
    books_close(&l->books);
    if (l->db)
        db_close(l->db);
    close_ptr(&l->lock_fd); /* last: until then no other daemon may open the store */
    free(l);
}

static enum status open_parts(struct ledger *l, const struct ledger_options *o,
                              char err[static 256])
{
    int64_t now_us = o->env->wall_us(o->env->arg);
    enum status s = store_lock(o->dir, &l->lock_fd, err);
    if (!s)
        s = store_open(o->dir, o->currency, now_us, &l->db, err);
    if (s)
        return s;
    l->full = !store_reserve(o->dir);
    uint64_t recovered = 0;
    l->books.idem.limits = o->idem;
    s = books_open(&l->books, l->db, now_us, &recovered);
    if (s)
        snprintf(err, 256, "the ledger cannot be recovered: %.200s", db_error(l->db));
    l->stats.recovered = recovered;
    l->stamp_us = l->books.batch_us;
    return s;
}

enum status ledger_open(const struct ledger_options *o, struct ledger **ret, char err[static 256])
{
    struct ledger *l = calloc(1, sizeof *l);
    if (!l) {
        snprintf(err, 256, "there is no memory for the ledger");
        return STATUS_NO_MEMORY;
    }
    l->lock_fd = -1;
    l->env = o->env;
    l->wal_passive_bytes = o->checkpoint_wal_bytes ? o->checkpoint_wal_bytes : WAL_PASSIVE_BYTES;
    l->wal_restart_at = WAL_RESTART_BYTES;
    snprintf(l->dir, sizeof l->dir, "%s", o->dir);
    enum status s = open_parts(l, o, err);
    if (!s && pthread_create(&l->thread, NULL, ledger_main, l) != 0) {
        snprintf(err, 256, "the ledger thread cannot be started");
        s = STATUS_NO_MEMORY;
    }
    if (s)
        ledger_free(l);
    else
        *ret = l;
    return s;
}

static void wake(struct ledger *l)
{
    atomic_fetch_add(&l->pushes, 1);
    if (atomic_load(&l->sleeping))
        syscall(SYS_futex, &l->pushes, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void ledger_close(struct ledger *l)
{
    atomic_store(&l->stop, true);
    wake(l);
    pthread_join(l->thread, NULL);
    uint64_t wal_bytes;
    if (!l->lost && !books_mark_clean(&l->books) && db_checkpoint(l->db, false, &wal_bytes))
        l->lost = true; /* what is in the WAL stays there and is read at the next start */
    ledger_free(l);
}

void ledger_submit(struct ledger *l, struct ledger_op *op)
{
    ledger_submit_all(l, &op->node, &op->node);
}

void ledger_submit_all(struct ledger *l, struct mpsc_node *newest, struct mpsc_node *oldest)
{
    if (mpsc_push_all(&l->queue, newest, oldest))
        wake(l);
}

rid_t ledger_last_rid(const struct ledger *l)
{
    return l->books.last_rid;
}

bool ledger_healthy(const struct ledger *l)
{
    return !atomic_load_explicit(&l->lost, memory_order_relaxed) &&
           !atomic_load_explicit(&l->full, memory_order_relaxed);
}

const struct ledger_stats *ledger_stats(const struct ledger *l)
{
    return &l->stats;
}

int64_t ledger_clock_behind_us(const struct ledger *l)
{
    int64_t behind_us =
        atomic_load_explicit(&l->stamp_us, memory_order_relaxed) - l->env->wall_us(l->env->arg);
    return behind_us > 0 ? behind_us : 0;
}

enum status ledger_reload_projects(struct ledger *l)
{
    l->reload = true; /* after the commit: a call that is rolled back must leave no trace */
    return STATUS_OK;
}

void ledger_want_alerts(struct ledger *l, const struct catalog_alerts *wanted,
                        void (*recorded)(void *arg), void *arg)
{
    alert_want(&l->books, wanted, recorded, arg);
}

/* ---- the next batch ------------------------------------------------------------------------ */

/* The order matters: `sleeping` is announced before the queue is looked at, and a
 * push that is not seen there has changed `pushes`, on which the wait then fails. */
static void sleep_until_push(struct ledger *l, int timeout_ms)
{
    atomic_store(&l->sleeping, 1);
    uint32_t seen = atomic_load(&l->pushes);
    struct timespec wait = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
    if (!atomic_load(&l->queue.newest) && !atomic_load(&l->stop))
        syscall(SYS_futex, &l->pushes, FUTEX_WAIT_PRIVATE, seen, timeout_ms < 0 ? NULL : &wait,
                NULL, 0);
    atomic_store(&l->sleeping, 0);
}

/* Fills up the batch behind what is kept. */
static void gather(struct ledger *l)
{
    l->count = l->kept;
    if (!l->waiting)
        l->waiting = mpsc_take(&l->queue);
    while (l->waiting && l->count < BATCH_OPS) {
        l->batch[l->count++] = (struct ledger_op *)l->waiting;
        l->waiting = l->waiting->next;
    }
    atomic_store_explicit(&l->stats.queue, l->count, memory_order_relaxed);
}

/* Limits have changed, and what they make an alert waits for no request. */
static bool must_look(const struct ledger *l)
{
    return alert_waits(&l->books) && !l->full && !l->lost;
}

/* False: told to stop, and all is done. */
static bool next_batch(struct ledger *l)
{
    for (;;) {
        if (l->kept > 0 && !l->retry_now)
            sleep_until_push(l, RETRY_MS);
        gather(l);
        if (l->count > 0 || must_look(l))
            return true;
        if (atomic_load(&l->stop))
            return false;
        sleep_until_push(l, l->full ? RESERVE_RETRY_MS : -1);
        if (l->full && !l->lost)
            return true; /* an empty batch looks whether there is room again */
    }
}

/* ---- applying it --------------------------------------------------------------------------- */

static enum status run_call(struct ledger *l, struct ledger_call *call)
{
    enum status s = books_flush(&l->books);
    if (!s)
        s = db_savepoint(l->db);
    if (s)
        return s;
    call->op.status = call->run(call, l->db, l->books.batch_us);
    if (call->op.status == STATUS_OK)
        return db_release(l->db);
    db_rollback_to(l->db); /* when even that fails, the commit fails too */
    return STATUS_OK;
}

/* OK: the operation has its answer.  Else the batch cannot be committed. */
static enum status apply(struct ledger *l, struct ledger_op *op)
{
    if (op->kind != LEDGER_SETTLE && l->full) {
        op->status = STATUS_STORE_FAILED;
        return STATUS_OK;
    }
    switch (op->kind) {
    case LEDGER_CALL:
        return run_call(l, (struct ledger_call *)op);
    case LEDGER_HOLD:
        op->status = books_hold(&l->books, (struct ledger_hold *)op);
        break;
    case LEDGER_SETTLE:
        op->status = books_settle(&l->books, (struct ledger_settle *)op);
        break;
    case LEDGER_MORE:
        op->status = books_more(&l->books, (struct ledger_more *)op);
        break;
    case LEDGER_CHECKPOINT:
        op->status = books_checkpoint(&l->books, (struct ledger_checkpoint *)op);
        break;
    case LEDGER_KINDS:
        assert(false);
    }
    return books_is_answer(op->status) ? STATUS_OK : op->status;
}

static enum status timed_commit(struct ledger *l)
{
    int64_t began_ns = l->env->mono_ns(l->env->arg);
    enum status s = db_commit(l->db);
    int64_t took_ns = l->env->mono_ns(l->env->arg) - began_ns;
    atomic_fetch_add_explicit(&l->stats.commit_ns, (uint64_t)took_ns, memory_order_relaxed);
    return s;
}

static enum status apply_all(struct ledger *l, unsigned *ret_applied)
{
    books_begin(&l->books, l->env->wall_us(l->env->arg));
    atomic_store_explicit(&l->stamp_us, l->books.batch_us, memory_order_relaxed);
    enum status s = db_begin(l->db);
    for (*ret_applied = 0; *ret_applied < l->count && !s; *ret_applied += !s)
        s = apply(l, l->batch[*ret_applied]);
    if (!s)
        s = books_end(&l->books);
    if (!s)
        s = timed_commit(l);
    if (s)
        db_rollback(l->db);
    return s;
}

static void count_answers(struct ledger *l)
{
    uint64_t ok[LEDGER_KINDS] = { 0 }, refused = 0;
    for (unsigned i = 0; i < l->count; i++)
        if (l->batch[i]->status == STATUS_OK)
            ok[l->batch[i]->kind]++;
        else
            refused += l->batch[i]->kind == LEDGER_HOLD;
    atomic_fetch_add_explicit(&l->stats.holds, ok[LEDGER_HOLD], memory_order_relaxed);
    atomic_fetch_add_explicit(&l->stats.settles, ok[LEDGER_SETTLE], memory_order_relaxed);
    atomic_fetch_add_explicit(&l->stats.refused, refused, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->stats.commits, 1, memory_order_relaxed);
}

static void reload_books(struct ledger *l)
{
    if (l->reload && books_reload(&l->books) == STATUS_OK)
        l->reload = false; /* else tried again after the next batch */
}

/* From `done` on an operation is its owner's again and may be gone. */
static void batch_committed(struct ledger *l)
{
    books_committed(&l->books);
    l->reload |= books_must_reload(&l->books, false);
    reload_books(l);
    count_answers(l);
    l->ops_since_look += l->count;
    l->commits_since_look++;
    l->kept = 0;
    for (unsigned i = 0; i < l->count; i++)
        l->batch[i]->done(l->batch[i]);
}

/* A settlement is kept while there is hope that it can still be written. */
static void answer_failed(struct ledger *l, bool hope)
{
    l->kept = 0;
    for (unsigned i = 0; i < l->count; i++) {
        struct ledger_op *op = l->batch[i];
        if (hope && op->kind == LEDGER_SETTLE) {
            l->batch[l->kept++] = op;
            continue;
        }
        op->status = STATUS_STORE_FAILED;
        op->done(op);
    }
}

static void batch_failed(struct ledger *l, unsigned applied, enum status why)
{
    while (applied-- > 0)
        if (l->batch[applied]->status == STATUS_OK)
            books_undo(&l->books, l->batch[applied]);
    books_rolled_back(&l->books);
    l->reload |= books_must_reload(&l->books, true);
    reload_books(l);
    l->retry_now = false;
    if (db_lost(l->db)) {
        l->lost = true;
    } else if (why == STATUS_STORE_FAILED) {
        l->full = true;
        l->retry_now = store_release(l->dir);
        l->reserve_retry_ns = l->env->mono_ns(l->env->arg) + RESERVE_RETRY_MS * INT64_C(1000000);
    }
    answer_failed(l, !l->lost && (l->retry_now || !atomic_load(&l->stop)));
}

static void run_batch(struct ledger *l)
{
    unsigned applied;
    enum status s = apply_all(l, &applied);
    if (s)
        batch_failed(l, applied, s);
    else
        batch_committed(l);
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* Takes the reserve back before it lets new holds in again. */
static void look_for_room(struct ledger *l)
{
    int64_t now_ns = l->env->mono_ns(l->env->arg);
    if (l->kept > 0 || now_ns < l->reserve_retry_ns)
        return;
    l->reserve_retry_ns = now_ns + RESERVE_RETRY_MS * INT64_C(1000000);
    if (store_reserve(l->dir))
        l->full = false;
}

/* Pages in the WAL, and those of them that are not in the database yet. */
static bool wal_pages(struct ledger *l, uint64_t *ret_all, uint64_t *ret_pending)
{
    static const char sql[] = "PRAGMA wal_checkpoint(NOOP)";
    struct db_stmt *s = db_prepare(l->db, sql);
    if (!s || db_step(s) != DB_ROW)
        return false;
    int64_t all = db_col_int(s, 1), copied = db_col_int(s, 2);
    db_reset(s);
    if (all < 0 || copied < 0 || copied > all)
        return false;
    *ret_all = (uint64_t)all;
    *ret_pending = (uint64_t)(all - copied);
    return true;
}

/* PASSIVE waits for nobody.  Only when a reader has kept the WAL from starting over
 * for very long does the ledger wait for that reader, shortly. */
static void look_at_wal(struct ledger *l)
{
    if (l->ops_since_look < WAL_LOOK_OPS && l->commits_since_look < WAL_LOOK_COMMITS)
        return;
    l->ops_since_look = l->commits_since_look = 0;
    uint64_t all, pending, bytes;
    if (!wal_pages(l, &all, &pending))
        return;
    bytes = all * WAL_PAGE_BYTES;
    enum status s = STATUS_OK;
    if (bytes > l->wal_restart_at) {
        s = db_checkpoint(l->db, true, &bytes);
        l->wal_restart_at = bytes + WAL_RESTART_BYTES;
    } else if (pending * WAL_PAGE_BYTES > l->wal_passive_bytes) {
        s = db_checkpoint(l->db, false, &bytes);
    }
    atomic_store_explicit(&l->stats.wal_bytes, bytes, memory_order_relaxed);
    if (s && db_lost(l->db))
        l->lost = true;
}

static void *ledger_main(void *arg)
{
    struct ledger *l = arg;
    while (next_batch(l)) {
        if (l->lost)
            answer_failed(l, false);
        else if (l->count > 0 || must_look(l))
            run_batch(l);
        if (!l->lost && l->full)
            look_for_room(l);
        if (!l->lost)
            look_at_wal(l);
    }
    return NULL;
}
