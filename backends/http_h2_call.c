/* backends/http_h2_call.c -- how a call leaves its stream: answered, refused, paused, given up; see
 * http_h2.h. */
#include "backends/http_parts.h"

enum { PIECE_BYTES = 16 << 10 };

/* nghttp2 asks for the bodies of open streams, so a stream that cannot be reset for want of memory
 * costs the connection. */
bool http_h2_give_up(struct http_call *c)
{
    struct http_h2_stream *s = &c->h2;
    if (!s->given_up &&
        nghttp2_submit_rst_stream(s->conn->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL) != 0)
        http_h2_lose(s->conn);
    s->given_up = true;
    return !s->conn->broken;
}

bool http_h2_window(struct http_call *c, size_t taken)
{
    struct http_h2_stream *s = &c->h2;
    if (nghttp2_session_consume_stream(s->conn->session, s->id, taken) != 0)
        http_h2_lose(s->conn);
    return !s->conn->broken;
}

/* RFC 9113 8.7: what is refused was not processed.  nghttp2 says the same of streams that are beyond
 * the last one of a GOAWAY. */
void http_h2_set_over(struct http_call *c, uint32_t error, bool garbage)
{
    struct http_h2_stream *s = &c->h2;
    s->over = true;
    s->refused = !c->answered && (error == NGHTTP2_REFUSED_STREAM || !c->connected);
    s->result = s->complete && s->final ? CURLE_OK
                : garbage               ? CURLE_HTTP2_STREAM
                                        : CURLE_RECV_ERROR;
}

static void detach(struct http_call *c)
{
    if (c->h2.conn)
        TAILQ_REMOVE(&c->h2.conn->calls, c, h2.link);
    c->h2.conn = NULL;
}

/* As over HTTP/1.1: a connection that had served before is gone without a word, and the operator
 * says that to run the call twice does no harm. */
static bool may_repeat(const struct http_call *c)
{
    const struct http_h2_stream *s = &c->h2;
    return s->conn->broken && !s->conn->garbage && s->id > 1 && !c->answered && !c->repeated &&
           c->backend->base.conf->repeat_unanswered;
}

/* It is anew, as if it came now.  Its time runs on. */
static void send_again(struct http_call *c)
{
    detach(c);
    c->h2.refusals++;
    c->connected = false;
    http_call_note(c);
}

static void end(struct http_call *c)
{
    const struct http_h2_stream *s = &c->h2;
    if (c->ended || (c->held && s->passed < s->kept.len))
        return; /* its turn comes; its reader first takes what there is */
    bool repeat = !s->refused && may_repeat(c);
    if ((s->refused || repeat) && c->verdict == STATUS_OK && s->refusals < HTTP_H2_REFUSALS_MAX) {
        c->repeated = c->repeated || repeat;
        send_again(c);
        return;
    }
    if (s->refused)
        c->connected = false;
    http_transfer_done(c, s->refused ? CURLE_COULDNT_CONNECT : s->result);
}

void http_h2_reap(struct http_h2_conn *conn)
{
    struct http_call *c, *next;
    for (c = TAILQ_FIRST(&conn->calls); c; c = next) {
        next = TAILQ_NEXT(c, h2.link);
        if (conn->broken && !c->h2.over) {
            http_h2_set_over(c, NGHTTP2_NO_ERROR, conn->garbage);
            conn->streams--;
        }
        if (c->h2.over)
            end(c);
    }
}

void http_h2_detach_all(struct http_h2_conn *conn)
{
    struct http_call *c;
    while ((c = TAILQ_FIRST(&conn->calls)))
        detach(c);
}

/* Of what was kept, until the reader pauses again: in pieces, so that it is heard in between.
 * False: the call wants no more. */
static bool pass_kept(struct http_call *c)
{
    struct http_h2_stream *s = &c->h2;
    while (!c->paused && s->passed < s->kept.len) {
        size_t left = s->kept.len - s->passed, len = left < PIECE_BYTES ? left : PIECE_BYTES;
        if (http_on_bytes(s->kept.at + s->passed, 1, len, c) != len)
            return false;
        s->passed += len;
    }
    return true;
}

void http_h2_resume(struct http_call *c)
{
    struct http_h2_stream *s = &c->h2;
    size_t before = s->passed;
    bool taken = pass_kept(c), open = s->conn && !s->over;
    if (open)
        http_h2_window(c, s->passed - before);
    if (open && !taken)
        http_h2_give_up(c);
    c->held = taken && s->passed < s->kept.len;
    if (c->held)
        return;
    buf_free(&s->kept);
    s->passed = 0;
    if (c->order.answers)
        allowance_give_back(c->order.answers,
                            &c->counted); /* a body is counted with its next piece */
    if (s->over && !c->ended)
        http_transfer_done(c, s->result);
}

void http_h2_doubt(struct http_call *c)
{
    if (c->h2.conn)
        c->h2.conn->retiring = true;
}

void http_h2_suspect(struct http_call *c)
{
    struct http_h2_conn *conn = c->h2.conn;
    if (conn && (conn->blocked || conn->heard_ms <= c->last_byte_ms))
        conn->retiring = true;
}

void http_h2_leave(struct http_call *c)
{
    struct http_h2_stream *s = &c->h2;
    if (s->waits)
        TAILQ_REMOVE(&c->backend->h2.waiting, c, h2.link);
    s->waits = false;
    if (!s->conn)
        return;
    if (!s->over) {
        http_h2_give_up(c);
        nghttp2_session_set_stream_user_data(s->conn->session, s->id, NULL);
        s->conn->streams--;
    }
    detach(c);
}
