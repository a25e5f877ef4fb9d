/* backends/workertest/exam.h -- the checks, one row each, and what they share. */
#ifndef MAAS_WORKERTEST_EXAM_H
#define MAAS_WORKERTEST_EXAM_H
#include "backends/workertest/asks.h"
#include "backends/workertest/worker_test.h"

enum { EXAM_NOTE_BYTES = 160 };

struct exam {
    const struct worker_test *order;
    struct asks asks;
    struct convo *a, *b;        /* fresh for each check; b only where a check opens it */
    struct wire_hello hello;    /* as the first check has seen it */
    char note[EXAM_NOTE_BYTES]; /* what a check that passed has to say */
};

enum check_needs {
    NEEDS_STREAM = 1 << 0, /* the first capability has streams */
    NEEDS_TWO = 1 << 1,    /* at least two requests at once */
    NEEDS_SHM = 1 << 2,
    NEEDS_BYTES = 1 << 3, /* a byte stream */
};

struct check {
    const char *name, *sentence; /* what the page says */
    bool (*run)(struct exam *e); /* false: e->a's or e->b's link says why */
    unsigned needs;
};

/* checks_*.c; each ends with a row without name. */
extern const struct check checks_greeting[], checks_request[], checks_flow[], checks_end[],
    checks_rude[];

/* exam.c */
bool exam_open(struct exam *e, struct convo *c,
               const struct link_manners *m); /* NULL: as the daemon */
bool exam_ask(struct exam *e, struct convo *c, unsigned slot, bool stream, unsigned words,
              unsigned max_tokens);
bool exam_ask_whole(struct exam *e, struct convo *c, unsigned slot); /* short, not a stream */
bool exam_ended_well(struct convo *c, unsigned slot);                /* waits for the end */
bool exam_fail(struct exam *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void exam_note(struct exam *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#endif
