/* backends/ring_wake.h -- when a ring's peer must be woken, and when it is safe to sleep.
 *
 * A wake-up is a system call and dominates the cost of a frame, so one is only due
 * when the peer has said that it is about to sleep, and once for each of its sleeps.
 * Both sides first publish, then fence, then look: no wake-up is lost.
 */
#ifndef MAAS_RING_WAKE_H
#define MAAS_RING_WAKE_H
#include "backends/ring.h"

/* True: the peer sleeps and has not been woken for what was written or freed since: send a doorbell. */
static inline bool ring_bell_due(struct ring *r)
{
    bool wrote = r->tail != r->tail_rung, freed = r->head_told != r->head_rung;
    if (!wrote && !freed)
        return false;
    r->tail_rung = r->tail;
    r->head_rung = r->head_told;
    atomic_thread_fence(memory_order_seq_cst); /* my positions are seen before I look at `armed` */
    uint32_t armed = atomic_load_explicit(&r->peer->armed, memory_order_relaxed);
    if (!(armed & RING_ARMED) || armed == r->rung || (!wrote && !(armed & RING_WANTS_ROOM)))
        return false;
    r->rung = armed;
    return true;
}

static inline void ring_disarm(struct ring *r)
{
    if (r->armed & RING_ARMED)
        atomic_store_explicit(&r->mine->armed,
                              r->armed &= ~(uint32_t)(RING_ARMED | RING_WANTS_ROOM),
                              memory_order_relaxed);
}

/* True: safe to sleep, the peer will ring.  False: there is something to do now. */
static inline bool ring_arm(struct ring *r, bool wants_room)
{
    uint32_t flags = RING_ARMED | (wants_room ? RING_WANTS_ROOM : 0);
    r->armed = ((r->armed & ~(uint32_t)(RING_ARMED_STEP - 1)) + RING_ARMED_STEP) | flags;
    atomic_store_explicit(&r->mine->armed, r->armed, memory_order_relaxed);
    atomic_thread_fence(
        memory_order_seq_cst); /* `armed` is seen before I look at the peer's positions */
    if (atomic_load_explicit(&r->peer->tail, memory_order_acquire) == r->head &&
        (!wants_room || atomic_load_explicit(&r->peer->head, memory_order_acquire) == r->peer_head))
        return true;
    ring_disarm(r);
    return false;
}
#endif
