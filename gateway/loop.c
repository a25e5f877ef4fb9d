/* gateway/loop.c -- the turn of a loop: messages, resumed connections, time. */
#include "gateway/loop.h"
#include "base/log.h"
#include "gateway/ask_ledger.h"
#include "gateway/direct.h"
#include "gateway/http.h"
#include "gateway/listen.h"
#include "gateway/pipeline.h"
#include "gateway/request.h"
#include "gateway/wait.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RUNS_PER_TURN_MAX = 16, TICK_MS = 500, HUP_EVENTS = 64 };

static _Thread_local struct loop *this_loop;

struct loop *loop_current(void)
{
    return this_loop;
}

int64_t loop_now_ns(const struct loop *l)
{
    return l->daemon->env->mono_ns(l->daemon->env->arg);
}

uint64_t loop_random(struct loop *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random;
}

/* ---- driving the HTTP server ---- */

static void on_spin(uv_idle_t *idle)
{
    (void)idle; /* only keeps the poll from sleeping */
}

static void spin(struct loop *l, bool on)
{
    if (on == l->spinning)
        return;
    l->spinning = on;
    if (on)
        uv_idle_start(&l->spin, on_spin);
    else
        uv_idle_stop(&l->spin);
}

void loop_mark_dirty(struct loop *l)
{
    l->dirty = true;
}

/* Several runs a wake: a resumed connection needs two to four until its bytes
 * are with the kernel.  Bounded, so that the other descriptors get their turn. */
static void drive(struct loop *l)
{
    if (l->in_run || !l->http)
        return;
    direct_run(l);
    bool again = l->dirty;
    for (int i = 0; again && i < RUNS_PER_TURN_MAX; i++) {
        l->dirty = false;
        l->in_run = true;
        again = http_run(l);
        l->in_run = false;
        direct_run(l);
        again = again || l->dirty;
    }
    l->dirty = again;
    spin(l, again);
}

static void on_prepare(uv_prepare_t *p)
{
    struct loop *l = p->data;
    drive(l);
    if (ask_ledger_hand_over(l))
        spin(l, true);
}

static void on_check(uv_check_t *c)
{
    drive(c->data);
}

static void on_http(uv_poll_t *p, int status, int events)
{
    (void)status, (void)events;
    loop_mark_dirty(p->data);
}

/* ---- clients that leave ---- */

