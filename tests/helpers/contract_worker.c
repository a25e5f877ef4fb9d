/* tests/helpers/contract_worker.c -- the scripted worker of the contract test, on libmaasworker. */
#include "tests/helpers/contract_worker.h"
#include "backends/ring.h"
#include "backends/worker/maasworker.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct maas_worker *worker;

struct job { /* a call that goes on after on_request */
    struct maas_call *call;
    size_t next, count;
    int ended;
};

char contract_byte(size_t at)
{
    return (char)('a' + (at * 7 + at / 4096) % 26);
}

static struct maas_usage usage_of(size_t in, size_t out)
{
    struct maas_usage u = MAAS_USAGE_NONE;
    u.input_tokens = (int64_t)in;
    u.output_tokens = (int64_t)out;
    return u;
}

static void finish(struct maas_call *call, size_t out)
{
    struct maas_usage u = usage_of(maas_call_request(call)->body_len, out);
    maas_call_finish(call, &u);
}

/* ---- count and trickle ---- */

static void go_on(struct job *j)
{
    while (j->next < j->count) {
        char event[64];
        struct maas_usage u = usage_of(maas_call_request(j->call)->body_len, j->next + 1);
        int len = snprintf(event, sizeof event, "{\"n\":%zu}", j->next);
        int rc = maas_call_send(j->call, event, (size_t)len, &u);
        if (rc == MAAS_AGAIN)
            return;
        if (rc != MAAS_OK)
            break;
        j->next++;
    }
    size_t done = j->next;
    struct maas_call *call = j->call;
    free(j);
    maas_call_set_data(call, NULL);
    finish(call, done);
}

static void trickle(void *arg)
{
    struct job *j = arg;
    char event[64];
    if (j->ended) {
        free(j);
        return;
    }
    struct maas_usage u = usage_of(maas_call_request(j->call)->body_len, j->next + 1);
    int len = snprintf(event, sizeof event, "{\"n\":%zu}", j->next);
    if (maas_call_send(j->call, event, (size_t)len, &u) == MAAS_OK)
        j->next++;
    maas_worker_after(worker, 1, trickle, j);
}

static struct job *job_new(struct maas_call *call, size_t count)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        abort();
    j->call = call;
    j->count = count;
    maas_call_set_data(call, j);
    return j;
}

/* ---- big, long, garbage ---- */

static void send_big(struct maas_call *call, size_t len)
{
    char *bytes = malloc(len + 1);
    if (!bytes)
        abort();
    for (size_t i = 0; i < len; i++)
        bytes[i] = contract_byte(i);
    maas_call_send(call, bytes, len, NULL);
    free(bytes);
    finish(call, len);
}

/* Finds the ring that this process may write, and makes its positions impossible. */
static void corrupt_ring(void)
{
    char line[512];
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (!strstr(line, "maas-worker") || !strstr(line, "rw-s"))
            continue;
        struct ring_side *side = (struct ring_side *)(uintptr_t)strtoull(line, NULL, 16);
        atomic_store(&side->tail, atomic_load(&side->tail) + (UINT64_C(1) << 40) + 8);
    }
    if (f)
        fclose(f);
}

