/* backends/session.c -- the life of a connection to a worker: dial, handshake, turn, die, again.
 *
 * While calls run, uv_prepare sends and arms before the loop sleeps and uv_check
 * takes in what came; a quiet session costs the loop nothing.  When the worker
 * is lost every call ends at once and the next attempt waits for the back-off.
 */
#include "backends/session.h"
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct watch {
    uv_poll_t poll;
    struct session *session;
    int fd;
    void (*fn)(struct session *s, int events);
};

static void dial(struct session *s);

/* ---- descriptors in the loop ---- */

static void on_watch(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    struct session *s = w->session;
    w->fn(s, status < 0 ? UV_READABLE : events);
    if (status < 0) /* libuv has stopped watching; what was still readable has been read */
        session_gone(s, "the connection failed");
}

static void free_watch(uv_handle_t *h)
{
    struct watch *w = h->data;
    struct session *s = w->session;
    free(w);
    session_handle_closed(s);
}

struct watch *session_watch(struct session *s, int fd, int events,
                            void (*fn)(struct session *s, int events))
{
    struct watch *w = malloc(sizeof *w);
    if (!w || uv_poll_init(s->loop, &w->poll, fd) < 0) {
        free(w);
        close(fd);
        return NULL;
    }
    w->session = s;
    w->fd = fd;
    w->fn = fn;
    w->poll.data = w;
    s->handles++;
    uv_poll_start(&w->poll, events, on_watch);
    return w;
}

void session_watch_events(struct watch *w, int events)
{
    uv_poll_start(&w->poll, events, on_watch);
}

int session_watch_fd(const struct watch *w)
{
    return w->fd;
}

void session_unwatch(struct watch **w)
{
    if (!*w)
        return;
    uv_close((uv_handle_t *)&(*w)->poll,
             free_watch); /* takes it out of epoll before the descriptor goes */
    close((*w)->fd);
    *w = NULL;
}

/* ---- the end of a connection ---- */

static void set_up(struct session *s, bool up)
{
    atomic_store_explicit(&s->base.stats.up, up, memory_order_relaxed);
}

static void hang_up(struct session *s)
{
    set_up(s, false);
    atomic_store_explicit(&s->base.stats.suspect, false, memory_order_relaxed);
    uv_prepare_stop(&s->prepare);
    uv_check_stop(&s->check);
    uv_idle_stop(&s->idle);
    uv_timer_stop(&s->tick);
    session_unwatch(&s->socket);
    session_unwatch(&s->process);
    s->carrier->hang_up(s);
}

static void on_retry(uv_timer_t *t)
{
    struct session *s = t->data;
    if (s->state == SESSION_DOWN)
        dial(s);
    else
        session_lost(s, "the worker did not finish the handshake in time");
}

/* Doubles up to the maximum; a connection that lasted starts again from the minimum.  Up to half is
 * added at random, so that loops do not return in step. */
static uint64_t next_backoff(struct session *s, bool lasted)
{
    uint32_t random = 0;
    uint64_t wait = lasted || !s->backoff_ms ? SESSION_BACKOFF_MIN_MS : 2 * s->backoff_ms;
    s->backoff_ms = wait < SESSION_BACKOFF_MAX_MS ? wait : SESSION_BACKOFF_MAX_MS;
    s->env->random(s->env->arg, &random, sizeof random);
    return s->backoff_ms + random % (s->backoff_ms / 2 + 1);
}

void session_lost(struct session *s, const char *why)
{
    if (s->state == SESSION_DOWN || s->state == SESSION_CLOSED)
        return;
    bool lasted = s->state == SESSION_UP && s->now_ms - s->up_ms >= SESSION_BACKOFF_MAX_MS;
    s->failed_greeting = s->state == SESSION_HELLO || s->state == SESSION_READY;
    s->state = SESSION_DOWN;
    backend_trouble(&s->base, "%s", why);
    hang_up(s);
    uv_timer_start(&s->retry, on_retry, next_backoff(s, lasted), 0);
    session_calls_end_all(s, false);
}

/* What the worker had sent before it went still counts, its FINALs above all. */
void session_gone(struct session *s, const char *why)
{
    if (s->state == SESSION_UP)
        s->carrier->last_words(s);
    session_lost(s, why);
}

void session_broken(struct session *s, const char *why)
{
    if (s->state == SESSION_DOWN || s->state == SESSION_CLOSED)
        return;
    session_count(&s->base.stats.protocol_errors, 1);
    session_lost(s, why);
}

/* ---- connecting ---- */

static void dial(struct session *s)
{
    uint64_t patience = s->base.conf->connect_timeout_ms;
    s->state = SESSION_DIALS;
    uv_timer_start(&s->retry, on_retry, patience ? patience : SESSION_CONNECT_MS, 0);
    s->carrier->dial(s);
}

