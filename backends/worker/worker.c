/* backends/worker/worker.c -- the worker's loop: timers and posts, then frames, then sleep.
 *
 * Rings are emptied and doorbells sent once a turn, so many answers share one
 * wake-up of the gateway.  Before sleeping every session is armed; a peer that
 * wrote in between keeps the loop awake.
 */
#include "backends/worker/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct post {
    struct mpsc_node node; /* first: the queue hands it back */
    void (*fn)(void *arg);
    void *arg;
};

uint64_t wk_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool wk_watch(struct maas_worker *w, int fd, void *what, bool write)
{
    struct epoll_event e = { .events = EPOLLIN | (write ? (uint32_t)EPOLLOUT : 0),
                             .data.ptr = what };
    return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0 ||
           (errno == EEXIST && epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, fd, &e) == 0);
}

static int open_journal(void)
{
    const char *path = getenv("MAASWORKER_JOURNAL");
    return path && *path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
}

bool maas_worker_fits(size_t request, size_t usage, size_t handler, size_t options)
{
    return request == sizeof(struct maas_request) && usage == sizeof(struct maas_usage) &&
           handler == sizeof(struct maas_handler) && options == sizeof(struct maas_options);
}

struct maas_worker *maas_worker_new(const struct maas_options *o, const struct maas_handler *h,
                                    void *arg, char err[256])
{
    uint32_t inflight = o->max_inflight ? o->max_inflight : 256;
    struct maas_worker *w = calloc(1, sizeof *w);
    if (!w) {
        snprintf(err, 256, "no memory");
        return NULL;
    }
    w->handler = *h;
    w->arg = arg;
    w->max_inflight = inflight < WIRE_SLOTS_MAX ? inflight : WIRE_SLOTS_MAX;
    snprintf(w->name, sizeof w->name, "%s", o->name ? o->name : "worker");
    buf_init(&w->scratch, WK_PIECE_BYTES_MAX);
    w->journal_fd = open_journal();
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->epoll_fd < 0 || w->event_fd < 0 || !wk_watch(w, w->event_fd, &w->posts, false)) {
        snprintf(err, 256, "cannot make an event loop: %s", strerror(errno));
        maas_worker_free(w);
        return NULL;
    }
    if (o->listen && maas_worker_listen(w, o->listen, err) != MAAS_OK) {
        maas_worker_free(w);
        return NULL;
    }
    return w;
}

int maas_worker_port(const struct maas_worker *w)
{
    return w->tcp_port;
}

static void wake(struct maas_worker *w)
{
    uint64_t one = 1;
    /* A full counter means that the loop is already about to wake. */
    if (write(w->event_fd, &one, sizeof one) < 0)
        return;
}

void maas_worker_stop(struct maas_worker *w)
{
    int saved = errno;
    atomic_store(&w->stopped, true);
    wake(w);
    errno = saved;
}

void maas_worker_post(struct maas_worker *w, void (*fn)(void *), void *arg)
{
    struct post *p = malloc(sizeof *p);
    if (!p)
        abort(); /* a lost post is a lost answer */
    p->fn = fn;
    p->arg = arg;
    if (mpsc_push(&w->posts, &p->node))
        wake(w);
}

static void run_posts(struct maas_worker *w, bool call)
{
    for (struct mpsc_node *n = mpsc_take(&w->posts), *next; n; n = next) {
        next = n->next;
        struct post *p = (struct post *)n;
        if (call)
            p->fn(p->arg);
        free(p);
    }
}

static void bury_the_dead(struct maas_worker *w)
{
    uint64_t now = wk_now_ms();
    for (struct wk_session **at = &w->sessions; *at;) {
        struct wk_session *s = *at;
        if (!s->dead && (s->up || now < s->accept_by_ms)) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        w->session_count--;
        wk_session_free(s);
    }
}

static int accept_timeout_ms(const struct maas_worker *w)
{
    for (const struct wk_session *s = w->sessions; s; s = s->next)
        if (!s->up)
            return WK_ACCEPT_TIMEOUT_MS;
    return -1;
}

/* Moves frames both ways until there is nothing to do; returns how long epoll may wait. */
static int turn(struct maas_worker *w)
{
    wk_timers_run(w);
    run_posts(w, true);
    for (struct wk_session *s = w->sessions; s; s = s->next)
        if (s->up && !s->dead)
            s->carrier->drain(s);
    bool idle = true;
    for (struct wk_session *s = w->sessions; s; s = s->next) {
        if (s->up && !s->dead)
            wk_flush(s);
        if (!s->dead)
            s->carrier->flush(s);
        if (s->dead || (s->up && !s->carrier->arm(s)))
            idle = false;
    }
    bury_the_dead(w);
    int timer = wk_timers_wait_ms(w), handshake = accept_timeout_ms(w);
    int wait = timer < 0 || (handshake >= 0 && handshake < timer) ? handshake : timer;
    return idle ? wait : 0;
}

static void accept_one(struct maas_worker *w, const struct wk_listener *l)
{
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        wk_session_new(w, fd, l->carrier);
}

static void handle(struct maas_worker *w, const struct epoll_event *e)
{
    uint64_t count;
    char *what = e->data.ptr;
    if (what == (char *)&w->posts) {
        if (read(w->event_fd, &count, sizeof count) < 0)
            return;
    } else if (what >= (char *)w->listeners && what < (char *)(w->listeners + WK_LISTENERS_MAX)) {
        accept_one(w, e->data.ptr);
    } else {
        struct wk_session *s = e->data.ptr;
        if (!s->dead && (e->events & ~(uint32_t)EPOLLOUT))
            s->carrier->readable(s);
    }
}

int maas_worker_run(struct maas_worker *w)
{
    while (!atomic_load(&w->stopped)) {
        struct epoll_event events[64];
        int n = epoll_wait(w->epoll_fd, events, 64, turn(w));
        if (n < 0 && errno != EINTR)
            return MAAS_GONE;
        for (struct wk_session *s = w->sessions; s; s = s->next)
            if (s->up)
                s->carrier->disarm(s);
        for (int i = 0; i < n; i++)
            handle(w, &events[i]);
    }
    return MAAS_OK;
}

static void let_go(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* The epoll descriptor is shared with the parent: it is closed, never changed. */
void maas_worker_forked(struct maas_worker *w)
{
    let_go(&w->epoll_fd);
    let_go(&w->event_fd);
    wk_listeners_forked(w);
    for (struct wk_session *s = w->sessions; s; s = s->next) {
        let_go(&s->fd);
        let_go(&s->fds[0]);
        let_go(&s->fds[1]);
    }
    w->sessions = NULL; /* whose memory may have been in the middle of a change */
}

void maas_worker_free(struct maas_worker *w)
{
    if (!w)
        return;
    while (w->sessions) {
        struct wk_session *s = w->sessions;
        w->sessions = s->next;
        wk_session_free(s);
    }
    run_posts(w, false);
    wk_listeners_close(w);
    int fds[] = { w->epoll_fd, w->event_fd, w->journal_fd };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    buf_free(&w->scratch);
    free(w->timers);
    free(w);
}
