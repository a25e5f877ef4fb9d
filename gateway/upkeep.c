/* gateway/upkeep.c -- see upkeep.h. */
#include "gateway/upkeep.h"
#include "gateway/admin_job.h"

static void *upkeep_main(void *arg)
{
    struct upkeep *u = arg;
    struct admin_job *job = u->job;
    enum status s = u->work(job, &u->stop);
    if (s != STATUS_OK && atomic_load(&u->stop))
        s = admin_refuse(job, STATUS_OVERLOADED, "", "the daemon is stopping; nothing was changed");
    atomic_store(&u->busy, false);
    admin_job_end(job, s);
    return NULL;
}

enum status upkeep_begin(struct upkeep *u, struct admin_job *job, upkeep_work work)
{
    if (atomic_load(&u->busy))
        return admin_refuse(job, STATUS_CONFLICT, "",
                            "a backup or an archive is being made; one at a time");
    upkeep_join(u); /* the one before has ended, or is just about to */
    u->job = job;
    u->work = work;
    atomic_store(&u->busy, true);
    u->begun = pthread_create(&u->thread, NULL, upkeep_main, u) == 0;
    if (!u->begun)
        atomic_store(&u->busy, false);
    return u->begun ? STATUS_OK : STATUS_NO_MEMORY;
}

void upkeep_stop(struct upkeep *u)
{
    atomic_store(&u->stop, true);
}

void upkeep_join(struct upkeep *u)
{
    if (u->begun)
        pthread_join(u->thread, NULL);
    u->begun = false;
}
