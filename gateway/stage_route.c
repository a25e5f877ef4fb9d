/* gateway/stage_route.c -- which model and backend serve it?  A free question is
 * answered here and leaves the line: nothing is held for it. */
#include "gateway/choose.h"
#include "gateway/request.h"

enum verdict stage_route(struct request *r)
{
    if (!r->target.row->capability)
        return r->target.row->answer(r);
    r->work.served = r->model;
    enum status s = choose_backend(r);
    if (s == STATUS_OK)
        return NEXT;
    r->answer.retry_after_ms = 1000;
    return request_fail(r, s, "model", "no backend for the model '%s' is available", r->model->id);
}
