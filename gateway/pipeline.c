/* gateway/pipeline.c -- the one table that tells the story of a request. */
#include "gateway/pipeline.h"
#include "gateway/request.h"
#include <assert.h>

/* Read this table to know the gateway.
 *
 *   accept   is it well-formed HTTP for an endpoint we have?      (waits: never)
 *   auth     whose key is it, and is it for this?
 *   limit    what is asked for, and may the key have that now?    (waits: for the body)
 *   route    which model and backend serve it?  Free questions (models, money,
 *            health) are answered here and leave                  (waits: for the reader)
 *   hold     the most it can cost is on disk                      (waits: for the commit)
 *   backend  the model works; a stream's bytes flow               (waits: for the backend)
 *   meter    what was really used, by the written rule
 *   settle   the bill is on disk                                  (waits: for the commit)
 *   answer   the last bytes leave, never before settle
 *
 * From hold on every row leads to settle: no path ends a request with money on
 * hold.  A client that leaves, a backend that dies and a shutdown run the same
 * rows.  tests/unit/test_pipeline.c proves it on the table. */
const struct stage pipeline[S_COUNT] = {
    [S_ACCEPT] = { "accept", stage_accept, S_AUTH, S_ANSWER },
    [S_AUTH] = { "auth", stage_auth, S_LIMIT, S_ANSWER },
    [S_LIMIT] = { "limit", stage_limit, S_ROUTE, S_ANSWER },
    [S_ROUTE] = { "route", stage_route, S_HOLD, S_ANSWER },
    [S_HOLD] = { "hold", stage_hold, S_BACKEND, S_ANSWER },
    [S_BACKEND] = { "backend", stage_backend, S_METER, S_METER },
    [S_METER] = { "meter", stage_meter, S_SETTLE, S_SETTLE },
    [S_SETTLE] = { "settle", stage_settle, S_ANSWER, S_ANSWER },
    [S_ANSWER] = { "answer", stage_answer, S_DONE, S_DONE },
    [S_DONE] = { "done", NULL, S_DONE, S_DONE },
};

void request_resume(struct request *r)
{
    assert(r->magic == REQUEST_MAGIC && !r->running);
    r->running = true;
    while (r->state != S_DONE) {
        const struct stage *s = &pipeline[r->state];
        r->visited |= 1u << r->state;
        enum verdict v = s->run(r);
        if (v == WAIT) {
            r->running = false;
            return;
        }
        r->state = v == NEXT ? s->next : s->on_fail;
        assert(!(r->money == MONEY_HELD && r->state >= S_ANSWER));
    }
    r->running = false;
    request_ended(r);
}
