/* backends/queue.h -- who waits for a backend, in turn by project.
 *
 * Round robin as an order: the k-th waiter of a project stands in round k, rounds
 * are served one after the other, and inside a round who came first is first.  So
 * each project that waits gets the same share, however many requests it sends,
 * and the last of the order belongs to a project with the most of them: when the
 * queue is full a request of an earlier round takes that one's place.  Pure; no
 * memory of its own; the caller locks.  The work is O(length) to enter, else O(1).
 */
#ifndef MAAS_QUEUE_H
#define MAAS_QUEUE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_place {     /* of one waiter in one queue; its owner keeps it */
    struct queue *queue; /* NULL: it does not wait */
    struct queue_place *prev, *next;
    uint64_t round;
    int64_t project;
};

struct queue { /* all zero: empty */
    struct queue_place *first, *last;
    uint32_t length;
    uint64_t round; /* of the one that was served last */
};

/* Would a request of this project find a place? */
bool queue_takes(const struct queue *q, uint32_t max, int64_t project);
/* False: full.  *ret_evicted: who lost its place to this one, NULL nobody. */
bool queue_enter(struct queue *q, uint32_t max, struct queue_place *p, int64_t project,
                 struct queue_place **ret_evicted);
void queue_leave(struct queue_place *p); /* may be one that does not wait */
/* Leaves as one who is served: the turn goes on from here. */
void queue_serve(struct queue_place *p);

#endif
