/* backends/refworker/job.c -- the queue of jobs and their four states. */
#include "backends/refworker/job.h"

enum { BODY_PIECE_BYTES = 16 * 1024 };

static void jobs_turn(void *arg);

void jobs_init(struct jobs *jobs, struct maas_worker *worker)
{
    *jobs = (struct jobs){ .worker = worker, .last = &jobs->first };
}

static void enter(struct jobs *jobs, struct job *j)
{
    j->jobs = jobs;
    j->link = &jobs->all;
    j->all_next = jobs->all;
    if (j->all_next)
        j->all_next->link = &j->all_next;
    jobs->all = j;
}

static void leave(struct job *j)
{
    *j->link = j->all_next;
    if (j->all_next)
        j->all_next->link = j->link;
    j->kind->free(j);
}

void jobs_clear(struct jobs *jobs)
{
    while (jobs->all)
        leave(jobs->all);
}

static void queue(struct job *j)
{
    struct jobs *jobs = j->jobs;
    j->state = JOB_QUEUED;
    j->next = NULL;
    *jobs->last = j;
    jobs->last = &j->next;
    if (!jobs->turn_due)
        maas_worker_after(jobs->worker, 0, jobs_turn, jobs);
    jobs->turn_due = true;
}

static void wake(void *arg);

static void run(struct job *j)
{
    enum job_next next = JOB_DONE;
    j->state = JOB_RUNS;
    if (j->call)
        next = j->kind->turn(j);
    if (next == JOB_DONE || !j->call) {
        leave(j);
    } else if (next == JOB_MORE) {
        queue(j);
    } else if (next == JOB_SLEEP) {
        j->state = JOB_ASLEEP;
        maas_worker_after(j->jobs->worker, j->sleep_ms, wake, j);
    } else {
        j->state = JOB_WAITS;
    }
}

static void wake(void *arg)
{
    run(arg);
}

/* Those that are queued now have one turn each; what they queue waits for the next. */
static void jobs_turn(void *arg)
{
    struct jobs *jobs = arg;
    struct job *j = jobs->first;
    jobs->first = NULL;
    jobs->last = &jobs->first;
    jobs->turn_due = false;
    while (j) {
        struct job *next = j->next;
        run(j);
        j = next;
    }
}

void job_start(struct jobs *jobs, struct job *j, const struct job_kind *kind,
               struct maas_call *call)
{
    j->kind = kind;
    j->call = call;
    enter(jobs, j);
    maas_call_set_data(call, j);
    run(j);
}

void job_writable(struct job *j)
{
    if (j->state == JOB_WAITS)
        run(j);
}

void job_gone(struct job *j)
{
    j->call = NULL;
    if (j->state == JOB_WAITS)
        leave(j);
}

void job_cancel(struct job *j)
{
    struct maas_usage usage = MAAS_USAGE_NONE;
    j->kind->usage(j, &usage);
    maas_call_finish(j->call, &usage);
    job_gone(j);
}

int job_send_body(struct maas_call *call, struct buf *out, size_t *sent)
{
    while (*sent < out->len) {
        size_t left = out->len - *sent;
        size_t n = left < BODY_PIECE_BYTES ? left : BODY_PIECE_BYTES;
        int rc = maas_call_send(call, out->at + *sent, n, NULL);
        if (rc != MAAS_OK)
            return rc;
        *sent += n;
    }
    *sent = 0;
    buf_clear(out);
    return MAAS_OK;
}

enum job_next job_after_refusal(struct job *j, int rc)
{
    if (rc == MAAS_AGAIN || rc == MAAS_GONE)
        return JOB_BLOCKED; /* when the session is gone, on_gone follows */
    return job_out_of_memory(j);
}

enum job_next job_out_of_memory(struct job *j)
{
    struct maas_usage usage = MAAS_USAGE_NONE;
    j->kind->usage(j, &usage);
    maas_call_fail(j->call, 500, "the reference worker is out of memory", &usage);
    return JOB_DONE;
}
