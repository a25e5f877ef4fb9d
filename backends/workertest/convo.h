/* backends/workertest/convo.h -- requests to a worker, and a judge who knows the protocol page by heart.
 *
 * Every frame is held against the page before it counts; the first one that breaks it ends the
 * conversation with a sentence.
 */
#ifndef MAAS_WORKERTEST_CONVO_H
#define MAAS_WORKERTEST_CONVO_H
#include "backends/workertest/link.h"
#include "base/buf.h"
#include "conf/capability.h"

enum { CONVO_SLOTS = 16, CONVO_EVENT_BYTES_MAX = 1 << 20, CONVO_ANSWER_BYTES_MAX = 64 << 20 };

struct plea { /* what is asked; lent */
    enum capability capability;
    const char *model;
    struct span body;
    bool stream;
    uint32_t max_out;
    size_t first, piece; /* body bytes in REQUEST and in each BODY; 0: as much as fits */
    uint16_t more_flags; /* beside those that are meant */
};

struct talk { /* one request, and what came of it */
    bool begun, ended, stream, cancelled;
    bool no_credit; /* none is given back */
    uint32_t gen, credit, owed;
    enum capability capability;
    unsigned events, usage_events, frames;
    bool usage_last; /* the last event was the one with the usage */
    uint64_t bytes;
    struct wire_data count;
    struct wire_final final;
    bool reported;   /* FINAL with usage */
    struct buf text; /* the body, or the event that is not whole yet */
    int64_t cancelled_ms, ended_ms;
};

struct convo {
    struct link link;
    const char *address;
    int patience_ms;
    struct talk talk[CONVO_SLOTS];
    uint32_t gen[CONVO_SLOTS];
    unsigned pongs;
    uint32_t pong_gen;
};

/* Each returns false with c->link.why set. */
bool convo_open(struct convo *c, const char *address, int patience_ms,
                const struct link_manners *m);
void convo_close(struct convo *c);
bool convo_ask(struct convo *c, unsigned slot, const struct plea *p);
bool convo_begin(struct convo *c, unsigned slot,
                 const struct plea *p); /* REQUEST alone: the first part */
bool convo_say(struct convo *c, uint16_t type, unsigned slot, const void *payload, uint32_t len);
bool convo_cancel(struct convo *c, unsigned slot);
bool convo_ping(struct convo *c); /* and its PONG */
/* One frame; false also when none came in time. */
bool convo_step(struct convo *c);
bool convo_until_end(struct convo *c, unsigned slot); /* of the request in that slot */
bool convo_until_event(struct convo *c, unsigned slot, unsigned count); /* or its end */
bool convo_give_credit(struct convo *c, unsigned slot);                 /* all that is owed */
/* Nothing more comes: the worker hangs up. */
bool convo_until_gone(struct convo *c);
/* Nothing at all for a moment. */
bool convo_quiet(struct convo *c, int ms);
#endif
