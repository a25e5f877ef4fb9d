/* gateway/wait.c -- see wait.h.
 *
 * What other threads touch of a waiter (its places and its state) is the roster's
 * lock's.  Whoever takes it out of its queues tells its loop by a message, except the
 * loop itself; so there is at most one message, and no request ends before it has
 * come.  While somebody waits the loop looks every WAIT_LOOK_MS for what nobody
 * announces: time that has run out, a rate that has room again, a backend that is gone.
 */
#include "gateway/wait.h"
#include "gateway/choose.h"
#include "gateway/desk.h"
#include "gateway/request.h"

enum { WAIT_LOOK_MS = 20, WAIT_PLACES_MAX = 8 };

struct wait_place {
    struct queue_place place; /* first */
    struct waiter *waiter;
    struct backend *backend;
    struct standing *standing;
    size_t route; /* of the model that serves */
};

struct waiter {
    struct loop_message message; /* first */
    struct request *request;
    struct waiter *prev, *next; /* loop->waiters */
    bool queued;                /* roster's lock, as is the rest */
    enum wait_end end;
    struct wait_place *called; /* WAIT_CALLED: where */
    struct limits_grant grant;
    int64_t tokens, until_ns;
    unsigned count;
    struct wait_place places[WAIT_PLACES_MAX];
    struct waiter *next_called;
};

static struct roster *roster_of(const struct request *r)
{
    return &r->loop->daemon->roster;
}

/* ---- under the lock ---- */

static void note_length(struct standing *st)
{
    atomic_store_explicit(&st->waiting, st->queue.length, memory_order_seq_cst);
}

static void take_out(struct waiter *w, enum wait_end end)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->places[i].place.queue) {
            queue_leave(&w->places[i].place);
            note_length(w->places[i].standing);
        }
    w->queued = false;
    w->end = end;
}

static bool has_place(const struct waiter *w)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->places[i].place.queue)
            return true;
    return false;
}

static bool has_room(const struct backend *b)
{
    return atomic_load_explicit(&b->stats.running, memory_order_relaxed) <
           atomic_load_explicit(&b->stats.capacity, memory_order_relaxed);
}

/* Calls the first whose own loop's connection has room.  False: nobody, or no place is free. */
static bool call_next(struct standing *st, int64_t now_ns, struct waiter **called)
{
    for (struct queue_place *p = st->queue.first; p; p = p->next) {
        struct wait_place *at = (struct wait_place *)p;
        struct waiter *w = at->waiter;
        if (!has_room(at->backend))
            continue;
        if (!standing_take_turn(st, w->tokens, now_ns, &w->grant))
            return false;
        queue_serve(p);
        note_length(st);
        w->called = at;
        take_out(w, WAIT_CALLED);
        w->next_called = *called;
        *called = w;
        return true;
    }
    return false;
}

static void tell(struct waiter *w)
{
    loop_post(w->request->loop, &w->message);
}

void wait_offer(struct roster *ro, struct standing *st, int64_t now_ns)
{
    struct waiter *called = NULL, *next;
    pthread_mutex_lock(&ro->lock);
    while (call_next(st, now_ns, &called))
        ;
    pthread_mutex_unlock(&ro->lock);
    for (; called; called = next) {
        next = called->next_called; /* its loop may have ended it when tell returns */
        tell(called);
    }
}

/* Takes a place; who loses the last one it had because of that is handed back to be told. */
static struct waiter *take_place(struct wait_place *at, int64_t project)
{
    struct standing *st = at->standing;
    struct queue_place *evicted;
    (void)queue_enter(&st->queue, st->queue_max, &at->place, project, &evicted);
    note_length(st);
    if (!evicted)
        return NULL;
    struct waiter *loser = ((struct wait_place *)evicted)->waiter;
    if (has_place(loser))
        return NULL;
    take_out(loser, WAIT_EVICTED);
    return loser;
}

/* ---- the loop's own list ---- */

static void look_around(uv_timer_t *t);

static void list_add(struct loop *l, struct waiter *w)
{
    if (!l->waiters)
        uv_timer_start(&l->look, look_around, WAIT_LOOK_MS, WAIT_LOOK_MS);
    w->prev = NULL;
    w->next = l->waiters;
    if (w->next)
        w->next->prev = w;
    l->waiters = w;
}

static void list_remove(struct loop *l, struct waiter *w)
{
    *(w->prev ? &w->prev->next : &l->waiters) = w->next;
    if (w->next)
        w->next->prev = w->prev;
    if (!l->waiters)
        uv_timer_stop(&l->look);
}

/* Loop thread: the wait is over; what it came to is the request's. */
static void finish(struct waiter *w)
{
    struct request *r = w->request;
    list_remove(r->loop, w);
    r->work.waits = false;
    r->work.wait_end = w->end;
    if (w->end == WAIT_CALLED)
        choose_called(r, w->called->route, &w->grant);
}

