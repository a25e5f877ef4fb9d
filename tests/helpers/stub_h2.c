/* tests/helpers/stub_h2.c -- see stub_h2.h.  Blocking and simple: it is a test's upstream. */
#include "tests/helpers/stub_h2_parts.h"
#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POLL_MS = 10 };

void stub_h2_add(struct stub_h2 *s, unsigned *counter)
{
    pthread_mutex_lock(&s->lock);
    ++*counter;
    pthread_mutex_unlock(&s->lock);
}

static unsigned read_counter(struct stub_h2 *s, const unsigned *counter)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = *counter;
    pthread_mutex_unlock(&s->lock);
    return n;
}

bool stub_h2_stopping(struct stub_h2 *s)
{
    return s->listener.stopping;
}

/* ---- what comes ---- */

static const struct stub_h2_step *next_step(struct stub_h2 *s)
{
    pthread_mutex_lock(&s->lock);
    size_t at = s->streams++;
    pthread_mutex_unlock(&s->lock);
    return &s->steps[at < s->count ? at : s->count - 1];
}

static void append(struct stream *s, const void *bytes, size_t len)
{
    s->text = realloc(s->text, s->len + len + 1);
    assert(s->text);
    memcpy(s->text + s->len, bytes, len);
    s->len += len;
    s->text[s->len] = '\0';
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *connection)
{
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct stream *s = calloc(1, sizeof *s);
    assert(s);
    s->c = connection;
    s->next = s->c->open;
    s->c->open = s;
    s->id = frame->hd.stream_id;
    s->step = next_step(s->c->stub);
    append(s, "", 0);
    nghttp2_session_set_stream_user_data(session, s->id, s);
    return 0;
}

static int on_field(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                    void *connection)
{
    struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags, (void)connection;
    append(s, name, name_len);
    append(s, ": ", 2);
    append(s, value, value_len);
    append(s, "\n", 1);
    return 0;
}

static int on_bytes(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                    size_t len, void *connection)
{
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);
    (void)flags, (void)connection;
    if (s)
        append(s, bytes, len);
    return 0;
}

static void remember(struct stream *s)
{
    struct stub_h2 *stub = s->c->stub;
    pthread_mutex_lock(&stub->lock);
    free(stub->last);
    stub->last = strdup(s->text);
    pthread_mutex_unlock(&stub->lock);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *connection)
{
    struct connection *c = connection;
    struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        stub_h2_add(c->stub, &c->stub->cancelled);
    if (!s || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        append(s, "\n", 1);
    if (c->last >= 0 && s->id > c->last)
        return 0;
    bool early = s->step->what == H2_EARLY && frame->hd.type == NGHTTP2_HEADERS;
    bool whole = s->step->what != H2_EARLY && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    if (early || whole) {
        remember(s);
        stub_h2_act(s);
        if (c->stub->how.goaway_after && ++c->streams == c->stub->how.goaway_after)
            stub_h2_go_away(c, s->id);
    }
    return 0;
}

static void free_stream(struct stream *s)
{
    struct stream **at = &s->c->open;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    free(s->text);
    free(s);
}

static int on_closed(nghttp2_session *session, int32_t id, uint32_t error, void *connection)
{
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);
    (void)error, (void)connection;
    if (s)
        free_stream(s);
    return 0;
}

/* ---- a connection ---- */

static void start_session(struct connection *c)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_field);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_bytes);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_closed);
    nghttp2_session_server_new(&c->session, callbacks, c);
    nghttp2_session_callbacks_del(callbacks);
    unsigned most = c->stub->how.streams_max ? c->stub->how.streams_max : 100;
    const nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, most } };
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 1);
}

/* Late answers are due at some time: every turn asks for them. */
static void wake_streams(struct connection *c)
{
    for (struct stream *s = c->open; s; s = s->next)
        nghttp2_session_resume_data(c->session, s->id);
}

/* Or what is on its way to the peer would be lost with what it has sent and nobody has read. */
static void linger(struct connection *c)
{
    char bytes[4096];
    struct pollfd p = { .fd = c->fd, .events = POLLIN };
    shutdown(c->fd, SHUT_WR);
    while (!stub_h2_stopping(c->stub))
        if (poll(&p, 1, POLL_MS) > 0 && recv(c->fd, bytes, sizeof bytes, 0) <= 0)
            return;
}

