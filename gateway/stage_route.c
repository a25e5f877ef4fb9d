/* gateway/stage_route.c -- which model serves it, and can one of its backends?  A free
 * question is answered here and leaves the line, and so does what no backend could
 * take: nothing is held for either.  The backend itself is chosen when the hold is on
 * disk, by what is true then. */
#include "gateway/choose.h"
#include "gateway/request.h"

/* Conditions on the cost are about the hold. */
static enum status estimate_hold(struct request *r)
{
    if (!r->model->conditions)
        return STATUS_OK;
    enum status s = facts_take(r);
    if (s != STATUS_OK)
        return s;
    const struct price_list prices = facts_prices(r, r->model);
    return price_upper_bound(&prices, &r->bound, &r->work.hold);
}

static enum verdict refuse(struct request *r, enum status s)
{
    const char *id = r->model->id;
    if (s == STATUS_CONTEXT_LENGTH)
        return request_fail(r, s, NULL, "no route of the model '%s' takes a request of this length",
                            id);
    if (s == STATUS_TOO_LARGE_FOR_LIMIT)
        return request_fail(r, s, NULL,
                            "no route of the model '%s' takes a request that may cost "
                            "so much; a lower limit of output tokens may help",
                            id);
    enum status why = choose_problem(r, &r->answer.retry_after_ms);
    if (s == STATUS_NO_BACKEND && why == STATUS_NO_BACKEND)
        return request_fail(r, s, "model", "no backend for the model '%s' is available", id);
    COUNT(&r->loop->counters, queue_refused);
    return request_fail(r, STATUS_OVERLOADED, "model",
                        "every backend of the model '%s' is busy, and nobody may wait any longer",
                        id);
}

enum verdict stage_route(struct request *r)
{
    if (!r->target.row->capability)
        return r->target.row->answer(r);
    enum status s = estimate_hold(r);
    if (s != STATUS_OK)
        return request_fail(r, s, "model", NULL);
    s = choose_model(r);
    return s == STATUS_OK ? NEXT : refuse(r, s);
}
