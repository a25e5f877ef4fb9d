/* gateway/reader.h -- the thread that answers finance's questions.
 *
 * One read-only connection, one queue.  A query never runs on a loop thread and
 * never on the ledger thread, has a deadline, and the queue is bounded.
 */
#ifndef MAAS_READER_H
#define MAAS_READER_H
#include "base/mpsc.h"
#include "base/status.h"
#include <stdint.h>

struct db;
struct reader;

struct reader_op { /* embed first; lent until done */
    struct mpsc_node node;
    enum status (*run)(struct reader_op *op, struct db *db); /* on the reader thread */
    void (*done)(struct reader_op *op); /* on the reader thread: only hand it back */
    enum status status;
};

/* Opens `path` read-only.  err: one sentence. */
enum status reader_open(const char *path, uint64_t deadline_ms, struct reader **ret,
                        char err[static 256]);
void reader_close(struct reader *r); /* finishes what is queued */
/* OVERLOADED when 256 are waiting: then done is not called. */
enum status reader_submit(struct reader *r, struct reader_op *op);
#endif
