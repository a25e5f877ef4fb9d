/* backends/refworker/job.h -- requests take turns, so that a long answer does not hold up the rest.
 *
 * A job is one request at work.  Its turn does a bounded amount and says how it
 * goes on.  A job may outlive its call: while it is queued or asleep, only the
 * queue or the timer may free it.  One thread, the worker's.
 */
#ifndef REFWORKER_JOB_H
#define REFWORKER_JOB_H
#include "backends/worker/maasworker.h"
#include "base/buf.h"

enum job_next {
    JOB_MORE,    /* not done: another turn when the others had theirs */
    JOB_BLOCKED, /* the call takes nothing now: on_writable wakes it, or the call is gone */
    JOB_SLEEP,   /* another turn after sleep_ms */
    JOB_DONE,    /* maas_call_finish or _fail was called */
};

struct job;

struct job_kind {
    enum job_next (*turn)(struct job *j);
    void (*usage)(const struct job *j, struct maas_usage *ret); /* what was used so far */
    void (*free)(struct job *j);
};

struct jobs {
    struct maas_worker *worker;
    struct job *first, **last; /* the queue */
    struct job *all;
    bool turn_due;
};

struct job { /* every kind of job begins with it */
    const struct job_kind *kind;
    struct jobs *jobs;
    struct maas_call *call;       /* NULL: it has ended */
    struct job *next;             /* in the queue */
    struct job **link, *all_next; /* in jobs->all */
    enum { JOB_RUNS, JOB_WAITS, JOB_QUEUED, JOB_ASLEEP } state;
    uint32_t sleep_ms;
};

void jobs_init(struct jobs *jobs, struct maas_worker *worker);
/* After the worker is gone: frees the jobs whose turn or timer will not come any more. */
void jobs_clear(struct jobs *jobs);

/* The first turn comes at once; `j` may be gone on return.  Owns j. */
void job_start(struct jobs *jobs, struct job *j, const struct job_kind *kind,
               struct maas_call *call);
void job_writable(struct job *j);
void job_cancel(struct job *j); /* finishes the call with what was used */
void job_gone(struct job *j);

/* Sends out->at[*sent..] in pieces; rc of the last one.  MAAS_OK: `out` is empty again. */
int job_send_body(struct maas_call *call, struct buf *out, size_t *sent);

/* How a job goes on when a send said anything but MAAS_OK. */
enum job_next job_after_refusal(struct job *j, int rc);
/* Refuses with 500. */
enum job_next job_out_of_memory(struct job *j);
#endif
