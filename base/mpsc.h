/* base/mpsc.h -- a queue that many threads push to and one empties at once.
 * Intrusive, lock-free, no allocation.  Order: first pushed, first out. */
#ifndef MAAS_MPSC_H
#define MAAS_MPSC_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct mpsc_node {
    struct mpsc_node *next;
};

struct mpsc {
    _Atomic(struct mpsc_node *) newest;
};

/* Several at once, linked from the newest to the oldest.  True when the queue was empty before: the
 * consumer may be asleep, wake it. */
static inline bool mpsc_push_all(struct mpsc *q, struct mpsc_node *newest, struct mpsc_node *oldest)
{
    struct mpsc_node *old = atomic_load_explicit(&q->newest, memory_order_relaxed);
    do
        oldest->next = old;
    while (!atomic_compare_exchange_weak_explicit(&q->newest, &old, newest, memory_order_acq_rel,
                                                  memory_order_relaxed));
    return old == NULL;
}

static inline bool mpsc_push(struct mpsc *q, struct mpsc_node *n)
{
    return mpsc_push_all(q, n, n);
}

/* Everything there is, oldest first; NULL: nothing. Consumer only. */
static inline struct mpsc_node *mpsc_take(struct mpsc *q)
{
    struct mpsc_node *n = atomic_exchange_explicit(&q->newest, NULL, memory_order_acquire);
    struct mpsc_node *first = NULL;
    while (n) {
        struct mpsc_node *next = n->next;
        n->next = first;
        first = n;
        n = next;
    }
    return first;
}
#endif
