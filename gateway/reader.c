/* gateway/reader.c -- one thread, one read-only connection, one bounded queue. */
#include "gateway/reader.h"
#include "base/db.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { READER_QUEUE_MAX = 256 };

struct reader {
    struct db *db;
    uint64_t deadline_ms;
    struct mpsc queue;
    atomic_uint waiting;
    atomic_bool closing;
    sem_t wake; /* posted when the queue stops being empty, and once at the end */
    pthread_t thread;
};

static void run_all(struct reader *r)
{
    struct mpsc_node *next;
    for (struct mpsc_node *n = mpsc_take(&r->queue); n; n = next) {
        struct reader_op *op = (struct reader_op *)n; /* node is its first member */
        next = n->next;                               /* done gives the operation away */
        atomic_fetch_sub(&r->waiting, 1);
        db_deadline(r->db, r->deadline_ms); /* an operation may have given itself another */
        op->status = op->run(op, r->db);
        op->done(op);
    }
}

static void *reader_main(void *arg)
{
    struct reader *r = arg;
    bool closing;
    do {
        while (sem_wait(&r->wake) != 0)
            assert(errno == EINTR);
        closing = atomic_load(&r->closing); /* before the queue: what was submitted is finished */
        run_all(r);
    } while (!closing);
    return NULL;
}

enum status reader_open(const char *path, uint64_t deadline_ms, struct reader **ret, char err[256])
{
    struct reader *r = calloc(1, sizeof *r);
    if (!r) {
        snprintf(err, 256, "no memory for the reader thread");
        return STATUS_NO_MEMORY;
    }
    enum status status = db_open(path, DB_READER, &r->db, err);
    if (status != STATUS_OK) {
        free(r);
        return status;
    }
    r->deadline_ms = deadline_ms;
    sem_init(&r->wake, 0, 0);
    if (pthread_create(&r->thread, NULL, reader_main, r) != 0) {
        snprintf(err, 256, "cannot start the reader thread");
        sem_destroy(&r->wake);
        db_close(r->db);
        free(r);
        return STATUS_NO_MEMORY;
    }
    *ret = r;
    return STATUS_OK;
}

void reader_close(struct reader *r)
{
    if (!r)
        return;
    atomic_store(&r->closing, true);
    sem_post(&r->wake);
    pthread_join(r->thread, NULL);
    assert(!mpsc_take(&r->queue)); /* no submissions may follow a close */
    sem_destroy(&r->wake);
    db_close(r->db);
    free(r);
}

enum status reader_submit(struct reader *r, struct reader_op *op)
{
    if (atomic_fetch_add(&r->waiting, 1) >= READER_QUEUE_MAX) {
        atomic_fetch_sub(&r->waiting, 1);
        return STATUS_OVERLOADED;
    }
    if (mpsc_push(&r->queue, &op->node))
        sem_post(&r->wake);
    return STATUS_OK;
}
