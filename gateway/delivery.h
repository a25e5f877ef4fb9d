/* gateway/delivery.h -- how much of a stream has reached its client's socket, in tokens.
 *
 * What a client that leaves pays for (reference/billing.md 3.3 row 13).  An event is
 * *added* to the answer, *taken* by the HTTP server, and *sent* once the server comes
 * for more: it does so only when the socket has all that it took before.  So what a
 * full socket keeps the server from sending counts as not sent.
 *
 * The tokens of an event in the middle of what waits are remembered only for a reader
 * that is behind; for one that keeps up there is nothing to remember.
 */
#ifndef MAAS_DELIVERY_H
#define MAAS_DELIVERY_H
#include "base/buf.h"
#include "base/usage.h"

struct progress {
    uint64_t events;          /* that carried output */
    uint64_t text, reasoning; /* tokens, as the backend counts them, when `counted` */
    bool counted;
    size_t said; /* of the transcript, where there is one: up to this event's end */
};

struct delivery {
    struct progress added, taken, sent;
    uint64_t taken_bytes, sent_bytes; /* of the stream */
    struct buf marks;                 /* of events that wait */
    size_t marks_used;
};

void delivery_init(struct delivery *d);
void delivery_free(struct delivery *d);
/* An event has been added, behind it nothing.  so_far without output: the backend does not
 * count as it goes.  `waiting`: bytes of the answer that were not yet taken. */
/* Whether it carried output. */
bool delivery_add(struct delivery *d, struct span event, const struct usage *so_far,
                  size_t waiting);
/* Bytes that are no event: they count as one, whatever their number. */
void delivery_add_bytes(struct delivery *d, size_t waiting);
/* The backend has said what all events together are. */
void delivery_count(struct delivery *d, const struct usage *total);
/* The HTTP server comes for more: it has sent what it took. */
void delivery_sent(struct delivery *d);
/* It takes so many bytes, and then so many wait. */
void delivery_take(struct delivery *d, size_t bytes, size_t waiting);

#endif
