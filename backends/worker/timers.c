/* backends/worker/timers.c -- one-shot timers in a binary heap; equal times fire in the order set. */
#include "backends/worker/internal.h"
#include <limits.h>
#include <stdlib.h>

static bool sooner(const struct wk_timer *a, const struct wk_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void rise(struct wk_timer *heap, size_t at)
{
    while (at > 0 && sooner(&heap[at], &heap[(at - 1) / 2])) {
        struct wk_timer t = heap[at];
        heap[at] = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = t;
        at = (at - 1) / 2;
    }
}

static void sink(struct wk_timer *heap, size_t count)
{
    for (size_t at = 0, child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && sooner(&heap[child + 1], &heap[child]))
            child++;
        if (!sooner(&heap[child], &heap[at]))
            return;
        struct wk_timer t = heap[at];
        heap[at] = heap[child];
        heap[child] = t;
    }
}

void maas_worker_after(struct maas_worker *w, uint32_t ms, void (*fn)(void *arg), void *arg)
{
    if (w->timer_count == w->timer_room) {
        size_t room = w->timer_room ? 2 * w->timer_room : 64;
        struct wk_timer *more = realloc(w->timers, room * sizeof *more);
        if (!more)
            abort(); /* a timer that silently never fires would hang a request */
        w->timers = more;
        w->timer_room = room;
    }
    w->timers[w->timer_count] = (struct wk_timer){
        .due_ms = wk_now_ms() + ms, .order = w->timer_order++, .fn = fn, .arg = arg
    };
    rise(w->timers, w->timer_count++);
}

void wk_timers_run(struct maas_worker *w)
{
    uint64_t now = wk_now_ms(), last = w->timer_order;
    /* A timer set by a timer waits for the next turn, so that the sockets are looked at in between. */
    while (w->timer_count && w->timers[0].due_ms <= now && w->timers[0].order < last) {
        struct wk_timer t = w->timers[0];
        w->timers[0] = w->timers[--w->timer_count];
        sink(w->timers, w->timer_count);
        t.fn(t.arg);
    }
}

int wk_timers_wait_ms(const struct maas_worker *w)
{
    if (!w->timer_count)
        return -1;
    uint64_t now = wk_now_ms(), due = w->timers[0].due_ms;
    return due <= now ? 0 : due - now > INT_MAX ? INT_MAX : (int)(due - now);
}
