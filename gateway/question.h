/* gateway/question.h -- a free question whose answer is in the ledger's store.
 *
 * It is asked of the reader thread, never of a loop or of the ledger thread; the
 * request waits in stage_route.  A question lies in the arena of its request, which
 * lives until the answer is there. */
#ifndef MAAS_QUESTION_H
#define MAAS_QUESTION_H
#include "base/status.h"
#include "gateway/pipeline.h"
#include "gateway/reader.h"
#include <stdbool.h>
#include <stddef.h>

struct request;

struct question { /* embed first */
    struct reader_op op;
    struct request *request;
    /* Reader thread.  May read the request's snapshot, which is held; nothing else of it. */
    enum status (*ask)(struct question *q, struct db *db);
    char *text;               /* the answer; malloc'd */
    const char *content_type; /* NULL: application/json */
    const char *amount_unit;  /* of the money in it: "minor", "major"; NULL: not said */
    const char *param;        /* the parameter that is refused; NULL: none */
    const char *problem;      /* static or in the arena; NULL: the status's own sentence */
};

/* A stage's verdict, again when it wakes.  `prepare` reads the query once and makes the question
 * in the request's arena with `ask` set; NULL: it has failed the request. */
enum verdict question_answer(struct request *r, struct question *(*prepare)(struct request *r));

/* What may stand in the query of a question: rows, the last without a name. */
struct parameter {
    const char *name;
    unsigned bit; /* its place in `takes` */
    bool many;    /* may be given again */
    enum verdict (*read)(struct request *r, const char *value,
                         void *into); /* value: in the arena */
};
/* For prepare: reads all of the query.  FAIL: the request has failed, its param is the one at fault. */
MUST_CHECK enum verdict question_parameters(struct request *r, const struct parameter *known,
                                            unsigned takes, void *into);
/* Fails the request: "'param' must be expected". */
enum verdict question_bad(struct request *r, const char *param, const char *expected);

/* For prepare: room in the arena, zeroed, or NULL and the request has failed. */
void *question_room(struct request *r, size_t size);
#endif