static void serve_session(struct connection *c)
{
    char bytes[65536];
    struct pollfd p = { .fd = c->fd, .events = POLLIN };
    c->last = -1;
    start_session(c);
    stub_h2_flush(c);
    while (!c->over && !stub_h2_stopping(c->stub)) {
        if (!SSL_pending(c->ssl) && poll(&p, 1, POLL_MS) <= 0) {
            wake_streams(c);
            stub_h2_flush(c);
            continue;
        }
        int n = SSL_read(c->ssl, bytes, sizeof bytes);
        if (n <= 0 || nghttp2_session_mem_recv(c->session, (uint8_t *)bytes, (size_t)n) < 0)
            break;
        stub_h2_flush(c);
        if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
            break;
    }
    linger(c);
}

static void serve(void *arg, int fd)
{
    struct connection *c = calloc(1, sizeof *c);
    assert(c);
    c->stub = arg;
    c->fd = fd;
    c->ssl = SSL_new(c->stub->tls);
    SSL_set_fd(c->ssl, c->fd);
    if (SSL_accept(c->ssl) == 1 && !c->stub->how.declines)
        serve_session(c);
    while (c->stub->how.declines && !stub_h2_stopping(c->stub)) {
        struct pollfd p = { .fd = c->fd, .events = POLLIN };
        char bytes[4096];
        if (poll(&p, 1, POLL_MS) > 0 && SSL_read(c->ssl, bytes, sizeof bytes) <= 0)
            break;
    }
    nghttp2_session_del(c->session);
    while (c->open)
        free_stream(c->open);
    SSL_free(c->ssl);
    close(c->fd);
    free(c);
}

/* ---- the outside ---- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *arg)
{
    const struct stub_h2 *s = arg;
    (void)ssl;
    if (s->how.declines)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len,
                                 (const unsigned char *)"\x02h2", 3, in,
                                 in_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void speak_tls(struct stub_h2 *s)
{
    char cert[CERTS_PATH_BYTES], key[CERTS_PATH_BYTES];
    certs_make(s->certs);
    certs_path(s->certs, "server.pem", cert);
    certs_path(s->certs, "server.key", key);
    certs_path(s->certs, "ca.pem", s->ca_file);
    s->tls = SSL_CTX_new(TLS_server_method());
    int ok = SSL_CTX_use_certificate_file(s->tls, cert, SSL_FILETYPE_PEM) &&
             SSL_CTX_use_PrivateKey_file(s->tls, key, SSL_FILETYPE_PEM);
    assert(ok);
    SSL_CTX_set_alpn_select_cb(s->tls, choose_protocol, s);
}

struct stub_h2 *stub_h2_start(const struct stub_h2_step *steps, size_t count,
                              const struct stub_h2_how *how)
{
    struct stub_h2 *s = calloc(1, sizeof *s);
    assert(s && count);
    s->steps = steps;
    s->count = count;
    if (how)
        s->how = *how;
    pthread_mutex_init(&s->lock, NULL);
    speak_tls(s);
    stub_listener_open(&s->listener, serve, s);
    snprintf(s->url, sizeof s->url, "https://127.0.0.1:%u", s->listener.port);
    return s;
}

void stub_h2_stop(struct stub_h2 *s)
{
    stub_listener_close(&s->listener);
    certs_remove(s->certs);
    SSL_CTX_free(s->tls);
    pthread_mutex_destroy(&s->lock);
    free(s->last);
    free(s);
}

const char *stub_h2_url(const struct stub_h2 *s)
{
    return s->url;
}

const char *stub_h2_ca_file(const struct stub_h2 *s)
{
    return s->ca_file;
}

/* clang-format off */
#define COUNTER(name) unsigned stub_h2_##name(struct stub_h2 *s) { return read_counter(s, &s->name); }
COUNTER(streams) COUNTER(ran) COUNTER(cancelled)
    /* clang-format on */

    unsigned stub_h2_connections(struct stub_h2 *s)
{
    return s->listener.connections;
}

size_t stub_h2_sent(struct stub_h2 *s)
{
    pthread_mutex_lock(&s->lock);
    size_t n = s->sent;
    pthread_mutex_unlock(&s->lock);
    return n;
}

char *stub_h2_last(struct stub_h2 *s)
{
    pthread_mutex_lock(&s->lock);
    char *copy = strdup(s->last ? s->last : "");
    pthread_mutex_unlock(&s->lock);
    return copy;
}
