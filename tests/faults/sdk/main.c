/* tests/faults/sdk/main.c -- fault-sdk: the same well-behaved model as fault-backend's, on libmaasworker.
 *
 *   fault-sdk WHERE        shm:PATH, unix:PATH or tcp:HOST:PORT
 *
 * Every token says the prompt's word that begins with "canary-"; "#tokens=N" and "#delay=MS" are
 * obeyed.  It is here so that the library's slots, too, are reused while clients leave at random.
 */
#include "backends/worker/maasworker.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { TOKENS_MAX = 4096 };

struct job {
    struct maas_call *call; /* NULL: it has ended, only the timer still knows the job */
    bool timed;
    unsigned tokens, sent, delay_ms;
    char word[64];
};

static struct maas_worker *worker;

static unsigned number_after(const char *body, const char *name, unsigned otherwise)
{
    const char *at = strstr(body, name);
    return at ? (unsigned)strtoul(at + strlen(name), NULL, 10) : otherwise;
}

static struct maas_usage usage_of(const struct job *j)
{
    struct maas_usage u = MAAS_USAGE_NONE;
    u.input_tokens = 1;
    u.output_tokens = j->sent;
    return u;
}

static void let_go(struct job *j)
{
    j->call = NULL;
    if (!j->timed)
        free(j);
}

static void finish(struct job *j)
{
    static char text[TOKENS_MAX * sizeof j->word];
    struct maas_usage u = usage_of(j);
    struct maas_call *call = j->call;
    size_t len = 0;
    for (unsigned i = 0; i < j->sent; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s", j->word);
    let_go(j);
    maas_call_set_data(call, NULL);
    maas_chat_finish(call, text, len, "stop", &u);
}

static void go_on(struct job *j);

static void on_time(void *arg)
{
    struct job *j = arg;
    j->timed = false;
    if (j->call)
        go_on(j);
    else
        free(j);
}

static void go_on(struct job *j)
{
    bool stream = maas_call_request(j->call)->stream;
    while (j->sent < j->tokens) {
        j->sent++;
        struct maas_usage u = usage_of(j);
        if (stream && maas_chat_delta(j->call, j->word, strlen(j->word), &u) != MAAS_OK) {
            j->sent--;
            return; /* on_writable, on_cancel or on_gone follows */
        }
        if (j->delay_ms) {
            j->timed = true;
            maas_worker_after(worker, j->delay_ms, on_time, j);
            return;
        }
    }
    finish(j);
}

static void on_request(struct maas_call *call, const struct maas_request *req, void *arg)
{
    struct job *j = calloc(1, sizeof *j);
    const char *word = strstr(req->body, "canary-");
    (void)arg;
    if (!j)
        abort();
    j->call = call;
    j->tokens = number_after(req->body, "#tokens=", 8) % TOKENS_MAX;
    j->delay_ms = number_after(req->body, "#delay=", 0);
    snprintf(j->word, sizeof j->word, "%.*s ", word ? (int)strcspn(word, " \"") : 3,
             word ? word : "tok");
    maas_call_set_data(call, j);
    go_on(j);
}

static void on_cancel(struct maas_call *call, void *arg)
{
    struct job *j = maas_call_data(call);
    (void)arg;
    if (!j)
        return;
    struct maas_usage u = usage_of(j);
    let_go(j);
    maas_call_set_data(call, NULL);
    maas_call_finish(call, &u);
}

static void on_writable(struct maas_call *call, void *arg)
{
    struct job *j = maas_call_data(call);
    (void)arg;
    if (j && !j->timed)
        go_on(j);
}

static void on_gone(struct maas_call *call, void *arg)
{
    struct job *j = maas_call_data(call);
    (void)arg;
    if (j)
        let_go(j);
}

static void on_signal(int number)
{
    (void)number;
    maas_worker_stop(worker);
}

int main(int argc, char **argv)
{
    static const struct maas_handler handler = { on_request, on_cancel, on_writable, on_gone };
    struct maas_options options = { .listen = argc > 1 ? argv[1] : "",
                                    .name = "sdk",
                                    .max_inflight = 1024 };
    char err[256];
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    worker = maas_worker_new(&options, &handler, NULL, err);
    if (!worker) {
        fprintf(stderr, "fault-sdk: %s\n", err);
        return 2;
    }
    sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
    printf("ready\n");
    fflush(stdout);
    int rc = maas_worker_run(worker);
    maas_worker_free(worker);
    return rc == MAAS_OK ? 0 : 1;
}
