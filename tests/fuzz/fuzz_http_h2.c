/* tests/fuzz/fuzz_http_h2.c -- any frames and bytes of an HTTP/2 upstream, among calls that start, stop
 * and pause, on a connection that may be full.
 *
 * The connection is one that libcurl has made, without libcurl: its two functions that carry bytes are
 * ours here.  Checked: each call ends exactly once and nothing reaches it after its end; of what a
 * reader has not taken no more than a window is kept; the streams are counted rightly.
 */
#include "backends/http_driver.h"
#include "backends/http_parts.h"
#include <assert.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { CALLS_MAX = 32, FRAME_HEAD = 9, SAID_MAX = 64 << 10 };

struct input {
    const uint8_t *at;
    size_t left;
};

struct probe {
    struct backend_call *call;
    bool in_use, ended;
};

static struct {
    uv_loop_t loop;
    struct http_backend *backend;
    struct http_socket socket;
    uint8_t said[SAID_MAX]; /* by the upstream, not yet read */
    size_t said_len;
    bool full, gone;
    bool in_api;
    int64_t now_ms;
    struct probe probes[CALLS_MAX];
    size_t probe_count;
} f;

/* ---- what libcurl does elsewhere ---- */

CURLcode curl_easy_send(CURL *easy, const void *bytes, size_t len, size_t *ret_taken)
{
    (void)easy, (void)bytes;
    *ret_taken = f.full ? 0 : len;
    return f.gone ? CURLE_SEND_ERROR : f.full ? CURLE_AGAIN : CURLE_OK;
}

CURLcode curl_easy_recv(CURL *easy, void *to, size_t room, size_t *ret_len)
{
    size_t len = f.said_len < room ? f.said_len : room;
    (void)easy;
    memcpy(to, f.said, len);
    memmove(f.said, f.said + len, f.said_len - len);
    f.said_len -= len;
    *ret_len = len;
    return len || f.gone ? CURLE_OK : CURLE_AGAIN;
}

static int64_t mono_ns(void *arg)
{
    (void)arg;
    return f.now_ms * 1000000;
}

static int64_t wall_us(void *arg)
{
    (void)arg;
    return f.now_ms * 1000;
}

static const struct env env = { .mono_ns = mono_ns, .wall_us = wall_us };

/* ---- the input ---- */

static uint64_t number(struct input *in, size_t bytes)
{
    uint64_t n = 0;
    if (bytes > in->left)
        bytes = in->left;
    memcpy(&n, in->at, bytes);
    in->at += bytes;
    in->left -= bytes;
    return n;
}

/* ---- calls ---- */

static void on_data(void *arg, const struct backend_data *d)
{
    struct probe *p = arg;
    static uint8_t sum;
    assert(p->in_use && !p->ended && !f.in_api);
    for (size_t i = 0; i < d->len; i++)
        sum = (uint8_t)(sum + (uint8_t)d->bytes[i]); /* so that a sanitizer sees every byte */
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct probe *p = arg;
    assert(p->in_use && !p->ended && !f.in_api);
    assert(end->status < STATUS_COUNT && memchr(end->message, 0, sizeof end->message));
    p->ended = true;
}

static void start(struct input *in)
{
    static const struct backend_events events = { on_data, on_end };
    static const char body[70000] = "{}";
    struct probe *p = &f.probes[f.probe_count];
    if (f.probe_count == CALLS_MAX)
        return;
    uint64_t how = number(in, 1);
    struct backend_order o = { .rid = 1,
                               .capability = how & 2 ? CAP_TRANSCRIPTION : CAP_CHAT,
                               .model = "m",
                               .public_model = "p",
                               .stream = how & 1,
                               .any_format = how & 4,
                               .body = { body, number(in, 2) },
                               .first_byte_timeout_ms = 1000,
                               .chunk_timeout_ms = 500,
                               .total_timeout_ms = 5000 };
    *p = (struct probe){ .in_use = true };
    f.in_api = true;
    if (backend_http_driver.start(&f.backend->base, &o, &events, p, &p->call) == STATUS_OK)
        f.probe_count++;
    f.in_api = false;
}

static void cancel_or_pause(struct input *in)
{
    struct probe *p = f.probe_count ? &f.probes[number(in, 1) % f.probe_count] : NULL;
    uint64_t how = number(in, 1);
    if (!p || p->ended)
        return;
    f.in_api = true;
    if (how % 3 == 0)
        backend_http_driver.cancel(p->call);
    else
        backend_http_driver.pause(p->call, how & 1);
    f.in_api = false;
}

/* ---- the upstream ---- */

static void say(const void *bytes, size_t len)
{
    if (len > sizeof f.said - f.said_len)
        return;
    memcpy(f.said + f.said_len, bytes, len);
    f.said_len += len;
}

/* Beginnings of header blocks that lead somewhere. */
static const char *const blocks[] = {
    "\x88",                              /* :status 200 */
    "\x88\x0f\x10\x11text/event-stream", /* with a type */
    "\x8c\x0f\x10\x10"
    "application/json", /* 400 */
    "\x08\x03"
    "103",
    "\x88\x0f\x0d\x01"
    "2",
    "",
};
static const char *const pieces[] = { "data: {}\n\n", "{}", "data: [DONE]\n\n", "{\"error\":{}}" };