static void on_hup(uv_poll_t *p, int status, int events)
{
    (void)status, (void)events;
    struct loop *l = p->data;
    struct epoll_event ready[HUP_EVENTS];
    int n = epoll_wait(l->hup_fd, ready, HUP_EVENTS, 0);
    for (int i = 0; i < n; i++) {
        struct conn *c = ready[i].data.ptr;
        if (c->request && (ready[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
            direct_room(c->request);
        if (!(ready[i].events & ~(unsigned)EPOLLOUT) || c->left)
            continue;
        c->left = true; /* nothing else is asked for */
        l->lefts++;
        if (c->request)
            request_gone(c->request);
    }
}

/* ---- messages ---- */

void loop_post(struct loop *l, struct loop_message *m)
{
    if (mpsc_push(&l->inbox, &m->node))
        eventfd_write(l->wake_fd,
                      1); /* of a counter that is emptied each time: it cannot be full */
}

static void on_wake(uv_poll_t *p, int status, int events)
{
    (void)status, (void)events;
    struct loop *l = p->data;
    eventfd_t posts;
    eventfd_read(l->wake_fd, &posts); /* before the queue is emptied: what follows rings again */
    struct mpsc_node *n = mpsc_take(&l->inbox);
    while (n) {
        struct mpsc_node *next = n->next; /* the message may be gone after it has run */
        struct loop_message *m = (struct loop_message *)n;
        m->run(l, m);
        n = next;
    }
}

struct adoption {
    struct loop_message message;
    int fd;
    socklen_t len;
    struct sockaddr_storage addr;
    uint64_t ip_slot;
};

static void adopt_here(struct loop *l, struct loop_message *m)
{
    struct adoption *a = (struct adoption *)m;
    COUNT(&l->counters, accepted);
    if (!http_adopt(l, a->fd, (struct sockaddr *)&a->addr, a->len, a->ip_slot))
        atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
    loop_mark_dirty(l);
    free(a);
}

void loop_adopt(struct loop *l, int fd, const struct sockaddr *addr, socklen_t len,
                uint64_t ip_slot)
{
    struct adoption *a = calloc(1, sizeof *a);
    if (!a || len > sizeof a->addr) {
        free(a);
        listen_ip_release(ip_slot);
        close(fd);
        return;
    }
    atomic_fetch_add_explicit(&l->connections, 1, memory_order_relaxed);
    a->message.run = adopt_here;
    a->fd = fd;
    a->len = len;
    memcpy(&a->addr, addr, len);
    a->ip_slot = ip_slot;
    loop_post(l, &a->message);
}

/* ---- time ---- */

static void list_remove(struct conn_list *list, struct conn *c)
{
    *(c->prev ? &c->prev->next : &list->first) = c->next;
    *(c->next ? &c->next->prev : &list->last) = c->prev;
}

static void list_append(struct conn_list *list, struct conn *c)
{
    c->prev = list->last;
    c->next = NULL;
    *(list->last ? &list->last->next : &list->first) = c;
    list->last = c;
}

void conn_enter(struct conn *c, enum conn_phase phase)
{
    struct loop *l = c->loop;
    if (c->phase != CONN_PHASES)
        list_remove(&l->conns[c->phase], c);
    c->phase = phase;
    if (phase == CONN_PHASES)
        return;
    c->since_ns = (int64_t)uv_now(&l->uv) * 1000000;
    list_append(&l->conns[phase], c);
}

/* The library closes the socket itself once it sees the end; closing it here
 * would hand its number to another client. */
void conn_cut(struct conn *c)
{
    shutdown(c->fd, SHUT_RDWR);
}

static void cut_overdue(struct loop *l, enum conn_phase phase, uint64_t allowed_ms)
{
    int64_t now = (int64_t)uv_now(&l->uv) * 1000000;
    for (struct conn *c = l->conns[phase].first; c; c = c->next) {
        if (now - c->since_ns < (int64_t)allowed_ms * 1000000)
            return;
        conn_cut(c);
    }
}

/* The library learns of an end of input by an edge that may come together with the last bytes, and
 * then waits for more of a head or a body that never comes. */
static void cut_left(struct loop *l)
{
    int64_t now = (int64_t)uv_now(&l->uv) * 1000000;
    if (l->lefts == 0)
        return;
    for (enum conn_phase phase = CONN_IDLE; phase < CONN_BUSY; phase++)
        for (struct conn *c = l->conns[phase].first; c; c = c->next)
            if (c->left && now - c->since_ns >= TICK_MS * INT64_C(1000000))
                conn_cut(c);
}

/* A draining loop ends when its last request has ended; past the deadline the
 * clients that are left are cut, and their requests are settled as for any
 * client that leaves. */
static void drain_further(struct loop *l)
{
    if (!l->stopping)
        return;
    cut_overdue(l, CONN_IDLE, 0);
    if (l->request_count == 0)
        uv_stop(&l->uv);
    else if (loop_now_ns(l) > l->drain_deadline_ns)
        for (struct request *r = l->requests, *next; r; r = next) {
            next = r->next;
            request_cut(r);
        }
}

static void on_tick(uv_timer_t *t)
{
    struct loop *l = t->data;
    const struct conf *conf = l->snapshot->conf;
    cut_overdue(l, CONN_IDLE, conf->idle_timeout_ms + conf->header_timeout_ms);
    cut_overdue(l, CONN_HEADERS, conf->header_timeout_ms);
    cut_overdue(l, CONN_BODY, conf->body_timeout_ms);
    /* The work, and then as long again for a client that takes its answer slowly. */
    cut_overdue(l, CONN_BUSY, 2 * conf->request_timeout_ms);
    for (struct request *r = l->requests, *next; r; r = next) {
        next = r->next;
        request_tick(r);
    }
    cut_left(l);
    atomic_fetch_add_explicit(&l->ticks, 1, memory_order_relaxed);
    snapshot_tell_troubles(l);
    drain_further(l);
    loop_mark_dirty(l); /* the library's own time-outs */
}

struct draining {
    struct loop_message message;
    int64_t deadline_ns;
};

static void drain_here(struct loop *l, struct loop_message *m)
{
    struct draining *d = (struct draining *)m;
    l->stopping = true;
    l->drain_deadline_ns = d->deadline_ns;
    free(d);
    drain_further(l);
}

void loop_drain(struct loop *l, int64_t deadline_ns)
{
    struct draining *d = calloc(1, sizeof *d);
    if (!d)
        abort(); /* a daemon that cannot stop is worse than one that dies: the ledger recovers */
    d->message.run = drain_here;
    d->deadline_ns = deadline_ns;
    loop_post(l, &d->message);
}

/* ---- birth and death of the thread ---- */

static void handle_init(struct loop *l)
{
    uv_prepare_init(&l->uv, &l->prepare);
    uv_check_init(&l->uv, &l->check);
    uv_idle_init(&l->uv, &l->spin);
    uv_timer_init(&l->uv, &l->tick);
    wait_open(l);
    l->prepare.data = l->check.data = l->spin.data = l->tick.data = l;
    /* libuv runs the hook that was started last first: backends start theirs
     * later, so that what they deliver in a turn leaves in the same turn. */
    uv_prepare_start(&l->prepare, on_prepare);
    uv_check_start(&l->check, on_check);
    uv_timer_start(&l->tick, on_tick, TICK_MS, TICK_MS);
}

static void poll_init(struct loop *l, uv_poll_t *p, int fd, uv_poll_cb cb)
{
    uv_poll_init(&l->uv, p, fd);
    p->data = l;
    uv_poll_start(p, UV_READABLE, cb);
}

static enum status loop_init(struct loop *l, char err[static 256])
{
    const struct env *env = l->daemon->env;
    rid_source_init(&l->rids, l->index, env, ledger_last_rid(l->daemon->ledger));
    env->random(env->arg, &l->random, sizeof l->random);
    l->random |= 1;
    l->hup_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->hup_fd < 0 || l->wake_fd < 0 || uv_loop_init(&l->uv) != 0) {
        snprintf(err, 256, "an event loop cannot be made: %s", strerror(errno));
        return STATUS_NO_MEMORY;
    }
    handle_init(l);
    enum status s = http_open(l, err);
    if (s != STATUS_OK)
        return s;
    poll_init(l, &l->http_poll, http_poll_fd(l), on_http);
    poll_init(l, &l->hup_poll, l->hup_fd, on_hup);
    poll_init(l, &l->wake_poll, l->wake_fd, on_wake);
    return STATUS_OK;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static void loop_finish(struct loop *l)
{
    uv_poll_stop(&l->http_poll);
    http_close(l);
    struct snapshot *last = l->snapshot;
    l->snapshot = NULL;
    uv_timer_stop(&l->tick);
    snapshot_unref(l, last);
    while (l->open_backends > 0)
        uv_run(&l->uv, UV_RUN_ONCE);
    uv_walk(&l->uv, close_handle, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&l->uv);
    assert(rc == 0);
    close(l->hup_fd);
}

struct birth {
    struct loop *loop;
    struct generation *generation;
    uv_sem_t done;
    enum status status;
    char *err;
};

static void loop_main(void *arg)
{
    struct birth *b = arg;
    struct loop *l = this_loop = b->loop;
    b->status = loop_init(l, b->err);
    if (b->status == STATUS_OK && !snapshot_first(l, b->generation))
        b->status = STATUS_NO_MEMORY;
    bool serves = b->status == STATUS_OK;
    uv_sem_post(&b->done); /* b is gone after this */
    if (!serves)
        return;
    do /* the turn that ends the loop may still have brought a request */
        uv_run(&l->uv, UV_RUN_DEFAULT);
    while (l->request_count > 0);
    loop_finish(l);
    atomic_store(&l->ended, true);
}

enum status loop_start(struct loop *l, struct generation *g, char err[static 256])
{
    struct birth b = { .loop = l, .generation = g, .err = err };
    uv_thread_options_t options = { .flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = 1 << 20 };
    TAILQ_INIT(&l->direct);
    for (int phase = 0; phase < CONN_PHASES; phase++)
        l->conns[phase] = (struct conn_list){ NULL, NULL };
    if (uv_sem_init(&b.done, 0) != 0 || uv_thread_create_ex(&l->thread, &options, loop_main, &b)) {
        snprintf(err, 256, "a loop thread cannot be started: %s", strerror(errno));
        return STATUS_NO_MEMORY;
    }
    uv_sem_wait(&b.done);
    uv_sem_destroy(&b.done);
    l->started = b.status == STATUS_OK;
    return b.status;
}

void loop_join(struct loop *l)
{
    if (!l->started)
        return;
    uv_thread_join(&l->thread);
    close(l->wake_fd); /* not before: who posts to a loop may do so until its end */
    l->started = false;
}
