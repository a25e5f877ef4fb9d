/* backends/http_h2_call.c -- a call as a stream of HTTP/2: nghttp2's callbacks; see http_h2.h.
 *
 * What comes is handed to the same code that reads HTTP/1.1: header lines as text, then
 * bytes.  Flow control is by hand.  The connection's window opens again with each byte, so
 * that one stream never holds back another; a stream's own opens with what its reader took.
 * So a paused call keeps at most one window of bytes.
 */
#include "backends/http_parts.h"
#include "base/version.h"
#include <stdlib.h>
#include <strings.h>

enum { FIELDS_MAX = 64, NAME_BYTES_MAX = 64, PIECE_BYTES = 16 << 10 };

/* ---- what is sent ---- */

struct fields {
    nghttp2_nv nv[FIELDS_MAX];
    size_t count;
    char names[FIELDS_MAX][NAME_BYTES_MAX]; /* in lower case, as HTTP/2 wants them */
};

/* Secrets stay out of the table of fields that both sides remember. */
static bool is_secret(const char *name)
{
    return strstr(name, "auth") || strstr(name, "key") || strstr(name, "token");
}

static bool add(struct fields *f, struct span name, struct span value)
{
    if (f->count == FIELDS_MAX || name.len >= NAME_BYTES_MAX)
        return false;
    char *own = f->names[f->count];
    for (size_t i = 0; i < name.len; i++)
        own[i] = (char)(name.at[i] >= 'A' && name.at[i] <= 'Z' ? name.at[i] + 32 : name.at[i]);
    own[name.len] = '\0';
    f->nv[f->count++] = (nghttp2_nv){
        .name = (uint8_t *)own,
        .namelen = name.len,
        .value = (uint8_t *)(uintptr_t)value.at,
        .valuelen = value.len,
        .flags = is_secret(own) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE,
    };
    return true;
}

/* "Name: value"; a line without a value is for libcurl alone. */
static bool add_line(struct fields *f, const char *line)
{
    const char *colon = strchr(line, ':');
    const char *value = colon ? colon + 1 + strspn(colon + 1, " ") : "";
    if (!*value)
        return true;
    return add(f, (struct span){ line, (size_t)(colon - line) },
               (struct span){ value, strlen(value) });
}

/* "https://host:port/path?query" in two; without a path there is one of "/". */
static bool add_target(struct fields *f, const char *url)
{
    const char *host = strstr(url, "://") + 3;
    size_t len = strcspn(host, "/?");
    const char *path = host[len] == '/' ? host + len : "/";
    return add(f, SPAN(":method"), SPAN("POST")) && add(f, SPAN(":scheme"), SPAN("https")) &&
           add(f, SPAN(":authority"), (struct span){ host, len }) &&
           add(f, SPAN(":path"), (struct span){ path, strlen(path) });
}

