/* tests/helpers/stub_http.c -- see stub_http.h.  Blocking and simple: it is a test's upstream. */
#include "tests/helpers/stub_http.h"
#include "tests/helpers/certs.h"
#include "tests/helpers/stub_listener.h"
#include <assert.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_BYTES_MAX = 8 << 20, POLL_MS = 20, PATIENCE_MS = 60000, RESET_AFTER_MS = 100 };

struct stub_http {
    const struct stub_http_answer *answers;
    size_t count;
    struct stub_listener listener;
    char url[64], ca_file[CERTS_PATH_BYTES], certs[CERTS_PATH_BYTES];
    SSL_CTX *tls;
    pthread_mutex_t lock; /* of what follows */
    unsigned requests, sent, closed;
    char *last;
};

struct connection {
    struct stub_http *stub;
    int fd;
    SSL *ssl;
    char *request; /* bytes read and not yet used */
    size_t len;
};

/* ---- bytes in ---- */

static bool wait_for(struct connection *c, short events)
{
    struct pollfd p = { .fd = c->fd, .events = events };
    while (!c->stub->listener.stopping)
        if (poll(&p, 1, POLL_MS) > 0)
            return true;
    return false;
}

static ssize_t receive(struct connection *c, char *to, size_t len)
{
    if (!(c->ssl && SSL_pending(c->ssl)) && !wait_for(c, POLLIN))
        return -1;
    return c->ssl ? SSL_read(c->ssl, to, (int)len) : recv(c->fd, to, len, 0);
}

