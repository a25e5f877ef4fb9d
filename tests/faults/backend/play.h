/* tests/faults/backend/play.h -- one request while it is answered, step by step.
 *
 * A channel (http.c, worker.c) carries what is said; it owns the struct that begins
 * with a play and frees it in `forget`.  Everything runs on the one loop.
 */
#ifndef FAULTS_PLAY_H
#define FAULTS_PLAY_H
#include "base/buf.h"
#include "base/rid.h"
#include "tests/faults/backend/script.h"
#include <uv.h>

struct play;

struct claim { /* what is said about usage, true or not */
    bool absent;
    int64_t in, out;
    json_t *other; /* in place of the whole object, HTTP alone; NULL: none */
};

enum piece { PIECE_TOKEN, PIECE_USAGE, PIECE_BODY };

struct channel {
    const char *name;
    /* False: no room for an answer's piece of that size; play_go_on() follows when there is. */
    bool (*room)(struct play *p, size_t bytes);
    /* One event of a stream (PIECE_TOKEN, PIECE_USAGE), or the whole body. */
    void (*say)(struct play *p, enum piece kind, struct span json, const struct claim *c);
    /* The proper end, right after what was said; code 0: it is complete. */
    void (*finish)(struct play *p, int code, const struct claim *c);
    void (*head)(struct play *p, const struct step *s);  /* NULL: it has none */
    void (*bytes)(struct play *p, struct span raw);      /* on the wire, as they are */
    void (*frame)(struct play *p, const struct step *s); /* NULL: it has none */
    void (*harm)(struct play *p, const struct step *s);  /* NULL: it has none */
    void (*cut)(struct play *p, int64_t after, const char *how);
    void (*drop)(struct play *p, bool reset); /* the whole connection */
    void (*forget)(struct play *p);
};

struct play {
    const struct channel *channel;
    struct script *script;
    const struct rule *rule; /* NULL: no rule fits; the request is never answered */
    size_t step;
    int64_t left; /* tokens of this step; < 0: it has not begun */
    uv_timer_t timer;
    bool waiting, hung, finished, cancelled, running, over, first_said;
    rid_t rid;
    unsigned connection;
    bool stream;
    char *model, *public_model, *prompt;
    struct span echo; /* of the prompt: what tokens say */
    int64_t asked_tokens, asked_delay_ms;
    int64_t input_tokens, output_tokens; /* the truth */
    const struct step *usage;            /* the last one; NULL: the truth is told */
    struct buf text;                     /* of the tokens so far, for an answer in one piece */
};

/* Takes the script's reference; `body` is borrowed, `model` NULL: of the body.  The steps begin at once. */
void play_begin(struct play *p, const struct channel *channel, struct script *s,
                const struct asked *a, const char *public_model);
/* A connection's own steps: no request. */
void play_connection(struct play *p, const struct channel *channel, struct script *s,
                     const struct rule *rule);
void play_go_on(struct play *p);
/* The gateway wants no more of it. */
void play_cancel(struct play *p);
/* The connection is gone, whoever ended it.  Forgets the play, perhaps later. */
void play_gone(struct play *p);

_Noreturn void play_bad_step(const struct step *s); /* says what is wrong with it, and ends */

/* journal.c */
bool journal_open(const char *path);
void journal(const struct play *p, const char *event, const char *extra_json);
int64_t journal_now_ns(void);

/* main.c */
uv_loop_t *loop(void);
struct script *current_script(void); /* a new reference */
unsigned next_connection(void);      /* its number, from 1 */

/* http.c, worker.c: 0, or the port */
int http_listen(const char *where, int *ret_port);
int worker_listen(const char *where, int *ret_port);
#endif
