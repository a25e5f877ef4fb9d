/* gateway/admin_job.h -- one administrative command on its way through the threads.
 *
 * The main loop reads the line and prepares the job, the thread that the command
 * names runs it, and the main loop gets it back.  A job is on one thread at a
 * time, so nothing in it is locked.
 */
#ifndef MAAS_ADMIN_JOB_H
#define MAAS_ADMIN_JOB_H
#include "auth/keys.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/mpsc.h"
#include "billing/ledger.h"
#include "billing/report.h"
#include "gateway/daemon.h"
#include "gateway/reader.h"
#include <sys/socket.h>

struct admin_job;

/* Every argument that any command takes; texts are borrowed from the request. */
struct admin_args {
    const char *slug, *display_name, *budget, *budget_period;
    const char *organization, *cost_centre, *reseller, *series, *address, *tax_id, *tax_points;
    const char *time_zone, *credit, *kind, *amount, *model, *note, *text;
    const char *by, *number, *reason, *partner;
    int64_t priority, line, basis_points;
    json_t *plan;
    const char *buyer_name, *buyer_address, *buyer_tax_id, *po_number, *buyer_reference;
    const char *project, *label, *role, *expires, *name;
    int64_t requests_per_minute, tokens_per_minute, concurrency;
    const char *month, *from, *to, *group_by, *format, *page;
    int64_t limit, timeout_ms;
    bool stream, all, resale;
    const char *book, *file, *a, *b, *a_book, *b_book; /* a price book is a text with a name */
    const char *version, *secret, *digest;
    const char *owner; /* whose book it is: an organization's slug; NULL: the list */
    int64_t draft;
    const char *alert, *state;
    const char *request; /* an id */
};

static inline const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* ADMIN_LATER: begun on the main thread; OK means that admin_job_end comes, from any thread. */
enum admin_place { ADMIN_MAIN, ADMIN_READER, ADMIN_LEDGER, ADMIN_LATER };

struct admin_command {
    const char *name;
    enum admin_place place;
    bool changes_keys; /* the keyring follows the rows before the answer goes out */
    const struct json_spec *args;
    enum status (*prepare)(struct admin_job *job); /* main thread; NULL: nothing to prepare */
    enum status (*run)(struct admin_job *job, struct db *db, int64_t now_us);
    const char *help;
};

extern const struct admin_command admin_commands[]; /* alphabetical; ends with a row without name */
const struct admin_command *admin_command_find(const char *name);

struct admin_job {
    struct mpsc_node node; /* on the way back */
    struct ledger_call call;
    struct reader_op query;
    const struct admin_command *command;
    struct daemon *daemon;
    struct arena *arena;
    json_t *request; /* owns the texts of args */
    struct admin_args args;
    /* Made by prepare from args and the configuration, which only the main thread may read. */
    money_t budget;
    int64_t from_us, to_us, expires_us;
    struct limits key_defaults;
    struct seller seller;
    int64_t alert;
    int64_t notice_us;                           /* of a price book's publication */
    struct catalog *books[2];                    /* price books of the arguments, read; owned */
    struct catalog *list;                        /* that they are about; owned */
    enum status (*after)(struct admin_job *job); /* main thread, after a success; NULL: nothing */
    const char *state_dir;
    int64_t retention_months;
    /* The answer. */
    enum status status;
    struct json_problem problem; /* text "": the status has a sentence of its own */
    json_t *result;
    struct ucred peer;                        /* who asked */
    void (*came_back)(struct admin_job *job); /* any thread: hand it to the main loop */
    void *owner;
};

/* NULL: no memory. */
struct admin_job *admin_job_new(struct daemon *d, void (*came_back)(struct admin_job *),
                                void *owner);
void admin_job_free(struct admin_job *job);

/* Reads the line and sets the job going.  came_back is called exactly once, perhaps before this returns. */
void admin_job_start(struct admin_job *job, struct span line);
void admin_job_end(struct admin_job *job, enum status status);
/* The answer as one line with its newline; free() it.  NULL: no memory. */
char *admin_job_answer(const struct admin_job *job);

/* A sentence for the operator and the argument it is about; returns status. */
enum status admin_refuse(struct admin_job *job, enum status status, const char *field,
                         const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* For run: `result`, which it takes, is the answer.  NULL: NO_MEMORY. */
enum status admin_answered(struct admin_job *job, json_t *result);
/* The same of one that changed who may spend what: the ledger's memory follows the rows. */
enum status admin_changed(struct admin_job *job, json_t *result);
#endif
