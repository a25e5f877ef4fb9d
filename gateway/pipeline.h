/* gateway/pipeline.h -- the order of a request's life. pipeline.c holds THE table. */
#ifndef MAAS_PIPELINE_H
#define MAAS_PIPELINE_H

struct request;

enum verdict {
    NEXT, /* this stage is done, go on to the next one */
    WAIT, /* an event will call request_resume() later */
    FAIL, /* off the line: request->status says why (STATUS_OK: it is already answered) */
};

enum state {
    S_ACCEPT,
    S_AUTH,
    S_LIMIT,
    S_ROUTE,
    S_HOLD,
    S_BACKEND,
    S_METER,
    S_SETTLE,
    S_ANSWER,
    S_DONE,
    S_COUNT
};

typedef enum verdict stage_fn(struct request *r);

struct stage {
    const char *name;
    stage_fn *run;
    enum state next;    /* after NEXT */
    enum state on_fail; /* after FAIL */
};

extern const struct stage pipeline[S_COUNT];

stage_fn stage_accept, stage_auth, stage_limit, stage_route, stage_hold, stage_backend, stage_meter,
    stage_settle, stage_answer;

/* Runs the request until it waits or is done.  Loop thread.  A request that is
 * done and that no connection holds any more is freed: do not touch it after. */
void request_resume(struct request *r);

#endif
