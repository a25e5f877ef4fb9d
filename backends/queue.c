/* backends/queue.c -- see queue.h. */
#include "backends/queue.h"
#include <assert.h>

/* The round behind the project's last waiter.  When it has none the next one: it may have been
 * served in this one, and who always comes back at once must not be always first. */
static uint64_t round_of(const struct queue *q, int64_t project)
{
    for (const struct queue_place *p = q->last; p; p = p->prev)
        if (p->project == project)
            return p->round + 1;
    return q->round + 1;
}

static bool fits(const struct queue *q, uint32_t max, uint64_t round)
{
    return q->length < max || (q->last && round < q->last->round);
}

bool queue_takes(const struct queue *q, uint32_t max, int64_t project)
{
    return fits(q, max, round_of(q, project));
}

static void insert_behind(struct queue *q, struct queue_place *before, struct queue_place *p)
{
    p->prev = before;
    p->next = before ? before->next : q->first;
    *(p->prev ? &p->prev->next : &q->first) = p;
    *(p->next ? &p->next->prev : &q->last) = p;
    p->queue = q;
    q->length++;
}

bool queue_enter(struct queue *q, uint32_t max, struct queue_place *p, int64_t project,
                 struct queue_place **ret_evicted)
{
    assert(!p->queue);
    *ret_evicted = NULL;
    p->project = project;
    p->round = round_of(q, project);
    if (!fits(q, max, p->round))
        return false;
    if (q->length >= max) {
        *ret_evicted = q->last;
        queue_leave(q->last);
    }
    struct queue_place *before = q->last;
    while (before && before->round > p->round)
        before = before->prev;
    insert_behind(q, before, p);
    return true;
}

void queue_leave(struct queue_place *p)
{
    struct queue *q = p->queue;
    if (!q)
        return;
    *(p->prev ? &p->prev->next : &q->first) = p->next;
    *(p->next ? &p->next->prev : &q->last) = p->prev;
    q->length--;
    p->queue = NULL;
}

void queue_serve(struct queue_place *p)
{
    if (p->round > p->queue->round)
        p->queue->round = p->round;
    queue_leave(p);
}
