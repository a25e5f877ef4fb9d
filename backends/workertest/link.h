/* backends/workertest/link.h -- the gateway's side of one session, a frame at a time.
 *
 * Unlike the daemon's it may be slow, rude or wrong on purpose, and it waits.  What comes is
 * copied first and looked at then.
 */
#ifndef MAAS_WORKERTEST_LINK_H
#define MAAS_WORKERTEST_LINK_H
#include "backends/ring_memory.h"
#include <stdio.h>

enum { LINK_IN_BYTES = 1 << 20, LINK_WHY_BYTES = 240 };

struct link_manners { /* of ACCEPT; 0: as the daemon has them */
    uint32_t magic, slots, credit_bytes, frame_max;
    uint16_t version;
};

struct link {
    bool shm, up, deaf; /* deaf: nothing is taken in */
    int fd;
    struct wire_hello hello;
    struct wire_accept accept;
    struct ring_memory memory;
    struct ring ring;
    size_t in_at, in_len;  /* of a byte stream */
    struct wire_head head; /* of the last frame */
    uint8_t payload[WIRE_FRAME_MAX + 1];
    uint8_t in[LINK_IN_BYTES];
    char why[LINK_WHY_BYTES]; /* the worker did what */
};

/* Each returns false with l->why set.  link_close is safe on what failed, and on zeroes. */
bool link_dial(struct link *l, const char *address,
               int patience_ms); /* until HELLO has been judged */
bool link_accept(struct link *l, const struct link_manners *m, int patience_ms); /* until READY */
void link_close(struct link *l);

/* Waits for room; the payload goes as it is. */
bool link_say(struct link *l, struct wire_head h, const void *payload, int patience_ms);
bool link_raw(struct link *l, const void *bytes, size_t len,
              int patience_ms); /* into a byte stream */

enum link_got { LINK_FRAME, LINK_QUIET, LINK_GONE, LINK_WRONG };
/* The next frame into head and payload.  GONE and WRONG: why says it. */
enum link_got link_read(struct link *l, int patience_ms);

/* Over shared memory: says that this side sleeps; then, whether a bell has woken it. */
bool link_arm(struct link *l);
bool link_woken(struct link *l, int patience_ms);

bool link_fail(struct link *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int64_t link_now_ms(void);
#endif