static bool add_all(struct fields *f, const struct http_call *c, const char *url,
                    char length[static 24])
{
    snprintf(length, 24, "%zu", c->order.body.len);
    bool ok = add_target(f, url) && add(f, SPAN("user-agent"), SPAN(HTTP_USER_AGENT)) &&
              add(f, SPAN("content-length"), (struct span){ length, strlen(length) });
    for (const struct curl_slist *l = c->lines.node; ok && l; l = l->next)
        ok = add_line(f, l->data);
    return ok;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *conn)
{
    struct http_call *c = source->ptr;
    struct span body = c->order.body;
    size_t left = body.len - c->h2.sent, len = left < room ? left : room;
    (void)session, (void)id, (void)conn;
    if (len)
        memcpy(to, body.at + c->h2.sent, len);
    c->h2.sent += len;
    if (len == left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

static int32_t submit(struct http_h2_conn *conn, struct http_call *c)
{
    struct fields f = { .count = 0 };
    char length[24], *made = NULL;
    nghttp2_data_provider body = { .source.ptr = c, .read_callback = read_body };
    const char *url = http_url_of(c, &made);
    int32_t id = NGHTTP2_ERR_NOMEM;
    if (url && add_all(&f, c, url, length))
        id = nghttp2_submit_request(conn->session, NULL, f.nv, f.count, &body, c);
    http_url_free(made);
    return id;
}

bool http_h2_submit(struct http_h2_conn *conn, struct http_call *c)
{
    struct http_h2_stream *s = &c->h2;
    s->sent = s->passed = 0;
    s->final = s->complete = s->over = s->refused = s->given_up = false;
    int32_t id = submit(conn, c);
    if (id < 0)
        return false;
    s->id = id;
    s->conn = conn;
    TAILQ_INSERT_TAIL(&conn->calls, c, h2.link);
    conn->streams++;
    return true;
}

/* ---- what comes ---- */

/* The stream is reset; on_stream_close follows, and what the call's own code found counts. */
static int give_up(struct http_call *c, nghttp2_session *session, int32_t id)
{
    if (!c->h2.given_up)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    c->h2.given_up = true;
    return 0;
}

static struct http_call *call_of(nghttp2_session *session, int32_t id)
{
    return id ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

/* As a line of HTTP/1.1; the pseudo header becomes the status line. */
static bool pass_line(struct http_call *c, struct span name, struct span value)
{
    char line[PIECE_BYTES];
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

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *conn)
{
    struct http_call *c = call_of(session, frame->hd.stream_id);
    (void)flags, (void)conn;
    if (!c || pass_line(c, (struct span){ (const char *)name, name_len },
                        (struct span){ (const char *)value, value_len }))
        return 0;
    return give_up(c, session, frame->hd.stream_id);
}

static void headers_end(struct http_call *c, nghttp2_session *session, int32_t id)
{
    char blank[] = "\r\n";
    if (http_on_header(blank, 1, 2, c) != 2)
        give_up(c, session, id);
    c->h2.final = c->headers.code >= 200;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct http_h2_conn *conn = arg;
    struct http_call *c = call_of(session, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_GOAWAY)
        conn->retiring = true;
    if (!c)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        headers_end(c, session, frame->hd.stream_id);
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        c->h2.complete = true;
    return 0;
}

static bool keep(struct http_call *c, struct span bytes)
{
    if (buf_add(&c->h2.kept, bytes.at, bytes.len))
        return true;
    http_refuse(c, STATUS_NO_MEMORY);
    return false;
}

static int on_bytes(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                    size_t len, void *conn)
{
    struct http_call *c = call_of(session, id);
    (void)flags, (void)conn;
    nghttp2_session_consume_connection(session, len);
    if (!c || c->h2.given_up)
        return 0;
    struct span piece = { (const char *)bytes, len };
    if (c->held)
        return keep(c, piece) ? 0 : give_up(c, session, id);
    size_t taken = http_on_bytes((char *)(uintptr_t)piece.at, 1, len, c);
    if (taken == CURL_WRITEFUNC_PAUSE)
        return keep(c, piece) ? 0 : give_up(c, session, id);
    if (taken != len)
        return give_up(c, session, id);
    nghttp2_session_consume_stream(session, id, len);
    return 0;
}

/* From here on the backend may have it. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *conn)
{
    struct http_call *c = call_of(session, frame->hd.stream_id);
    (void)conn;
    if (c && frame->hd.type == NGHTTP2_HEADERS)
        c->connected = true;
    return 0;
}

static int on_invalid(nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
    struct http_h2_conn *conn = arg;
    struct http_call *c = call_of(session, frame->hd.stream_id);
    (void)error;
    if (c)
        http_refuse(c, STATUS_BACKEND_GARBAGE);
    else
        conn->garbage = true;
    return 0;
}

/* RFC 9113 8.7: what is refused was not processed.  nghttp2 says the same of streams that are beyond
 * the last one of a GOAWAY. */
static void set_over(struct http_call *c, uint32_t error, bool garbage)
{
    struct http_h2_stream *s = &c->h2;
    s->over = true;
    s->refused = !c->answered && (error == NGHTTP2_REFUSED_STREAM || !c->connected);
    s->result = s->complete && s->final ? CURLE_OK
                : garbage               ? CURLE_HTTP2_STREAM
                                        : CURLE_RECV_ERROR;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    struct http_h2_conn *conn = arg;
    struct http_call *c = call_of(session, id);
    if (c) {
        set_over(c, error, error == NGHTTP2_PROTOCOL_ERROR || error == NGHTTP2_FLOW_CONTROL_ERROR);
        nghttp2_session_set_stream_user_data(session, id, NULL);
        conn->streams--;
    }
    return 0;
}

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

nghttp2_session *http_h2_session_new(struct http_h2_conn *conn)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_session *session = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_bytes);
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
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

/* ---- the end ---- */

static void detach(struct http_call *c)
{
    if (c->h2.conn)
        TAILQ_REMOVE(&c->h2.conn->calls, c, h2.link);
    c->h2.conn = NULL;
}

/* It was not begun: anew, as if it came now.  Its time runs on. */
static void send_again(struct http_call *c)
{
    c->h2.refusals++;
    c->connected = false;
    http_call_note(c);
}

static void end(struct http_call *c)
{
    bool kept = c->held && c->h2.kept.len > c->h2.passed;
    detach(c);
    if (c->ended || kept)
        return; /* its turn comes; its reader first takes what there is */
    if (c->h2.refused && c->verdict == STATUS_OK && c->h2.refusals < HTTP_H2_REFUSALS_MAX) {
        send_again(c);
        return;
    }
    if (c->h2.refused)
        c->connected = false;
    http_transfer_done(c, c->h2.refused ? CURLE_COULDNT_CONNECT : c->h2.result);
}

void http_h2_reap(struct http_h2_conn *conn)
{
    struct http_call *c, *next;
    for (c = TAILQ_FIRST(&conn->calls); c; c = next) {
        next = TAILQ_NEXT(c, h2.link);
        if (conn->broken && !c->h2.over) {
            set_over(c, NGHTTP2_NO_ERROR, conn->garbage);
            conn->streams--;
        }
        if (c->h2.over)
            end(c);
    }
}

/* In pieces, so that a reader who cannot take all of it is heard in between. */
void http_h2_resume(struct http_call *c)
{
    struct http_h2_stream *s = &c->h2;
    bool taken = true;
    while (taken && !c->paused && s->passed < s->kept.len) {
        size_t left = s->kept.len - s->passed, len = left < PIECE_BYTES ? left : PIECE_BYTES;
        taken = http_on_bytes(s->kept.at + s->passed, 1, len, c) == len;
        s->passed += len;
    }
    if (s->conn && !s->over) {
        nghttp2_session_consume_stream(s->conn->session, s->id, s->passed);
        if (!taken)
            give_up(c, s->conn->session, s->id);
    }
    bool left = taken && s->passed < s->kept.len;
    buf_drop(&s->kept, left ? s->passed : s->kept.len);
    s->passed = 0;
    c->held = left;
    if (!left && s->over && !c->ended)
        http_transfer_done(c, s->result);
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
        nghttp2_session_set_stream_user_data(s->conn->session, s->id, NULL);
        give_up(c, s->conn->session, s->id);
        s->conn->streams--;
    }
    detach(c);
}