static void on_message(struct loop *l, struct loop_message *m)
{
    struct waiter *w = (struct waiter *)m;
    (void)l;
    finish(w);
    request_resume(w->request);
}

/* ---- beginning ---- */

/* Where it may wait: the first few of those that could take it, beginning anywhere. */
static unsigned find_places(struct request *r, struct wait_place *places)
{
    struct choice c;
    unsigned count = 0;
    size_t n = choice_open(&c, r, r->work.served)->count;
    size_t first = n > WAIT_PLACES_MAX ? loop_random(r->loop) % n : 0;
    for (size_t i = 0; i < n && count < WAIT_PLACES_MAX; i++) {
        size_t at = (first + i) % n;
        if (!choice_able(&c, at))
            continue;
        struct backend *b = choice_backend(&c, at);
        places[count++] =
            (struct wait_place){ .backend = b, .standing = desk_of(b)->standing, .route = at };
    }
    return count;
}

bool wait_possible(struct request *r)
{
    struct wait_place places[WAIT_PLACES_MAX];
    unsigned count = find_places(r, places);
    bool found = false;
    pthread_mutex_lock(&roster_of(r)->lock);
    for (unsigned i = 0; !found && i < count; i++) {
        const struct standing *st = places[i].standing;
        found = queue_takes(&st->queue, st->queue_max, r->key->project_id);
    }
    pthread_mutex_unlock(&roster_of(r)->lock);
    return found;
}

static struct waiter *waiter_of(struct request *r)
{
    if (!r->work.waiter)
        r->work.waiter = arena_alloc(r->arena, sizeof *r->work.waiter);
    struct waiter *w = r->work.waiter;
    if (w)
        *w = (struct waiter){ .message.run = on_message, .request = r };
    return w;
}

static void set_patience(struct request *r, struct waiter *w)
{
    uint64_t ms = 0, own_ms = request_left_ms(r);
    for (unsigned i = 0; i < w->count; i++)
        if (w->places[i].standing->queue_timeout_ms > ms)
            ms = w->places[i].standing->queue_timeout_ms;
    w->until_ns = request_now_ns(r) + (int64_t)(own_ms < ms ? own_ms : ms) * 1000000;
    w->tokens = r->work.likely_tokens;
}

enum status wait_begin(struct request *r)
{
    struct roster *ro = roster_of(r);
    struct waiter *w = waiter_of(r), *losers[WAIT_PLACES_MAX];
    if (!w)
        return STATUS_NO_MEMORY;
    w->count = find_places(r, w->places);
    set_patience(r, w);
    pthread_mutex_lock(&ro->lock);
    for (unsigned i = 0; i < w->count; i++) {
        w->places[i].waiter = w;
        losers[i] = take_place(&w->places[i], r->key->project_id);
    }
    bool waits = w->queued = has_place(w);
    pthread_mutex_unlock(&ro->lock);
    for (unsigned i = 0; i < w->count; i++)
        if (losers[i])
            tell(losers[i]);
    if (!waits)
        return STATUS_OVERLOADED;
    r->work.waits = true;
    list_add(r->loop, w);
    for (unsigned i = 0; i < w->count; i++) /* room that came in between was offered to nobody */
        wait_offer(ro, w->places[i].standing, request_now_ns(r));
    return STATUS_OK;
}

/* ---- ending ---- */

/* False: somebody else was first, and the message is on its way. */
static bool withdraw(struct waiter *w, enum wait_end end)
{
    struct roster *ro = roster_of(w->request);
    pthread_mutex_lock(&ro->lock);
    bool mine = w->queued;
    if (mine)
        take_out(w, end);
    pthread_mutex_unlock(&ro->lock);
    if (mine)
        finish(w);
    return mine;
}

bool wait_leave(struct request *r)
{
    return r->work.waits && withdraw(r->work.waiter, WAIT_AGAIN);
}

static bool is_hopeless(const struct waiter *w)
{
    struct choice c;
    choice_open(&c, w->request, w->request->work.served);
    for (unsigned i = 0; i < w->count; i++)
        if (choice_able(&c, w->places[i].route))
            return false;
    return true;
}

static void look_around(uv_timer_t *t)
{
    struct loop *l = t->data;
    int64_t now_ns = loop_now_ns(l);
    for (struct waiter *w = l->waiters, *next; w; w = next) {
        struct request *r = w->request;
        next = w->next;
        bool expired = now_ns >= w->until_ns;
        if ((expired || is_hopeless(w)) && withdraw(w, expired ? WAIT_EXPIRED : WAIT_AGAIN)) {
            request_resume(r);
            continue;
        }
        for (unsigned i = 0; i < w->count; i++)
            wait_offer(roster_of(r), w->places[i].standing, now_ns);
    }
    loop_mark_dirty(l);
}

void wait_open(struct loop *l)
{
    uv_timer_init(&l->uv, &l->look);
    l->look.data = l;
}
