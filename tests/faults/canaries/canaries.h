/* tests/faults/canaries/canaries.h -- one client, its requests, and the answer that comes. */
#ifndef FAULTS_CANARIES_H
#define FAULTS_CANARIES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TENANTS_MAX = 64,
    MODELS_MAX = 16,
    ASKS_MAX = 3,
    CANARY_BYTES = 26, /* "canary-TT-" and 16 digits */
    OUT_BYTES = ASKS_MAX * 2048,
    ANSWER_BYTES = 64 * 1024,
};

struct ask {
    char canary[CANARY_BYTES + 1];
    bool stream;
    unsigned tokens;
};

enum part { PART_HEAD, PART_LENGTH, PART_SIZE, PART_CHUNK, PART_BREAK, PART_TRAILER };

struct client {
    int fd;
    struct ask asks[ASKS_MAX];
    unsigned ask_count, ask_done;
    char out[OUT_BYTES];
    size_t out_len, out_done;
    int64_t leave_at_ns; /* 0: not at a moment */
    uint64_t leave_after_bytes, send_bytes, got_bytes;
    /* the answer under way */
    enum part part;
    int status;
    uint64_t left; /* of the body or the chunk */
    size_t text_len, head_len;
    char text[ANSWER_BYTES]; /* head, then the body without its framing */
    size_t line_len;
    char line[32];
};

extern struct tally {
    unsigned long long asked, cancels, whole, refused, broken, cut, connections, canaries, leaks,
        wrong;
} tally;

_Noreturn void fail(const char *what);

/* answer.c */
void answer_begin(struct client *c);
void answer_take(struct client *c, const char *bytes, size_t len);
/* Looks through what has come of the answer under way. */
void answer_look(struct client *c);
#endif