static void write_garbage(void)
{
    char junk[4096];
    memset(junk, 0xff, sizeof junk);
    for (int fd = 3; fd < 64; fd++) {
        int type = 0;
        socklen_t len = sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0)
            send(fd, junk, type == SOCK_STREAM ? sizeof junk : 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    corrupt_ring();
}

/* A child that keeps the sockets open when the worker dies, or lets go of them; it ends by itself. */
static void leave_orphan(bool lets_go)
{
    if (fork() == 0) {
        if (lets_go)
            maas_worker_forked(worker);
        alarm(25);
        pause();
        _exit(0);
    }
    raise(SIGKILL);
}

/* ---- OpenAI's shapes ---- */

static void chat(struct maas_call *call)
{
    static const char *const deltas[] = { "say \"h\xc3", "\xa9\\", "\n\x01 \xff.", "\xe4\xb8",
                                          "\xad" };
    const struct maas_request *req = maas_call_request(call);
    struct maas_usage u = usage_of(req->body_len, 0);
    u.input_cached_tokens = 3;
    for (size_t i = 0; req->stream && i < sizeof deltas / sizeof *deltas; i++) {
        u.output_tokens++;
        maas_chat_delta(call, deltas[i], strlen(deltas[i]), &u);
    }
    maas_chat_finish(call, req->body, req->body_len, "stop", &u);
}

static void answer_later(void *arg)
{
    maas_call_send(arg, "later", 5, NULL);
    finish(arg, 5);
}

static void *think(void *arg)
{
    maas_worker_post(worker, answer_later, arg);
    return NULL;
}

/* ---- the handler ---- */

static void on_request(struct maas_call *call, const struct maas_request *req, void *arg)
{
    size_t number = strtoull(req->body, NULL, 10);
    (void)arg;
    if (strcmp(req->model, "echo") == 0) {
        maas_call_send(call, req->body, req->body_len, NULL);
        finish(call, req->body_len);
    } else if (strcmp(req->model, "format") == 0) {
        if (maas_call_format(call, req->content_type, req->header_len) == MAAS_OK)
            maas_call_send(call, req->body, req->body_len, NULL);
        finish(call, req->body_len);
    } else if (strcmp(req->model, "count") == 0) {
        go_on(job_new(call, number));
    } else if (strcmp(req->model, "repeat") == 0) {
        for (int i = 0; i < 20; i++)
            maas_call_send(call, req->body, req->body_len, NULL);
        if (number % 3) /* the others wait for their cancel */
            finish(call, 20);
    } else if (strcmp(req->model, "trickle") == 0) {
        trickle(job_new(call, SIZE_MAX));
    } else if (strcmp(req->model, "big") == 0 || strcmp(req->model, "long") == 0) {
        send_big(call, number);
    } else if (strcmp(req->model, "garbage") == 0) {
        write_garbage();
    } else if (strcmp(req->model, "chat") == 0) {
        chat(call);
    } else if (strcmp(req->model, "thread") == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, think, call) != 0 || pthread_detach(thread) != 0)
            abort();
    } else if (strcmp(req->model, "fork") == 0) {
        leave_orphan(false);
    } else if (strcmp(req->model, "forked") == 0) {
        leave_orphan(true);
    } else if (strcmp(req->model, "counts") == 0) {
        struct maas_usage u = usage_of(req->body_len, number);
        maas_call_send(call, NULL, 0, &u);
        finish(call, number);
    } else if (strcmp(req->model, "blind") == 0) {
        struct maas_usage u = MAAS_USAGE_NONE;
        u.input_tokens = (int64_t)number;
        maas_chat_delta(call, "a", 1, &u);
        maas_chat_finish(call, NULL, 0, "stop", &u);
    } else if (strcmp(req->model, "refuse") == 0) {
        maas_call_fail(call, 400, "no \x01 such thing", NULL);
    }
}

static void on_cancel(struct maas_call *call, void *arg)
{
    struct job *j = maas_call_data(call);
    size_t done = j ? j->next : 0;
    (void)arg;
    if (j)
        j->ended = 1;
    finish(call, done);
}

static void on_writable(struct maas_call *call, void *arg)
{
    struct job *j = maas_call_data(call);
    (void)arg;
    if (j && j->count != SIZE_MAX)
        go_on(j);
}

static void on_gone(struct maas_call *call, void *arg)
{
    struct job *j = maas_call_data(call);
    (void)arg;
    if (j && j->count == SIZE_MAX)
        j->ended = 1;
    else
        free(j);
}

static void serve(const char *listen, const char *dir, int ready)
{
    struct maas_handler h = { on_request, on_cancel, on_writable, on_gone };
    char where[128], err[256];
    if (strcmp(listen, "tcp") == 0)
        snprintf(where, sizeof where, "tcp:127.0.0.1:0");
    else
        snprintf(where, sizeof where, "%s:%s/sock", listen, dir);
    struct maas_options o = { .listen = where, .name = "contract", .max_inflight = 1024 };
    worker = maas_worker_new(&o, &h, NULL, err);
    int port = worker ? maas_worker_port(worker) : -1;
    if (write(ready, &port, sizeof port) != sizeof port || !worker)
        _exit(1);
    maas_worker_run(worker);
    _exit(0);
}

void contract_worker_start(const char *listen, struct peer *p)
{
    int ready[2], port = -1;
    snprintf(p->dir, sizeof p->dir, "/tmp/maas-contract-XXXXXX");
    if (!mkdtemp(p->dir) || pipe(ready) < 0)
        abort();
    fflush(NULL);
    p->pid = fork();
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ready[0]);
        serve(listen, p->dir, ready[1]);
    }
    close(ready[1]);
    if (p->pid < 0 || read(ready[0], &port, sizeof port) != sizeof port || port < 0)
        abort();
    close(ready[0]);
    if (port)
        snprintf(p->address, sizeof p->address, "127.0.0.1:%d", port);
    else
        snprintf(p->address, sizeof p->address, "%s%s/sock",
                 strcmp(listen, "unix") == 0 ? "unix:" : "", p->dir);
}

void contract_worker_stop(struct peer *p)
{
    char path[128];
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    snprintf(path, sizeof path, "%s/sock", p->dir);
    unlink(path);
    rmdir(p->dir);
}
