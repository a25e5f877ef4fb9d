/* tests/helpers/stub_h2_say.c -- the stub does what its step says; see stub_h2.h. */
#include "tests/helpers/stub_h2_parts.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LATE_MS = 100, INTERIMS = 20, FIELDS = 1000, BATCH_BYTES = 32 << 10 };

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what is said ---- */

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                         strlen(value), NGHTTP2_NV_FLAG_NONE };
}

static const char *type_of(const struct stub_h2_step *step)
{
    if (step->what == H2_FLOOD)
        return "text/event-stream";
    return step->type ? step->type : "application/json";
}

static const char *body_of(const struct stub_h2_step *step)
{
    return step->body ? step->body : "{}";
}

/* The body, or as much of a flood as the window and the frame take; a flood ends with its mark. */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *connection)
{
    struct stream *s = source->ptr;
    const char *body = body_of(s->step);
    size_t len = strlen(body), n = 0;
    (void)session, (void)id, (void)connection;
    if (s->step->what == H2_LATE && now_ms() < s->due_ms)
        return NGHTTP2_ERR_DEFERRED;
    while (n + len <= room && s->sent < s->total) {
        memcpy(to + n, body, len);
        n += len;
        s->sent += len;
    }
    if (s->sent >= s->total && s->step->what == H2_FLOOD && n + 14 <= room) {
        memcpy(to + n, "data: [DONE]\n\n", 14);
        n += 14;
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (s->sent >= s->total && s->step->what != H2_FLOOD) {
        *flags |= s->step->what == H2_HEAD_HANG ? 0 : NGHTTP2_DATA_FLAG_EOF;
    }
    pthread_mutex_lock(&s->c->stub->lock);
    s->c->stub->sent += n;
    pthread_mutex_unlock(&s->c->stub->lock);
    return n || *flags ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
}

static ssize_t read_nothing(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                            uint32_t *flags, nghttp2_data_source *source, void *connection)
{
    (void)session, (void)id, (void)to, (void)room, (void)flags, (void)source, (void)connection;
    return NGHTTP2_ERR_DEFERRED;
}

static void answer(struct stream *s, const char *status, bool with_body)
{
    const nghttp2_nv head[] = { field(":status", status), field("content-type", type_of(s->step)),
                                field("server", "stub") };
    nghttp2_data_provider body = { .source.ptr = s,
                                   .read_callback = with_body ? read_body : read_nothing };
    s->total = s->step->what == H2_FLOOD ? s->step->flood_bytes : strlen(body_of(s->step));
    nghttp2_submit_response(s->c->session, s->id, head, 3, &body);
}

static void reset(struct stream *s, uint32_t error)
{
    nghttp2_submit_rst_stream(s->c->session, NGHTTP2_FLAG_NONE, s->id, error);
}

void stub_h2_go_away(struct connection *c, int32_t last)
{
    c->last = last;
    nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
}

static void send_raw(struct connection *c, const void *bytes, size_t len)
{
    if (SSL_write(c->ssl, bytes, (int)len) <= 0)
        c->over = true;
}

void stub_h2_flush(struct connection *c)
{
    const uint8_t *bytes;
    ssize_t n;
    while (!c->over && (n = nghttp2_session_mem_send(c->session, &bytes)) > 0)
        send_raw(c, bytes, (size_t)n);
}

/* What nghttp2 would not send: frames as they stand in the script. */
static size_t put_frame(uint8_t *to, const struct stub_h2_frame *f, int32_t own)
{
    uint32_t id = f->other_stream ? f->stream : (uint32_t)own;
    const uint8_t head[9] = {
        (uint8_t)(f->len >> 16), (uint8_t)(f->len >> 8), (uint8_t)f->len,    f->type,    f->flags,
        (uint8_t)(id >> 24),     (uint8_t)(id >> 16),    (uint8_t)(id >> 8), (uint8_t)id
    };
    memcpy(to, head, sizeof head);
    if (f->len)
        memcpy(to + sizeof head, f->bytes, f->len);
    return sizeof head + f->len;
}

static void send_frames(struct stream *s)
{
    static _Thread_local uint8_t out[BATCH_BYTES];
    size_t len = 0;
    stub_h2_flush(s->c);
    for (const struct stub_h2_frame *f = s->step->frames; f->bytes; f++)
        for (unsigned n = 0; n < (f->times ? f->times : 1) && !s->c->over; n++) {
            if (len + 9 + f->len > sizeof out) {
                send_raw(s->c, out, len);
                len = 0;
            }
            assert(9 + f->len <= sizeof out);
            len += put_frame(out + len, f, s->id);
        }
    send_raw(s->c, out, len);
}

static void send_interims(struct stream *s, unsigned count)
{
    const nghttp2_nv head[] = { field(":status", "103"), field("link", "</a>") };
    for (unsigned i = 0; i < count && !s->c->over && !stub_h2_stopping(s->c->stub); i++) {
        nghttp2_submit_headers(s->c->session, NGHTTP2_FLAG_NONE, s->id, NULL, head, 2, NULL);
        stub_h2_flush(s->c);
    }
}

static void send_many_fields(struct stream *s)
{
    static char names[FIELDS][16];
    nghttp2_nv head[FIELDS + 1];
    head[0] = field(":status", "200");
    for (int i = 0; i < FIELDS; i++) {
        snprintf(names[i], sizeof names[i], "x-%d", i);
        head[i + 1] = field(names[i], "value");
    }
    nghttp2_submit_response(s->c->session, s->id, head, FIELDS + 1, NULL);
}

/* Not run: refused, or beyond the last stream. */
static bool is_run(enum stub_h2_do what)
{
    return what != H2_REFUSE && what != H2_GOAWAY_OVER;
}

void stub_h2_act(struct stream *s)
{
    static const uint32_t errors[] = { [H2_REFUSE] = NGHTTP2_REFUSED_STREAM,
                                       [H2_RESET] = NGHTTP2_INTERNAL_ERROR,
                                       [H2_HEAD_RESET] = NGHTTP2_INTERNAL_ERROR,
                                       [H2_HEAD_REFUSE] = NGHTTP2_REFUSED_STREAM,
                                       [H2_EARLY] = NGHTTP2_NO_ERROR };
    struct connection *c = s->c;
    enum stub_h2_do what = s->step->what;
    bool head = what == H2_HEAD_RESET || what == H2_HEAD_REFUSE || what == H2_HEAD_CLOSE;
    if (is_run(what))
        stub_h2_add(c->stub, &c->stub->ran);
    s->due_ms = now_ms() + LATE_MS;
    if (what == H2_INTERIM || what == H2_INTERIM_FLOOD)
        send_interims(s, what == H2_INTERIM ? INTERIMS : 1 << 12);
    if (head || what == H2_HEAD_HANG)
        answer(s, "200", false);
    else if (what == H2_ANSWER || what == H2_LATE || what == H2_FLOOD || what == H2_INTERIM ||
             what == H2_GOAWAY_AFTER || what == H2_EARLY)
        answer(s, what == H2_EARLY ? "400" : "200", true);
    else if (what == H2_HEADERS)
        send_many_fields(s);
    stub_h2_flush(c);
    if (what == H2_REFUSE || what == H2_RESET || (head && what != H2_HEAD_CLOSE) ||
        what == H2_EARLY)
        reset(s, errors[what]);
    else if (what == H2_GOAWAY_OVER || what == H2_GOAWAY_AFTER)
        stub_h2_go_away(c, what == H2_GOAWAY_AFTER ? s->id : s->id > 1 ? s->id - 2 : 0);
    c->over = c->over || what == H2_CLOSE || what == H2_HEAD_CLOSE;
    if (what == H2_GARBAGE)
        send_raw(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 47);
    if (what == H2_FRAMES)
        send_frames(s);
}
