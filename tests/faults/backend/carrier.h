/* tests/faults/backend/carrier.h -- frames to and from one gateway loop, as the worker's side.
 *
 * It shares backends/ring.h with the gateway and nothing else: libmaasworker refuses to say what
 * a hostile worker says.
 */
#ifndef FAULTS_CARRIER_H
#define FAULTS_CARRIER_H
#include "backends/ring.h"
#include "base/buf.h"
#include "tests/faults/backend/play.h"
#include <sys/queue.h>

struct call;

struct session {
    struct session *next;
    uv_poll_t poll;
    int fd;
    bool shm, up, dead, blocked;
    bool starved; /* it takes in nothing more */
    unsigned number;
    struct script *script; /* of the time it connected */
    struct play *opening;  /* the connection's own steps, while they run */
    struct buf in, out;    /* out: what the ring or the socket had no room for */
    int fds[2];
    void *map_g, *map_w;
    size_t map_g_bytes, map_w_bytes;
    struct ring ring;
    uint8_t payload[WIRE_FRAME_MAX];
    uint32_t slots;
    struct call **calls;   /* by slot; NULL: none */
    LIST_HEAD(, call) all; /* also those that go on after their end */
};

/* carrier.c */
struct session *session_first(void);
/* A connection that was accepted; worker.c is told of its frames by worker_frame. */
struct session *session_new(int fd, bool shm);
void session_send(struct session *s, const struct wire_head *h, const void *payload);
void session_raw(struct session *s, const void *bytes,
                 size_t len); /* a packet, or bytes in the stream */
bool session_room(struct session *s);
bool session_accept(struct session *s, const struct wire_accept *a); /* maps the rings */
void session_end(struct session *s, bool reset);                     /* buried in the next turn */
void carrier_start(void);

/* harm.c: does to its memory, or to the way it reads, what no honest worker does.  False: not known. */
bool session_harm(struct session *s, const char *what, int64_t n);

/* worker.c */
void worker_hello(struct session *s);
void worker_frame(struct session *s, const struct wire_head *h, const uint8_t *payload);
void worker_room(struct session *s); /* there is room again */
void worker_gone(struct session *s);
#endif
