/* gateway/admin.c -- the admin socket: who may connect, lines in, lines out.
 *
 * A connection has one command at a time: while it runs nothing more is read, so
 * what a client can make us keep is one line, one job, one answer.  The idle
 * timer stops only while a command runs.  A client that leaves in the middle
 * leaves its job behind; the connection is freed when the job is back and both
 * of its handles are closed.
 */
#include "gateway/admin.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "gateway/admin_job.h"
#include "gateway/admin_socket.h"
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <sys/socket.h>

enum {
    LINE_BYTES_MAX = 1024 * 1024, /* a price book is one argument */
    CONNECTIONS_MAX = 16,
    IDLE_MS = 30 * 1000,
    AGAIN_MS = 1000,
};

struct admin {
    struct daemon *daemon;
    int fd; /* listening */
    uv_poll_t listener;
    uv_timer_t again; /* listens again after the process ran out of descriptors */
    uv_async_t back;  /* jobs came back */
    struct mpsc jobs;
    atomic_uint handing_back; /* threads that still touch `back` */
    struct connection *connections;
    unsigned count, open_handles;
};

struct connection {
    struct admin *admin;
    struct connection *next;
    uv_pipe_t pipe;
    uv_timer_t idle;
    unsigned open_handles;
    bool closing;
    struct ucred peer;
    struct admin_job *job; /* running; NULL: waiting for a line */
    uv_write_t write;
    char *answer; /* being written */
    size_t used;
    char line[LINE_BYTES_MAX];
};

static void next_line(struct connection *c);

/* ---- the end of a connection ---- */

static void connection_free_when_done(struct connection *c)
{
    if (c->open_handles > 0 || c->job)
        return;
    struct connection **at = &c->admin->connections;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->admin->count--;
    free(c->answer);
    free(c);
}

static void handle_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    c->open_handles--;
    connection_free_when_done(c);
}

static void connection_close(struct connection *c)
{
    if (c->closing)
        return;
    c->closing = true;
    uv_close((uv_handle_t *)&c->pipe, handle_closed);
    uv_close((uv_handle_t *)&c->idle, handle_closed);
}

static void on_idle(uv_timer_t *timer)
{
    connection_close(timer->data);
}

/* ---- answers ---- */

static void on_written(uv_write_t *write, int status)
{
    struct connection *c = write->data;
    free(c->answer);
    c->answer = NULL;
    if (status < 0)
        connection_close(c);
    else if (!c->closing)
        next_line(c);
}

static void send_answer(struct connection *c, struct admin_job *job)
{
    c->answer = admin_job_answer(job);
    if (!c->answer) {
        connection_close(c);
        return;
    }
    uv_buf_t bytes = uv_buf_init(c->answer, (unsigned)strlen(c->answer));
    c->write.data = c;
    uv_timer_start(&c->idle, on_idle, IDLE_MS, 0);
    if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &bytes, 1, on_written) != 0)
        connection_close(c);
}

static void job_ended(struct admin_job *job)
{
    struct connection *c = job->owner;
    assert(c->job == job);
    c->job = NULL;
    if (job->status == STATUS_OK && job->after)
        job->status = job->after(job);
    if (c->closing)
        connection_free_when_done(c);
    else
        send_answer(c, job);
    admin_job_free(job);
}

/* Any thread. */
static void job_came_back(struct admin_job *job)
{
    struct admin *a = ((struct connection *)job->owner)->admin;
    atomic_fetch_add(&a->handing_back, 1);
    mpsc_push(&a->jobs, &job->node); /* from here on job and connection are the main loop's */
    uv_async_send(&a->back);
    atomic_fetch_sub(&a->handing_back, 1);
}

static void on_back(uv_async_t *async)
{
    struct admin *a = async->data;
    struct mpsc_node *next;
    for (struct mpsc_node *n = mpsc_take(&a->jobs); n; n = next) {
        next = n->next;
        job_ended((struct admin_job *)n); /* node is its first member */
    }
}

/* ---- lines ---- */

/* Starts the first whole line that has arrived and keeps what follows it. */
static void next_line(struct connection *c)
{
    char *end = memchr(c->line, '\n', c->used);
    if (!end) {
        if (c->used == sizeof c->line)
            connection_close(c);
        return;
    }
    size_t len = (size_t)(end - c->line);
    c->job = admin_job_new(c->admin->daemon, job_came_back, c);
    if (!c->job) {
        connection_close(c);
        return;
    }
    c->job->peer = c->peer;
    uv_timer_stop(&c->idle);
    admin_job_start(c->job, (struct span){ c->line, len });
    c->used -= len + 1;
    memmove(c->line, end + 1, c->used);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct connection *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->line + c->used, (unsigned)(sizeof c->line - c->used));
}

