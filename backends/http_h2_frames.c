/* backends/http_h2_frames.c -- what comes from an HTTP/2 upstream: nghttp2's callbacks; see http_h2.h.
 *
 * nghttp2 keeps the rules of RFC 9113; what a call says is handed to the same code that reads
 * HTTP/1.1: header lines as text, then bytes.  Flow control is by hand.  The connection's
 * window opens again with each byte, so that one stream never holds back another; a stream's own
 * opens with what its reader took.  So a paused call keeps at most one window of bytes.
 */
#include "backends/http_parts.h"
#include <stdio.h>

enum { FATAL = NGHTTP2_ERR_CALLBACK_FAILURE }; /* to nghttp2: the session is over */

static struct http_call *call_of(nghttp2_session *session, int32_t id)
{
    return id ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

/* ---- header lines ---- */

/* As a line of HTTP/1.1; the pseudo header becomes the status line. */
static bool pass_line(struct http_call *c, struct span name, struct span value)
{
    char line[HTTP_H2_LINE_BYTES_MAX];
    bool status = span_is(name, ":status");
    int len = status ? snprintf(line, sizeof line, "HTTP/2 %.*s \r\n", (int)value.len, value.at)
                     : snprintf(line, sizeof line, "%.*s: %.*s\r\n", (int)name.len, name.at,
                                (int)value.len, value.at);
    if (len < 0 || (size_t)len >= sizeof line) {
        http_refuse(c, STATUS_BACKEND_GARBAGE);
        return false;
    }
    return http_on_header(line, 1, (size_t)len, c) == (size_t)len;
}

/* After a refusal nghttp2 resets the stream; of the rest of the block it keeps its table right and
 * asks nobody, or a few bytes that mean many fields would take the loop's time. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *conn)
{
    struct http_call *c = call_of(session, frame->hd.stream_id);
    (void)flags, (void)conn;
    if (!c || c->h2.given_up || frame->hd.type != NGHTTP2_HEADERS ||
        pass_line(c, (struct span){ (const char *)name, name_len },
                  (struct span){ (const char *)value, value_len }))
        return 0;
    c->h2.given_up = true;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* nghttp2 would leave such a field out and go on. */
static int on_bad_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                         size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                         void *conn)
{
    (void)session, (void)frame, (void)name, (void)name_len, (void)value, (void)value_len;
    (void)flags, (void)conn;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static bool headers_end(struct http_call *c)
{
    char blank[] = "\r\n";
    bool ok = http_on_header(blank, 1, 2, c) == 2;
    c->h2.final = c->headers.code >= 200;
    return ok;
}

/* ---- frames ---- */

/* An answer that is whole before all of the request was sent has no use for the rest. */
static bool is_to_end(const struct http_call *c)
{
    return c->h2.complete && c->h2.final && c->h2.sent < c->order.body.len;
}

static int take_frame(struct http_call *c, const nghttp2_frame *frame)
{
    bool ok = true;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        c->h2.reset = true;
    if (frame->hd.type == NGHTTP2_HEADERS)
        ok = headers_end(c);
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        c->h2.complete = true;
    if ((!ok || is_to_end(c)) && !http_h2_give_up(c))
        return FATAL;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct http_h2_conn *conn = arg;
    struct http_call *c = call_of(session, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_GOAWAY)
        conn->retiring = true;
    return c ? take_frame(c, frame) : 0;
}

/* Not by a PUSH_PROMISE: what was promised is nothing of the call's. */
static int on_invalid(nghttp2_session *session, const nghttp2_frame *frame, int error, void *conn)
{
    struct http_call *c = call_of(session, frame->hd.stream_id);
    (void)error, (void)conn;
    if (c && frame->hd.type != NGHTTP2_PUSH_PROMISE)
        http_refuse(c, STATUS_BACKEND_GARBAGE);
    return 0;
}

/* From here on the backend may have it. */
static int on_sending(nghttp2_session *session, const nghttp2_frame *frame, void *conn)
{
    struct http_call *c = call_of(session, frame->hd.stream_id);
    (void)conn;
    if (c && frame->hd.type == NGHTTP2_HEADERS)
        c->connected = true;
    return 0;
}

/* ---- bytes ---- */

/* nghttp2 hands out what exceeds the window, too, and closes the stream afterwards. */
static enum status add_kept(struct http_call *c, struct span bytes)
{
    struct http_h2_stream *s = &c->h2;
    buf_drop(&s->kept, s->passed);
    s->passed = 0;
    if (bytes.len > HTTP_H2_WINDOW - s->kept.len)
        return STATUS_BACKEND_GARBAGE;
    if (!buf_add(&s->kept, bytes.at, bytes.len))
        return STATUS_NO_MEMORY;
    return http_room(c, c->body.len + s->kept.len) ? STATUS_OK : STATUS_OVERLOADED;
}

static bool keep(struct http_call *c, struct span bytes)
{
    enum status s = add_kept(c, bytes);
    if (s != STATUS_OK)
        http_refuse(c, s);
    return s == STATUS_OK;
}

/* False: the call wants no more. */
static bool take_bytes(struct http_call *c, struct span piece)
{
    if (c->held)
        return keep(c, piece);
    size_t taken = http_on_bytes((char *)(uintptr_t)piece.at, 1, piece.len, c);
    if (taken == CURL_WRITEFUNC_PAUSE)
        return keep(c, piece);
    return taken == piece.len && http_h2_window(c, taken);
}

static int on_bytes(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                    size_t len, void *conn)
{
    struct http_call *c = call_of(session, id);
    (void)flags, (void)conn;
    if (nghttp2_session_consume_connection(session, len) != 0)
        return FATAL;
    if (!c || c->h2.given_up || take_bytes(c, (struct span){ (const char *)bytes, len }))
        return 0;
    return http_h2_give_up(c) ? 0 : FATAL;
}

/* ---- the end of a stream ---- */

/* An error of the protocol that the server does not tell us of was found by nghttp2, in what it sent. */
static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    struct http_h2_conn *conn = arg;
    struct http_call *c = call_of(session, id);
    if (!c)
        return 0;
    http_h2_set_over(c, error,
                     !c->h2.reset &&
                         (error == NGHTTP2_PROTOCOL_ERROR || error == NGHTTP2_FLOW_CONTROL_ERROR));
    nghttp2_session_set_stream_user_data(session, id, NULL);
    conn->streams--;
    return 0;
}

/* ---- a session ---- */

static bool configure(nghttp2_session *session)
{
    static const nghttp2_settings_entry ours[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP_H2_WINDOW },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEADER_BYTES_MAX },
    };
    return nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, ours, sizeof ours / sizeof *ours) ==
               0 &&
           nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                 HTTP_H2_CONN_WINDOW) == 0;
}

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_bad_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_bytes);
    nghttp2_session_callbacks_set_before_frame_send_callback(callbacks, on_sending);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}

/* White space around a value is ours to judge, as for HTTP/1.1. */
static void set_options(nghttp2_option *option)
{
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option, 1);
}

nghttp2_session *http_h2_session_new(struct http_h2_conn *conn)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_session *session = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
        set_callbacks(callbacks);
        set_options(option);
        if (nghttp2_session_client_new2(&session, callbacks, conn, option) == 0 &&
            !configure(session)) {
            nghttp2_session_del(session);
            session = NULL;
        }
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}
