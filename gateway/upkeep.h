/* gateway/upkeep.h -- long work on the store, away from every thread that serves: one piece
 * at a time, on a thread that lives as long as it takes.
 */
#ifndef MAAS_UPKEEP_H
#define MAAS_UPKEEP_H
#include "base/status.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct admin_job;
/* Does the job and fills its answer or problem in; ends early when *stop becomes true. */
typedef enum status (*upkeep_work)(struct admin_job *job, const atomic_bool *stop);

struct upkeep { /* zeroed: nothing runs */
    pthread_t thread;
    bool begun; /* the thread is to be joined */
    atomic_bool busy, stop;
    struct admin_job *job;
    upkeep_work work;
};

/* Main thread, for `run` of an ADMIN_LATER command.  OK: the job ends by itself.  CONFLICT: something runs. */
MUST_CHECK enum status upkeep_begin(struct upkeep *u, struct admin_job *job, upkeep_work work);
/* Main thread, before the admin socket is closed: what runs ends soon, with its job refused. */
void upkeep_stop(struct upkeep *u);
/* After upkeep_stop: waits for the thread. */
void upkeep_join(struct upkeep *u);
#endif