/* Bytes of the whole request at the start of c->request; 0 while it is not there. */
static size_t request_bytes(const struct connection *c)
{
    const char *end = memmem(c->request, c->len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    size_t head = (size_t)(end - c->request) + 4, body = 0;
    const char *length = strcasestr(c->request, "\r\ncontent-length:");
    if (length && length < end)
        body = strtoul(length + 17, NULL, 10);
    return c->len >= head + body ? head + body : 0;
}

static void remember(struct connection *c, size_t len)
{
    struct stub_http *s = c->stub;
    pthread_mutex_lock(&s->lock);
    free(s->last);
    s->last = strndup(c->request, len);
    pthread_mutex_unlock(&s->lock);
}

static bool read_request(struct connection *c)
{
    size_t whole;
    while (!(whole = request_bytes(c))) {
        if (c->len + 1 >= REQUEST_BYTES_MAX)
            return false;
        ssize_t n = receive(c, c->request + c->len, REQUEST_BYTES_MAX - 1 - c->len);
        if (n <= 0)
            return false;
        c->len += (size_t)n;
        c->request[c->len] = '\0';
    }
    remember(c, whole);
    c->len -= whole;
    memmove(c->request, c->request + whole, c->len + 1);
    return true;
}

/* ---- bytes out ---- */

static bool send_all(struct connection *c, const char *bytes, size_t len)
{
    while (len) {
        if (!wait_for(c, POLLOUT))
            return false;
        ssize_t n = c->ssl ? SSL_write(c->ssl, bytes, (int)len)
                           : send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static bool play(struct connection *c, const struct stub_http_answer *a)
{
    size_t len = a->len ? a->len : strlen(a->bytes);
    size_t piece = a->piece ? a->piece : len;
    for (size_t at = 0; at < len; at += piece) {
        if (!send_all(c, a->bytes + at, len - at < piece ? len - at : piece))
            return false;
        if (a->piece_ms)
            usleep(a->piece_ms * 1000);
    }
    for (size_t sent = 0; a->flood && sent < a->flood_bytes; sent += strlen(a->flood))
        if (!send_all(c, a->flood, strlen(a->flood)))
            return false;
    return true;
}

static void hang(struct connection *c)
{
    char sink[256];
    while (receive(c, sink, sizeof sink) > 0)
        continue;
}

static const struct stub_http_answer *next_answer(struct stub_http *s)
{
    pthread_mutex_lock(&s->lock);
    size_t at = s->requests++;
    pthread_mutex_unlock(&s->lock);
    return &s->answers[at < s->count ? at : s->count - 1];
}

static void add_one(struct stub_http *s, unsigned *counter)
{
    pthread_mutex_lock(&s->lock);
    ++*counter;
    pthread_mutex_unlock(&s->lock);
}

static bool serve_one(struct connection *c)
{
    struct stub_http *s = c->stub;
    if (!s->answers[0].at_once && !read_request(c))
        return false;
    const struct stub_http_answer *a = next_answer(s);
    if (!play(c, a))
        return false;
    add_one(s, &s->sent);
    if (a->then == STUB_CLOSE)
        return false;
    if (a->then == STUB_RESET) {
        usleep(RESET_AFTER_MS * 1000); /* or the peer's kernel forgets what it has not read yet */
        struct linger now = { .l_onoff = 1, .l_linger = 0 };
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        return false;
    }
    if (a->then == STUB_HANG || s->answers[0].at_once) {
        hang(c);
        return false;
    }
    return true;
}

static void serve(void *arg, int fd)
{
    struct stub_http *s = arg;
    struct connection c = { .stub = s, .fd = fd, .request = calloc(1, REQUEST_BYTES_MAX) };
    assert(c.request);
    if (s->tls) {
        c.ssl = SSL_new(s->tls);
        SSL_set_fd(c.ssl, fd);
    }
    if (!c.ssl || SSL_accept(c.ssl) == 1)
        while (serve_one(&c))
            continue;
    SSL_free(c.ssl);
    close(fd);
    free(c.request);
    add_one(s, &s->closed);
}

/* ---- TLS ---- */

static void speak_tls(struct stub_http *s, const struct stub_tls *how)
{
    char cert[CERTS_PATH_BYTES], key[CERTS_PATH_BYTES];
    certs_make(s->certs);
    certs_path(s->certs, how->is_old ? "old.pem" : "server.pem", cert);
    certs_path(s->certs, how->is_old ? "old.key" : "server.key", key);
    s->tls = SSL_CTX_new(TLS_server_method());
    int ok = SSL_CTX_use_certificate_file(s->tls, cert, SSL_FILETYPE_PEM) &&
             SSL_CTX_use_PrivateKey_file(s->tls, key, SSL_FILETYPE_PEM);
    certs_path(s->certs, "ca.pem", s->ca_file);
    if (how->version_max) {
        SSL_CTX_set_security_level(s->tls, 0); /* or OpenSSL itself refuses what is too old */
        ok = ok && SSL_CTX_set_min_proto_version(s->tls, 0) &&
             SSL_CTX_set_max_proto_version(s->tls, how->version_max);
    }
    if (how->asks_client) {
        ok = ok && SSL_CTX_load_verify_file(s->tls, s->ca_file);
        SSL_CTX_set_verify(s->tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    assert(ok);
}

/* ---- the outside ---- */

static struct stub_http *start(const struct stub_http_answer *answers, size_t count,
                               const struct stub_tls *tls)
{
    struct stub_http *s = calloc(1, sizeof *s);
    assert(s && count);
    s->answers = answers;
    s->count = count;
    pthread_mutex_init(&s->lock, NULL);
    if (tls)
        speak_tls(s, tls);
    stub_listener_open(&s->listener, serve, s);
    snprintf(s->url, sizeof s->url, "%s://127.0.0.1:%u", tls ? "https" : "http", s->listener.port);
    return s;
}

struct stub_http *stub_http_start(const struct stub_http_answer *answers, size_t count, bool tls)
{
    static const struct stub_tls plain;
    return start(answers, count, tls ? &plain : NULL);
}

struct stub_http *stub_http_start_tls(const struct stub_http_answer *answers, size_t count,
                                      const struct stub_tls *how)
{
    return start(answers, count, how);
}

void stub_http_stop(struct stub_http *s)
{
    stub_listener_close(&s->listener);
    if (s->tls)
        certs_remove(s->certs);
    SSL_CTX_free(s->tls);
    pthread_mutex_destroy(&s->lock);
    free(s->last);
    free(s);
}

const char *stub_http_url(const struct stub_http *s)
{
    return s->url;
}

const char *stub_http_certs(const struct stub_http *s)
{
    return s->tls ? s->certs : NULL;
}

const char *stub_http_ca_file(const struct stub_http *s)
{
    return s->tls ? s->ca_file : NULL;
}

static unsigned read_counter(struct stub_http *s, const unsigned *counter)
{
    pthread_mutex_lock(&s->lock);
    unsigned now = *counter;
    pthread_mutex_unlock(&s->lock);
    return now;
}

unsigned stub_http_requests(struct stub_http *s)
{
    return read_counter(s, &s->requests);
}

unsigned stub_http_connections(struct stub_http *s)
{
    return s->listener.connections;
}

char *stub_http_last(struct stub_http *s)
{
    pthread_mutex_lock(&s->lock);
    char *copy = strdup(s->last ? s->last : "");
    pthread_mutex_unlock(&s->lock);
    return copy;
}

static bool wait_counter(struct stub_http *s, const unsigned *counter, unsigned count)
{
    for (int ms = 0; ms < PATIENCE_MS; ms++) {
        if (read_counter(s, counter) >= count)
            return true;
        usleep(1000);
    }
    return false;
}

bool stub_http_wait_sent(struct stub_http *s, unsigned count)
{
    return wait_counter(s, &s->sent, count);
}

bool stub_http_wait_closed(struct stub_http *s, unsigned count)
{
    return wait_counter(s, &s->closed, count);
}

char *stub_http_json(int code, const char *extra_headers, const char *body)
{
    char *text = NULL;
    int len = asprintf(&text,
                       "HTTP/1.1 %d Stub\r\nContent-Type: application/json\r\n"
                       "%sContent-Length: %zu\r\n\r\n%s",
                       code, extra_headers, strlen(body), body);
    assert(len > 0);
    return text;
}

char *stub_http_stream(const char *events)
{
    char *text = NULL;
    int len = asprintf(&text,
                       "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n",
                       strlen(events), events);
    assert(len > 0);
    return text;
}
