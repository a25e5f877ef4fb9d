/* gateway/admin_backends.c -- see admin_backends.h.  Main thread. */
#include "gateway/admin_backends.h"
#include "base/log.h"
#include "gateway/status_report.h"
#include "gateway/words.h"
#include <stddef.h>

const struct json_spec admin_backend_args[] = {
    { "name", WANT_TEXT, true, offsetof(struct admin_args, name), 1, 63 },
    { 0 },
};

enum status run_backend_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    size_t models_down;
    json_t *backends = status_backends(job->daemon, &models_down);
    return admin_answered(job, json_pack("{s:o, s:I}", "backends", backends,
                                         "models_without_backend", (json_int_t)models_down));
}

/* It counts at once.  What cannot be stored is undone, so that a restart brings no surprise. */
static enum status say(struct admin_job *job, enum word word)
{
    struct daemon *d = job->daemon;
    const char *name = job->args.name;
    enum word before = roster_word(&d->roster, name);
    char err[256];
    if (!roster_say(&d->roster, name, word))
        return admin_refuse(job, STATUS_NOT_FOUND, "name", "there is no backend '%s'", name);
    bool stored = before == WORD_DISABLED || word == WORD_DISABLED;
    if (before != word && stored && words_store(d, err) != STATUS_OK) {
        (void)roster_say(&d->roster, name, before);
        return admin_refuse(job, STATUS_STORE_FAILED, "", "nothing is changed: %s", err);
    }
    log_info("backend_%s backend=%s before=%s by_uid=%u by_pid=%d", word_name(word), name,
             word_name(before), (unsigned)job->peer.uid, (int)job->peer.pid);
    return admin_answered(job, json_pack("{s:s, s:s, s:s}", "name", name, "word", word_name(word),
                                         "before", word_name(before)));
}

enum status run_backend_drain(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    return say(job, WORD_DRAINED);
}

enum status run_backend_disable(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    return say(job, WORD_DISABLED);
}

enum status run_backend_enable(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    return say(job, WORD_ENABLED);
}