static void on_socket(struct session *s, int events)
{
    if (events & (UV_READABLE | UV_DISCONNECT))
        s->carrier->readable(s);
    session_touch(s);
}

void session_connected(struct session *s, int fd)
{
    s->state = SESSION_HELLO;
    s->socket = session_watch(s, fd, UV_READABLE, on_socket);
    if (!s->socket)
        session_lost(s, "no memory for the connection");
}

/* ---- the worker's process, where the kernel knows it ---- */

/* A child that inherited the socket hides the death of the worker, so hanging up is not left to the
 * kernel; what the worker had said before is still taken in. */
static void on_process(struct session *s, int events)
{
    (void)events;
    session_gone(s, "the worker's process has ended");
}

void session_watch_process(struct session *s)
{
    struct ucred peer = { 0 };
    socklen_t len = sizeof peer;
    if (getsockopt(s->socket->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid <= 0)
        return;
    int fd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
    if (fd >= 0)
        s->process = session_watch(s, fd, UV_READABLE, on_process);
}

/* ---- a turn of the loop ---- */

static void on_idle(uv_idle_t *h)
{
    (void)h; /* its being there keeps the loop awake */
}

static void on_check(uv_check_t *h)
{
    struct session *s = h->data;
    s->budget = SESSION_FRAMES_PER_TURN;
    s->carrier->wake(s);
    s->carrier->drain(s);
}

static void on_prepare(uv_prepare_t *h)
{
    struct session *s = h->data;
    s->carrier->drain(s);
    session_calls_end_waiting(s);
    if (s->state != SESSION_UP)
        return;
    session_flush(s);
    bool may_sleep = s->state == SESSION_UP && s->carrier->rest(s);
    if (s->state != SESSION_UP || !may_sleep)
        return;
    uv_idle_stop(&s->idle);
    if (!s->in_use && !s->blocked) {
        uv_prepare_stop(&s->prepare);
        uv_check_stop(&s->check);
        s->budget = SESSION_FRAMES_PER_TURN;
    }
}

void session_touch(struct session *s)
{
    if (s->state != SESSION_UP)
        return;
    uv_idle_start(&s->idle, on_idle);
    uv_prepare_start(&s->prepare, on_prepare);
    uv_check_start(&s->check, on_check);
}

/* ---- open and close ---- */

enum status session_open(struct session *s, const struct backend_driver *driver,
                         const struct carrier *carrier, const struct catalog_backend *conf,
                         uv_loop_t *loop, const struct env *env)
{
    uint32_t most = conf->concurrency ? conf->concurrency : 1;
    s->call_count = most < WIRE_SLOTS_MAX ? most : WIRE_SLOTS_MAX;
    s->calls = calloc(s->call_count, sizeof *s->calls);
    if (!s->calls)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < s->call_count; i++) {
        s->calls[i].session = s;
        s->calls[i].slot = i;
    }
    s->base.driver = driver;
    s->base.conf = conf;
    s->carrier = carrier;
    s->loop = loop;
    s->env = env;
    uv_timer_init(loop, &s->tick);
    uv_timer_init(loop, &s->retry);
    uv_prepare_init(loop, &s->prepare);
    uv_check_init(loop, &s->check);
    uv_idle_init(loop, &s->idle);
    s->tick.data = s->retry.data = s->prepare.data = s->check.data = s->idle.data = s;
    s->handles = 5;
    s->state = SESSION_DOWN;
    uv_timer_start(&s->retry, on_retry, 0, 0);
    return STATUS_OK;
}

void session_handle_closed(struct session *s)
{
    if (--s->handles > 0 || s->state != SESSION_CLOSED)
        return;
    session_calls_end_all(s, true);
    void (*closed)(void *arg) = s->closed;
    void *arg = s->closed_arg;
    free(s->calls);
    s->carrier->free(s);
    if (closed)
        closed(arg);
}

static void on_handle_closed(uv_handle_t *h)
{
    session_handle_closed(h->data);
}

void session_close(struct backend *b, void (*closed)(void *arg), void *arg)
{
    struct session *s = (struct session *)b;
    assert(s->state != SESSION_CLOSED);
    s->state = SESSION_CLOSED;
    s->closed = closed;
    s->closed_arg = arg;
    hang_up(s);
    uv_close((uv_handle_t *)&s->tick, on_handle_closed);
    uv_close((uv_handle_t *)&s->retry, on_handle_closed);
    uv_close((uv_handle_t *)&s->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&s->check, on_handle_closed);
    uv_close((uv_handle_t *)&s->idle, on_handle_closed);
}
