/* gateway/stage_answer.c -- the last bytes leave.  Everything that was taken for
 * the request is given back here, whatever way it came. */
#include "gateway/error_body.h"
#include "gateway/http.h"
#include "gateway/intake.h"
#include "gateway/request.h"
#include "gateway/stream.h"

static void leave_limits(struct request *r)
{
    if (!r->grant.held)
        return;
    bool used = r->money == MONEY_SETTLED || r->money == MONEY_LEFT;
    limits_leave(&r->key->state, &r->key->limits, &r->grant, used ? (int64_t)r->tokens_used : -1,
                 request_now_ns(r));
}

static bool write_error(struct request *r)
{
    enum error_shape shape = r->target.row ? r->target.row->errors : route_errors(r->in.path);
    r->answer.http = status_info(r->status)->http;
    r->answer.content_type = NULL;
    r->answer.tensors = false;
    buf_clear(&r->answer.body);
    return error_body(&r->answer.body, shape, r->status, r->message, r->param);
}

/* Nobody is left to answer: let the HTTP server find out and close, even when the
 * client left only its sending half and takes nothing of what is under way. */
static void cut(struct request *r)
{
    r->answer.cut = true;
    if (r->conn)
        conn_cut(r->conn);
    http_resume(r);
}

static void send_whole(struct request *r)
{
    bool ok = true;
    if (r->status != STATUS_OK)
        ok = write_error(r);
    else if (!r->answer.http)
        r->answer.http = 200;
    if (!ok || !reply_send(r))
        cut(r);
}

enum verdict stage_answer(struct request *r)
{
    leave_limits(r);
    if (r->gone || !r->mhd) {
        cut(r);
        return NEXT;
    }
    if (!r->in.body_complete && intake_can_discard(r)) {
        r->in.discard = true; /* answering now would cost the connection */
        return WAIT;
    }
    if (r->answer.stream && r->status != STATUS_OK)
        stream_fail(r);
    else if (r->answer.stream ||
             (r->ask.stream && r->status == STATUS_OK && !r->answer.content_type))
        stream_finish(r);
    else
        send_whole(r);
    return NEXT;
}
