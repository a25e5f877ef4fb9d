/* backends/http_h2_conn.c -- HTTP/2 connections: made, read, written, retired; see http_h2.h.
 *
 * A connection is freed in http_h2_turn alone, never under the feet of a callback.
 */
#include "backends/http_parts.h"
#include "base/tls.h"
#include <assert.h>
#include <stdlib.h>

/* ---- making one ---- */

#define SET(option, value) (curl_easy_setopt(conn->easy, CURLOPT_##option, (value)) == CURLE_OK)

/* libcurl would send its request now; it lends the connection's SSL here and not afterwards. */
static int on_made(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    struct http_h2_conn *conn = arg;
    struct curl_tlssessioninfo *info = NULL;
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    curl_easy_getinfo(conn->easy, CURLINFO_TLS_SSL_PTR, &info);
    conn->chosen = info && info->internals && tls_chose_h2(info->internals);
    return CURL_PREREQFUNC_OK;
}

static CURLcode give_trust(CURL *easy, void *ssl_ctx, void *tls)
{
    (void)easy;
    return tls_apply(tls, ssl_ctx) && tls_offer_h2(ssl_ctx) ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

/* libcurl is not told of ALPN: it would speak HTTP/2 itself. */
static bool prepare(struct http_h2_conn *conn)
{
    struct http_backend *b = conn->backend;
    conn->easy = curl_easy_init();
    conn->addresses = http_addresses_ref(b->target.addresses);
    return conn->easy && http_network_set(b, conn->easy) &&
           http_tls_set(conn->easy, b->base.conf->tls) && SET(SSL_CTX_FUNCTION, give_trust) &&
           SET(SSL_ENABLE_ALPN, 0L) && SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           SET(CONNECT_ONLY, 1L) && SET(URL, b->base.conf->address) && SET(PRIVATE, NULL) &&
           SET(PREREQFUNCTION, on_made) && SET(PREREQDATA, conn) &&
           SET(RESOLVE, conn->addresses ? conn->addresses->list : NULL);
}

static void free_conn(struct http_h2_conn *conn)
{
    struct http_backend *b = conn->backend;
    LIST_REMOVE(conn, link);
    b->h2.conn_count--;
    http_h2_detach_all(conn); /* those whose readers have not taken all of what came */
    nghttp2_session_del(conn->session);
    if (conn->easy)
        curl_multi_remove_handle(b->multi, conn->easy); /* closes the socket */
    curl_easy_cleanup(conn->easy);
    http_addresses_unref(conn->addresses);
    free(conn);
}

/* False: no memory. */
static bool dial(struct http_backend *b)
{
    struct http_h2_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return false;
    conn->backend = b;
    TAILQ_INIT(&conn->calls);
    LIST_INSERT_HEAD(&b->h2.conns, conn, link);
    b->h2.conn_count++;
    if (prepare(conn) && curl_multi_add_handle(b->multi, conn->easy) == CURLM_OK)
        return true;
    free_conn(conn);
    return false;
}

/* ---- reading and writing ---- */

void http_h2_lose(struct http_h2_conn *conn)
{
    conn->broken = conn->retiring = true;
    http_turn_soon(conn->backend);
}

/* It breaks the protocol. */
static void condemn(struct http_h2_conn *conn)
{
    conn->garbage = true;
    http_h2_lose(conn);
}

/* Frames gather in one buffer: it leaves as one TLS record, and is the same when it is sent again
 * because the socket was full. */
static bool gather(struct http_h2_conn *conn)
{
    const uint8_t *frame;
    conn->out_begin = conn->out_end = 0;
    while (conn->out_end < HTTP_H2_GATHER_BYTES) {
        ssize_t n = nghttp2_session_mem_send(conn->session, &frame);
        if (n < 0)
            http_h2_lose(conn);
        if (n <= 0)
            break;
        assert((size_t)n <= HTTP_H2_FRAME_BYTES); /* the server may allow more, we never ask */
        memcpy(conn->out + conn->out_end, frame, (size_t)n);
        conn->out_end += (size_t)n;
    }
    return conn->out_end > 0;
}

static void flush(struct http_h2_conn *conn)
{
    conn->blocked = false;
    while (!conn->broken && (conn->out_begin < conn->out_end || gather(conn))) {
        size_t taken = 0;
        CURLcode result = curl_easy_send(conn->easy, conn->out + conn->out_begin,
                                         conn->out_end - conn->out_begin, &taken);
        conn->out_begin += taken;
        if (result == CURLE_AGAIN) {
            conn->blocked = true;
            break;
        }
        if (result != CURLE_OK)
            http_h2_lose(conn);
    }
    http_loop_want(conn->socket, UV_READABLE | (conn->blocked ? UV_WRITABLE : 0));
}

static bool take_in(struct http_h2_conn *conn)
{
    uint8_t bytes[HTTP_H2_READ_BYTES];
    size_t len = 0;
    CURLcode result = curl_easy_recv(conn->easy, bytes, sizeof bytes, &len);
    if (result == CURLE_AGAIN)
        return false;
    if (result != CURLE_OK || len == 0) {
        http_h2_lose(conn);
        return false;
    }
    conn->heard_ms = http_now_ms(conn->backend);
    ssize_t read = nghttp2_session_mem_recv(conn->session, bytes, len);
    if (read == NGHTTP2_ERR_NOMEM || read == NGHTTP2_ERR_CALLBACK_FAILURE)
        http_h2_lose(conn);
    else if (read < 0 || nghttp2_session_get_outbound_queue_size(conn->session) > HTTP_H2_QUEUE_MAX)
        condemn(conn);
    return !conn->broken;
}

/* TLS may hold bytes back that no poll announces, so what is left for the next turn is noted. */
static void read_some(struct http_h2_conn *conn)
{
    unsigned n = HTTP_H2_READS;
    while (n && !conn->broken && take_in(conn))
        n--;
    conn->unread = n == 0 && !conn->broken;
}

/* nghttp2 ends a session by itself when the other side breaks the protocol. */
static void check_end(struct http_h2_conn *conn)
{
    if (nghttp2_session_want_read(conn->session) || nghttp2_session_want_write(conn->session))
        return;
    condemn(conn);
}

static void on_socket(void *arg, int events)
{
    struct http_h2_conn *conn = arg;
    if (events & UV_WRITABLE)
        conn->blocked = false;
    if (events & UV_READABLE)
        read_some(conn);
    http_h2_turn(conn->backend);
}

/* ---- the calls that wait for one ---- */

/* They begin anew: on this connection, on a further one, by HTTP/1.1. */
static void release_waiting(struct http_backend *b)
{
    struct http_call *c;
    while ((c = TAILQ_FIRST(&b->h2.waiting))) {
        TAILQ_REMOVE(&b->h2.waiting, c, h2.link);
        c->h2.waits = false;
        http_call_note(c);
    }
}

static void fail_waiting(struct http_backend *b, CURLcode result)
{
    struct http_call *c;
    while ((c = TAILQ_FIRST(&b->h2.waiting))) {
        TAILQ_REMOVE(&b->h2.waiting, c, h2.link);
        c->h2.waits = false;
        http_transfer_done(c, result);
    }
}

static bool start_session(struct http_h2_conn *conn)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    conn->heard_ms = http_now_ms(conn->backend);
    curl_easy_getinfo(conn->easy, CURLINFO_ACTIVESOCKET, &fd);
    conn->socket = http_loop_take(conn->backend, fd, on_socket, conn);
    conn->session = conn->socket ? http_h2_session_new(conn) : NULL;
    if (conn->session)
        flush(
            conn); /* the first word; and libcurl takes a connection that is used for no idle one */
    return conn->session != NULL;
}

