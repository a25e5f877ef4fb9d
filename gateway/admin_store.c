/* gateway/admin_store.c -- see admin_store.h. */
#include "gateway/admin_store.h"
#include "base/cleanup.h"
#include "billing/backup.h"
#include "billing/period.h"
#include <stddef.h>

enum { PATH_BYTES_MAX = 4000 };

const struct json_spec admin_backup_args[] = {
    { "file", WANT_TEXT, true, offsetof(struct admin_args, file), 1, PATH_BYTES_MAX },
    { 0 },
};

/* The configuration is the main thread's: what the work needs of it is copied. */
static enum status take_state_dir(struct admin_job *job)
{
    job->state_dir = arena_strdup(job->arena, job->daemon->conf->state_dir);
    return job->state_dir ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status prepare_backup(struct admin_job *job)
{
    const char *file = job->args.file, *name = strrchr(file, '/');
    if (*file != '/' || !name[1])
        return admin_refuse(job, STATUS_BAD_FIELD, "file",
                            "'%s' is not a whole path of a file, from / on", file);
    if (strncmp(name + 1, "ledger.", strlen("ledger.")) == 0)
        return admin_refuse(job, STATUS_BAD_FIELD, "file",
                            "names that begin with 'ledger.' are the ledger's own");
    return take_state_dir(job);
}

static enum status make_backup(struct admin_job *job, const atomic_bool *stop)
{
    const struct env *env = job->daemon->env;
    struct backup b;
    char err[256] = "", newest[PERIOD_TEXT_BYTES];
    enum status s =
        backup_make(job->state_dir, job->args.file, env->wall_us(env->arg), stop, &b, err);
    if (s)
        return admin_refuse(job, s, "", "%s", err);
    return admin_answered(job, json_pack("{s:s, s:I, s:I, s:s, s:s, s:o}", "file", job->args.file,
                                         "bytes", (json_int_t)b.bytes, "requests",
                                         (json_int_t)b.requests, "newest",
                                         period_instant_text(b.newest_us, newest), "sha256",
                                         b.sha256, "audit", b.audit));
}

enum status run_backup(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    return upkeep_begin(&job->daemon->upkeep, job, make_backup);
}
