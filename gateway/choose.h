/* gateway/choose.h -- which backend does the work: among the model's routes, then
 * among its parent's when it may fall back.  Loop thread. */
#ifndef MAAS_CHOOSE_H
#define MAAS_CHOOSE_H
#include "backends/route.h"
#include "base/status.h"

struct backend;
struct limits_grant;
struct request;

/* A model's backends as they are for a request at this moment. */
struct choice {
    struct request *request;
    const struct catalog_model *model;
    int64_t now_ns;
    bool panic; /* ejections do not count: too many are ejected */
    struct route_view view;
};
const struct route_view *choice_open(struct choice *c, struct request *r,
                                     const struct catalog_model *m);
bool choice_able(const struct choice *c, size_t route); /* and not tried yet */
struct backend *choice_backend(const struct choice *c, size_t route);

/* Before anything is held: sets r->work.served to the model whose backends could do the work.
 * OVERLOADED: they have no room and nobody may wait any more; NO_BACKEND; CONTEXT_LENGTH or
 * TOO_LARGE_FOR_LIMIT: no route is for such a request. */
MUST_CHECK enum status choose_model(struct request *r);
/* Takes a place at one that was not tried yet and sets r->work.{served,route,backend}.
 * OVERLOADED: those that could have no room, wait for them; NO_BACKEND. */
MUST_CHECK enum status choose_backend(struct request *r);
/* Likewise after a wait, which took the place. */
void choose_called(struct request *r, size_t route, const struct limits_grant *g);
/* Whether the backend that was chosen could still take the call. */
bool choose_holds(struct request *r);
/* Whether the backend that was chosen may be ejected, or too many of the model's are already. */
bool choose_may_eject(struct request *r);
/* Gives the place back, having used so many tokens. */
void choose_leave(struct request *r, int64_t used, int64_t now_ns);
/* Why NO_BACKEND, and when to come back: OVERLOADED when one of them would have been able, but
 * has asked to be left alone or has used up its rate for longer than anybody waits. */
enum status choose_problem(struct request *r, int64_t *ret_retry_ms);

#endif