static struct http_h2_conn *find_conn(struct http_backend *b, CURL *easy)
{
    struct http_h2_conn *conn;
    LIST_FOREACH(conn, &b->h2.conns, link)
    {
        if (conn->easy == easy)
            return conn;
    }
    return NULL;
}

void http_h2_dialled(struct http_backend *b, CURL *easy, CURLcode result)
{
    struct http_h2_conn *conn = find_conn(b, easy);
    assert(conn);
    if (result == CURLE_OK && !conn->chosen)
        b->h2.again_ms = http_now_ms(b) + HTTP_H2_AGAIN_MS;
    if (result == CURLE_OK && conn->chosen && !start_session(conn))
        result = CURLE_OUT_OF_MEMORY;
    if (result != CURLE_OK || !conn->chosen)
        http_h2_lose(conn);
    if (result == CURLE_OK)
        release_waiting(b);
    else
        fail_waiting(b, result);
    http_turn_soon(b);
}

/* ---- which one takes a call ---- */

static unsigned room(const struct http_h2_conn *conn)
{
    uint32_t most =
        nghttp2_session_get_remote_settings(conn->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (most > HTTP_H2_STREAMS_MAX)
        most = HTTP_H2_STREAMS_MAX;
    return most > conn->streams ? most - conn->streams : 0;
}

static bool is_usable(struct http_h2_conn *conn)
{
    if (!conn->streams && http_now_ms(conn->backend) - conn->heard_ms > HTTP_H2_IDLE_MS)
        conn->retiring = true; /* what lies between may have forgotten it */
    return !conn->retiring && nghttp2_session_check_request_allowed(conn->session) && room(conn);
}

static bool waits(struct http_call *c)
{
    c->h2.waits = true;
    TAILQ_INSERT_TAIL(&c->backend->h2.waiting, c, h2.link);
    return true;
}

bool http_h2_begin(struct http_call *c)
{
    struct http_backend *b = c->backend;
    struct http_h2_conn *conn, *dialling = NULL;
    if (!b->h2.wanted || c->order.trace || http_now_ms(b) < b->h2.again_ms)
        return false; /* what is traced is libcurl's own connection */
    LIST_FOREACH(conn, &b->h2.conns, link)
    {
        if (conn->session && is_usable(conn))
            return http_h2_submit(conn, c);
        if (!conn->session && !conn->broken)
            dialling = conn;
    }
    if (dialling || (b->h2.conn_count < HTTP_H2_CONNS_MAX && dial(b)))
        return waits(c);
    return false;
}

/* ---- a turn ---- */

/* What cannot be sent any more is said by the end of the connection, too. */
static bool is_done_with(const struct http_h2_conn *conn)
{
    bool sent = conn->blocked || conn->out_begin == conn->out_end;
    return conn->broken || (conn->retiring && !conn->streams && sent);
}

void http_h2_turn(struct http_backend *b)
{
    struct http_h2_conn *conn, *next;
    for (conn = LIST_FIRST(&b->h2.conns); conn; conn = next) {
        next = LIST_NEXT(conn, link);
        if (conn->session && conn->unread)
            read_some(conn);
        if (conn->session && !conn->broken && !conn->blocked)
            flush(conn);
        if (conn->session && !conn->broken)
            check_end(conn);
        http_h2_reap(conn);
        if (is_done_with(conn))
            free_conn(conn);
        else if (conn->unread)
            http_turn_soon(b);
    }
}

void http_h2_open(struct http_backend *b)
{
    const struct catalog_backend *conf = b->base.conf;
    b->h2.wanted = conf->tls && conf->http_version == HTTP_VERSION_AUTO;
    LIST_INIT(&b->h2.conns);
    TAILQ_INIT(&b->h2.waiting);
}

void http_h2_close(struct http_backend *b)
{
    struct http_h2_conn *conn;
    while ((conn = LIST_FIRST(&b->h2.conns)))
        free_conn(conn);
}