/* UV_ENOBUFS, when the line is full while a command runs, ends the connection too. */
static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct connection *c = stream->data;
    (void)buf;
    if (len < 0) {
        connection_close(c);
        return;
    }
    c->used += (size_t)len;
    if (!c->job && !c->answer)
        next_line(c);
}

/* ---- the beginning of a connection ---- */

static struct connection *connection_new(struct admin *a)
{
    struct connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->admin = a;
    c->next = a->connections;
    a->connections = c;
    a->count++;
    uv_pipe_init(a->daemon->main_loop, &c->pipe, 0);
    uv_timer_init(a->daemon->main_loop, &c->idle);
    c->open_handles = 2;
    c->pipe.data = c->idle.data = c;
    return c;
}

/* One line instead of silence, if it fits into the socket at once. */
static void turn_away(int fd, const char *code, const char *message)
{
    char line[256];
    int len =
        snprintf(line, sizeof line,
                 "{\"ok\":false,\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", code, message);
    if (send(fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("admin_answer_lost errno=%d", errno);
}

/* Takes the descriptor. */
static void welcome(struct admin *a, int fd)
{
    AUTO(close_ptr) int owned = fd;
    struct ucred peer = { .uid = (uid_t)-1 };
    if (!admin_peer_allowed(fd, &peer)) {
        log_warning("admin_peer_refused uid=%u pid=%d", (unsigned)peer.uid, (int)peer.pid);
        turn_away(fd, "permission_denied", "only root and the daemon's own user are served here");
        return;
    }
    struct connection *c = a->count < CONNECTIONS_MAX ? connection_new(a) : NULL;
    if (!c) {
        turn_away(fd, "server_is_overloaded", "too many administrative connections");
        return;
    }
    c->peer = peer;
    if (uv_pipe_open(&c->pipe, fd) != 0) {
        connection_close(c);
        return;
    }
    owned = -1;
    if (uv_read_start((uv_stream_t *)&c->pipe, on_room, on_read) != 0)
        connection_close(c);
    else
        uv_timer_start(&c->idle, on_idle, IDLE_MS, 0);
}

static void on_connection(uv_poll_t *listener, int status, int events);

static void on_again(uv_timer_t *timer)
{
    struct admin *a = timer->data;
    uv_poll_start(&a->listener, UV_READABLE, on_connection);
}

static void on_connection(uv_poll_t *listener, int status, int events)
{
    struct admin *a = listener->data;
    (void)status, (void)events;
    int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        welcome(a, fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        log_env("admin_accept_failed errno=%d", errno);
        uv_poll_stop(listener); /* it would be reported at once, again and again */
        uv_timer_start(&a->again, on_again, AGAIN_MS, 0);
    }
}

/* ---- the door itself ---- */

enum status admin_open(struct daemon *d, struct admin **ret, char err[static 256])
{
    struct admin *a = calloc(1, sizeof *a);
    if (!a) {
        snprintf(err, 256, "no memory for the admin socket");
        return STATUS_NO_MEMORY;
    }
    a->daemon = d;
    enum status status = admin_socket_listen(d->conf->admin_socket, &a->fd, err);
    if (status != STATUS_OK) {
        free(a);
        return status;
    }
    uv_poll_init(d->main_loop, &a->listener, a->fd);
    uv_timer_init(d->main_loop, &a->again);
    uv_async_init(d->main_loop, &a->back, on_back);
    a->open_handles = 3;
    a->listener.data = a->again.data = a->back.data = a;
    uv_poll_start(&a->listener, UV_READABLE, on_connection);
    *ret = a;
    return STATUS_OK;
}

static void admin_handle_closed(uv_handle_t *handle)
{
    struct admin *a = handle->data;
    a->open_handles--;
}

/* The listener goes first, so that nobody new comes; `back` last, for jobs still out. */
void admin_close(struct admin *a)
{
    if (!a)
        return;
    unlink(a->daemon->conf->admin_socket);
    uv_close((uv_handle_t *)&a->listener, admin_handle_closed);
    uv_close((uv_handle_t *)&a->again, admin_handle_closed);
    for (struct connection *c = a->connections; c; c = c->next)
        connection_close(c);
    while (a->connections)
        uv_run(a->daemon->main_loop, UV_RUN_ONCE);
    while (atomic_load(&a->handing_back) > 0)
        sched_yield();
    uv_close((uv_handle_t *)&a->back, admin_handle_closed);
    while (a->open_handles > 0)
        uv_run(a->daemon->main_loop, UV_RUN_ONCE);
    close(a->fd);
    free(a);
}
