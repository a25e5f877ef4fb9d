/* gateway/admin_job.c -- a line becomes a job, the job runs, the job becomes a line.
 *
 * main: read, prepare -> (ledger | reader | main): run -> main: answer.  A command
 * that changes keys goes to the ledger thread a second time after its commit, so
 * that the keyring follows what is on disk, and only then comes back.
 */
#include "gateway/admin_job.h"
#include "base/cleanup.h"
#include "base/buf.h"
#include "base/db.h"
#include "base/log.h"
#include "gateway/admin.h"
#include <assert.h>
#include <stddef.h>

enum { JOB_ARENA_BYTES = 64 * 1024 };

struct admin_job *admin_job_new(struct daemon *d, void (*came_back)(struct admin_job *),
                                void *owner)
{
    struct admin_job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->arena = arena_new(JOB_ARENA_BYTES);
    if (!job->arena) {
        free(job);
        return NULL;
    }
    job->daemon = d;
    job->came_back = came_back;
    job->owner = owner;
    return job;
}

void admin_job_free(struct admin_job *job)
{
    if (!job)
        return;
    json_decref(job->request);
    json_decref(job->result);
    catalog_unref(job->books[0]);
    catalog_unref(job->books[1]);
    catalog_unref(job->list);
    arena_free(job->arena);
    free(job);
}

enum status admin_refuse(struct admin_job *job, enum status status, const char *field,
                         const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(job->problem.text, sizeof job->problem.text, fmt, args);
    va_end(args);
    snprintf(job->problem.field, sizeof job->problem.field, "%s", field);
    return status;
}