static void say_frame(struct input *in)
{
    uint8_t frame[FRAME_HEAD + 4096];
    uint64_t how = number(in, 1), flags = number(in, 1), id = number(in, 1);
    const char *known = how & 0x80      ? ""
                        : how % 11 == 1 ? blocks[number(in, 1) % (sizeof blocks / sizeof *blocks)]
                        : how % 11 == 0 ? pieces[number(in, 1) % (sizeof pieces / sizeof *pieces)]
                                        : "";
    size_t len = strlen(known), more = number(in, how & 0x40 ? 2 : 1) & 0xfff;
    memcpy(frame + FRAME_HEAD, known, len);
    if (more > in->left)
        more = in->left;
    if (more > sizeof frame - FRAME_HEAD - len)
        more = sizeof frame - FRAME_HEAD - len;
    memcpy(frame + FRAME_HEAD + len, in->at, more);
    in->at += more;
    in->left -= more;
    len += more;
    const uint8_t head[FRAME_HEAD] = {
        0, (uint8_t)(len >> 8), (uint8_t)len, (uint8_t)(how % 11), (uint8_t)flags, 0, 0,
        0, (uint8_t)id
    };
    memcpy(frame, head, sizeof head);
    say(frame, FRAME_HEAD + len);
}

/* As much as one window, to one reader: nobody writes that much by chance. */
static void say_much(struct input *in)
{
    static const uint8_t frame[FRAME_HEAD + 16000] = { 0, 16000 >> 8, 16000 & 0xff, NGHTTP2_DATA };
    uint8_t head[FRAME_HEAD];
    memcpy(head, frame, sizeof head);
    head[8] = (uint8_t)number(in, 1);
    say(head, sizeof head);
    say(frame + FRAME_HEAD, sizeof frame - FRAME_HEAD);
}

/* ---- a round ---- */

static void on_events(void *arg, int events)
{
    (void)arg, (void)events;
}

/* As http_h2_conn.c has one when libcurl has dialled. */
static void connect_it(void)
{
    struct http_h2 *h2 = &f.backend->h2;
    struct http_h2_conn *conn = calloc(1, sizeof *conn);
    assert(conn);
    conn->backend = f.backend;
    conn->easy = curl_easy_init();
    conn->socket = &f.socket;
    conn->heard_ms = f.now_ms;
    TAILQ_INIT(&conn->calls);
    conn->session = http_h2_session_new(conn);
    assert(conn->easy && conn->session);
    LIST_INSERT_HEAD(&h2->conns, conn, link);
    h2->conn_count = HTTP_H2_CONNS_MAX; /* so that none is dialled */
    f.said_len = 0;
    f.full = f.gone = false;
}

static void turn(void)
{
    struct http_h2_conn *conn = LIST_FIRST(&f.backend->h2.conns);
    if (conn && (f.said_len || f.gone))
        conn->unread = true;
    if (conn)
        conn->blocked = f.full;
    http_turn_soon(f.backend);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    uv_run(&f.loop, UV_RUN_NOWAIT);
}

static void check(void)
{
    struct http_h2_conn *conn = LIST_FIRST(&f.backend->h2.conns);
    struct http_call *c;
    unsigned open = 0;
    if (!conn)
        return;
    TAILQ_FOREACH(c, &conn->calls, h2.link)
    {
        assert(c->h2.conn == conn && c->h2.kept.len <= HTTP_H2_WINDOW);
        open += !c->h2.over;
    }
    assert(open == conn->streams);
}

static void step(struct input *in)
{
    switch (number(in, 1) % 8) {
    case 0:
    case 1:
        start(in);
        break;
    case 2:
        cancel_or_pause(in);
        break;
    case 3:
        f.now_ms += (int64_t)number(in, 2);
        break;
    case 4:
        f.full = number(in, 1) & 1;
        break;
    case 5:
        f.gone = number(in, 1) == 0xff;
        break;
    case 6:
        say_much(in);
        break;
    default:
        say_frame(in);
    }
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void open_it(const struct catalog_backend *conf)
{
    struct backend *b;
    uv_loop_init(&f.loop);
    enum status s = backend_http_driver.open(conf, &f.loop, &env, &b);
    assert(s == STATUS_OK);
    f.backend = (struct http_backend *)b;
    f.backend->h2.wanted = true;
    f.probe_count = 0;
    f.socket = (struct http_socket){ .backend = f.backend, .on_events = on_events };
    f.socket.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uv_poll_init(&f.loop, &f.socket.poll, f.socket.fd);
    f.socket.poll.data = &f.socket;
}

static void close_it(void)
{
    bool closed = false;
    backend_http_driver.close(&f.backend->base, on_closed, &closed);
    while (!closed)
        uv_run(&f.loop, UV_RUN_NOWAIT);
    uv_close((uv_handle_t *)&f.socket.poll, NULL);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    close(f.socket.fd);
    int busy = uv_loop_close(&f.loop);
    assert(busy == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct catalog_backend conf = { .name = "f",
                                                 .transport = TRANSPORT_HTTP,
                                                 .address = "http://127.0.0.1:1/v1",
                                                 .concurrency = CALLS_MAX };
    static const uint8_t settings[] = { 0, 0, 0, NGHTTP2_SETTINGS, 0, 0, 0, 0, 0 };
    struct input in = { data, size };
    open_it(&conf);
    connect_it();
    say(settings, sizeof settings);
    while (in.left > 0 && !LIST_EMPTY(&f.backend->h2.conns)) {
        step(&in);
        if (number(&in, 1) & 1)
            turn();
        check();
    }
    close_it();
    for (size_t i = 0; i < f.probe_count; i++)
        assert(f.probes[i].ended);
    return 0;
}
