/* tests/helpers/fake_carrier.h -- a session without a worker: the test says every frame and moves the clock. */
#ifndef FAKE_CARRIER_H
#define FAKE_CARRIER_H
#include "backends/session.h"

enum { FAKE_OUT_BYTES = 1 << 20 };

struct fake {
    struct session session; /* first */
    uint32_t room_limit;    /* what room() says at most */
    bool small_room;        /* room_limit holds */
    size_t out_len;
    uint8_t out[FAKE_OUT_BYTES]; /* frames that the session sent, in a row */
};

extern int64_t fake_now_ms;
extern uint16_t fake_version_max; /* what HELLO offers */
extern const struct env fake_env;

/* A session that is up, with `slots` of the worker and `concurrency` of the configuration. */
struct fake *fake_open(uv_loop_t *loop, uint32_t concurrency, uint32_t slots);
void fake_close(struct fake *f); /* runs the loop until it is closed; f is gone */
void fake_turn(struct fake *f);  /* lets the session send */
/* Gives the session one frame from memory of exactly that size, so that a reader beyond it is found. */
void fake_say(struct fake *f, struct wire_head h, const void *payload);
void fake_dialled(struct fake *f); /* waits until the session expects HELLO */
void fake_handshake(struct fake *f, uint32_t slots);
/* The frame that begins at *at of what was sent; false at the end. */
bool fake_sent(const struct fake *f, size_t *at, struct wire_head *h, const uint8_t **payload);
unsigned fake_count_sent(const struct fake *f, enum wire_type type);
#endif
