/* gateway/admin_store.c -- see admin_store.h. */
#include "gateway/admin_store.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/file.h"
#include "billing/archive.h"
#include "billing/backup.h"
#include "billing/period.h"
#include <semaphore.h>
#include <stddef.h>

enum { PATH_BYTES_MAX = 4000 };

const struct json_spec admin_backup_args[] = {
    { "file", WANT_TEXT, true, offsetof(struct admin_args, file), 1, PATH_BYTES_MAX },
    { 0 },
};

const struct json_spec admin_archive_args[] = {
    { "month", WANT_TEXT, false, offsetof(struct admin_args, month), 1, 40 },
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

/* ---- archive ------------------------------------------------------------------------------- */

enum status prepare_archive(struct admin_job *job)
{
    job->retention_months = (int64_t)job->daemon->conf->retention_months;
    return take_state_dir(job);
}

struct archiving {
    struct admin_job *job;
    const atomic_bool *stop;
    struct archive archive;
    struct archive_drop drop;
    bool done;
    struct ledger_call call;
    sem_t called;
    char err[256];
};

static void came_back(struct ledger_op *op)
{
    struct archiving *a = ((struct ledger_call *)op)->arg;
    sem_post(&a->called);
}

/* Runs on the ledger thread while this one waits. */
static enum status on_ledger(struct archiving *a, enum status (*run)(struct ledger_call *call,
                                                                     struct db *db, int64_t now_us))
{
    a->call = (struct ledger_call){ .op = { .kind = LEDGER_CALL, .done = came_back },
                                    .run = run,
                                    .arg = a };
    ledger_submit(a->job->daemon->ledger, &a->call.op);
    while (sem_wait(&a->called) != 0)
        continue; /* a signal */
    return a->call.op.status;
}

static enum status record(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)now_us;
    return archive_record(db, &((struct archiving *)call->arg)->archive);
}

static enum status drop(struct ledger_call *call, struct db *db, int64_t now_us)
{
    struct archiving *a = call->arg;
    (void)now_us;
    return archive_drop(db, &a->drop, &a->done);
}

/* What is not dropped before the daemon stops is dropped by the next call of the command. */
static enum status drop_all(struct archiving *a)
{
    enum status s = STATUS_OK;
    a->drop = (struct archive_drop){ 0 };
    for (a->done = false; !s && !a->done;)
        s = atomic_load(a->stop) ? STATUS_DEADLINE : on_ledger(a, drop);
    if (s)
        snprintf(a->err, sizeof a->err, "not all is dropped yet (%s): run it again",
                 status_info(s)->text);
    return s;
}

static enum status choose(struct archiving *a, char month[static ARCHIVE_MONTH_BYTES])
{
    const struct env *env = a->job->daemon->env;
    char path[FILE_PATH_BYTES];
    struct db *db = NULL;
    if (!file_path(path, a->job->state_dir, "ledger.db"))
        return STATUS_BAD_FIELD;
    enum status s = db_open(path, DB_READER, &db, a->err);
    if (s)
        return s;
    s = archive_choose(db, a->job->args.month, a->job->retention_months, env->wall_us(env->arg),
                       month, a->err);
    db_close(db);
    return s;
}

static enum status archive_month(struct archiving *a, const char *month)
{
    const struct env *env = a->job->daemon->env;
    enum status s = archive_write(a->job->state_dir, month, env->wall_us(env->arg), a->stop,
                                  &a->archive, a->err);
    if (!s && (s = on_ledger(a, record)))
        snprintf(a->err, sizeof a->err, "the archive is written and was not recorded: %s",
                 status_info(s)->text);
    return s ? s : drop_all(a);
}

static enum status archive_steps(struct archiving *a)
{
    char month[ARCHIVE_MONTH_BYTES] = "";
    enum status s = drop_all(a); /* of an earlier one that ended early */
    if (!s)
        s = choose(a, month);
    if (!s && *month)
        s = archive_month(a, month);
    if (s)
        return admin_refuse(a->job, s, "", "%s", a->err);
    if (!*month)
        return admin_answered(a->job, json_pack("{s:n}", "month"));
    const struct archive *made = &a->archive;
    return admin_answered(a->job,
                          json_pack("{s:s, s:s, s:I, s:I, s:s}", "month", made->month, "file",
                                    made->file, "requests", (json_int_t)made->requests, "bytes",
                                    (json_int_t)made->bytes, "sha256", made->sha256));
}

static enum status make_archive(struct admin_job *job, const atomic_bool *stop)
{
    AUTO(free_ptr) struct archiving *a = calloc(1, sizeof *a);
    if (!a)
        return STATUS_NO_MEMORY;
    a->job = job;
    a->stop = stop;
    sem_init(&a->called, 0, 0);
    enum status s = archive_steps(a);
    archive_clear(&a->archive);
    sem_destroy(&a->called);
    return s;
}

enum status run_archive(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    return upkeep_begin(&job->daemon->upkeep, job, make_archive);
}

enum status run_archive_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    json_t *list = NULL;
    (void)now_us;
    enum status s = archive_list(db, &list);
    return s ? s : admin_answered(job, json_pack("{s:o}", "archives", list));
}