enum status admin_answered(struct admin_job *job, json_t *result)
{
    job->result = result;
    return result ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status admin_changed(struct admin_job *job, json_t *result)
{
    enum status status = admin_answered(job, result);
    return status ? status : ledger_reload_projects(job->daemon->ledger);
}

/* ---- reading ---- */

struct envelope {
    const char *command;
    json_t *args;
};

static const struct json_spec envelope_spec[] = {
    { "args", WANT_OBJECT, false, offsetof(struct envelope, args), 0, JSON_SPEC_ROWS_MAX },
    { "command", WANT_TEXT, true, offsetof(struct envelope, command), 1, 64 },
    { 0 },
};

static enum status read_args(struct admin_job *job, const json_t *args)
{
    if (args)
        return json_read(args, job->command->args, &job->args, NULL, &job->problem);
    AUTO(json_decref_ptr) json_t *none = json_object();
    return json_read(none, job->command->args, &job->args, NULL, &job->problem);
}

static enum status read_line(struct admin_job *job, struct span line)
{
    struct envelope e = { 0 };
    enum status status = json_read_text(line, &job->request, &job->problem);
    if (status == STATUS_OK)
        status = json_read(job->request, envelope_spec, &e, NULL, &job->problem);
    if (status != STATUS_OK)
        return status;
    job->command = admin_command_find(e.command);
    if (!job->command)
        return admin_refuse(job, STATUS_BAD_FIELD, "command",
                            "there is no command '%s'; 'help' lists them", e.command);
    status = read_args(job, e.args);
    if (status == STATUS_OK && job->command->prepare)
        status = job->command->prepare(job);
    return status;
}

/* ---- running ---- */

/* Arguments that say what was changed; never a secret, a digest or a whole price book. */
static const char *const told[] = { "organization", "slug",  "project", "label", "name",
                                    "role",         "model", "partner", "kind",  "amount",
                                    "budget",       "month", "number",  "line",  "basis_points",
                                    "draft",        "owner", "alert",   "file" };

static bool put_argument(struct buf *line, const char *name, const json_t *value)
{
    char quoted[LOG_QUOTE_BYTES];
    if (json_is_integer(value))
        return buf_printf(line, " %s=%" JSON_INTEGER_FORMAT, name, json_integer_value(value));
    return !json_is_string(value) ||
           buf_printf(line, " %s=%s", name, log_quote(json_string_value(value), quoted));
}

/* Who has changed what; the last word of a question that somebody asks a year later. */
static void tell(const struct admin_job *job)
{
    const json_t *args = json_object_get(job->request, "args");
    AUTO(buf_free) struct buf line;
    buf_init(&line, LOG_LINE_BYTES_MAX);
    bool whole = true;
    for (size_t i = 0; whole && i < sizeof told / sizeof *told; i++)
        whole = put_argument(&line, told[i], json_object_get(args, told[i]));
    log_info("admin_did command=%s by_uid=%u by_pid=%d%.*s", job->command->name,
             (unsigned)job->peer.uid, (int)job->peer.pid, (int)line.len, line.len ? line.at : "");
}

static bool changes_something(const struct admin_command *c)
{
    return c && (c->place == ADMIN_LEDGER || c->place == ADMIN_LATER);
}

void admin_job_end(struct admin_job *job, enum status status)
{
    job->status = status;
    if (status == STATUS_OK && changes_something(job->command))
        tell(job);
    job->came_back(job);
}

static enum status follow_rows(struct ledger_call *call, struct db *db, int64_t now_us)
{
    struct admin_job *job = call->arg;
    (void)now_us;
    return keyring_load(job->daemon->keyring, db, &job->key_defaults);
}

static void rows_followed(struct ledger_op *op)
{
    struct admin_job *job = ((struct ledger_call *)op)->arg;
    if (op->status != STATUS_OK)
        admin_refuse(job, op->status, "", "it is stored, but not in force before a restart");
    admin_job_end(job, op->status);
}

static enum status run_on_ledger(struct ledger_call *call, struct db *db, int64_t now_us)
{
    struct admin_job *job = call->arg;
    return job->command->run(job, db, now_us);
}

static void ledger_done(struct ledger_op *op)
{
    struct admin_job *job = ((struct ledger_call *)op)->arg;
    if (op->status != STATUS_OK || !job->command->changes_keys) {
        admin_job_end(job, op->status);
        return;
    }
    job->call = (struct ledger_call){ .op = { .kind = LEDGER_CALL, .done = rows_followed },
                                      .run = follow_rows,
                                      .arg = job };
    ledger_submit(job->daemon->ledger, &job->call.op);
}

static struct admin_job *job_of(struct reader_op *op)
{
    return (struct admin_job *)(void *)((char *)op - offsetof(struct admin_job, query));
}

static enum status run_on_reader(struct reader_op *op, struct db *db)
{
    struct admin_job *job = job_of(op);
    const struct env *env = job->daemon->env;
    return job->command->run(job, db, env->wall_us(env->arg));
}

static void reader_done(struct reader_op *op)
{
    admin_job_end(job_of(op), op->status);
}

static void run_on_main(struct admin_job *job)
{
    const struct env *env = job->daemon->env;
    admin_job_end(job, job->command->run(job, NULL, env->wall_us(env->arg)));
}

/* When it has begun, the job may already be gone. */
static void begin_on_main(struct admin_job *job)
{
    const struct env *env = job->daemon->env;
    enum status status = job->command->run(job, NULL, env->wall_us(env->arg));
    if (status != STATUS_OK)
        admin_job_end(job, status);
}

void admin_job_start(struct admin_job *job, struct span line)
{
    enum status status = read_line(job, line);
    if (status != STATUS_OK) {
        admin_job_end(job, status);
        return;
    }
    switch (job->command->place) {
    case ADMIN_MAIN:
        run_on_main(job);
        return;
    case ADMIN_LATER:
        begin_on_main(job);
        return;
    case ADMIN_LEDGER:
        job->call = (struct ledger_call){ .op = { .kind = LEDGER_CALL, .done = ledger_done },
                                          .run = run_on_ledger,
                                          .arg = job };
        ledger_submit(job->daemon->ledger, &job->call.op);
        return;
    case ADMIN_READER:
        job->query = (struct reader_op){ .run = run_on_reader, .done = reader_done };
        status = reader_submit(job->daemon->reader, &job->query);
        if (status != STATUS_OK)
            admin_job_end(job, status);
        return;
    }
}

/* ---- answering ---- */

/* The table of statuses speaks to callers of models; here two of them mean something plainer. */
static json_t *error_object(const struct admin_job *job)
{
    const struct status_info *info = status_info(job->status);
    const char *code = job->status == STATUS_NOT_FOUND ? "not_found" : info->code;
    const char *text = job->problem.text[0] ? job->problem.text : info->text;
    json_t *error = json_pack("{s:s, s:s}", "code", code, "message", text);
    if (error && job->problem.field[0])
        json_object_set_new(error, "field", json_string(job->problem.field));
    return error;
}

char *admin_job_answer(const struct admin_job *job)
{
    bool ok = job->status == STATUS_OK;
    AUTO(json_decref_ptr)
    json_t *answer = ok ? json_pack("{s:b, s:O}", "ok", 1, "result", job->result)
                        : json_pack("{s:b, s:o}", "ok", 0, "error", error_object(job));
    AUTO(free_ptr) char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    size_t len = text ? strlen(text) : 0;
    char *line = text ? realloc(text, len + 2) : NULL;
    if (!line)
        return NULL;
    text = NULL;
    line[len] = '\n';
    line[len + 1] = '\0';
    return line;
}
