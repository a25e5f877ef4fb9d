/* backends/http_parts.h -- what the files of the HTTP transport share; no other includes it.
 *
 * http_driver.c   the driver's functions and the life of a call
 * http_loop.c     libcurl's sockets and timer on libuv
 * http_target.c   the base URL and the addresses of its host
 * http_rows.c     the rows it is composed of
 *
 * http_request.h: what is sent
 * http_url.c      the URL of an order
 * http_headers.c  the header lines of a request
 * http_request.c  an order becomes a libcurl transfer
 * http_trace.c    how each step went, for who asks
 *
 * http_answer.h: what comes back
 * http_head.c     its header lines
 * http_answer.c   its bytes, and what a whole answer says
 * http_pieces.c   what is not JSON, as it comes
 * http_events.c   what the events of a stream say
 * http_verdict.c  how the transfer broke, in our words
 *
 * http_h2.h: the same calls as streams of HTTP/2
 *
 * Nothing of the caller's runs inside libcurl except on_data, and the functions
 * it may call from there (start, cancel, pause) only note what is to be done: it
 * is done on the loop's next turn, outside of libcurl and after that turn's poll.
 * So bytes that nobody asked for, on a kept connection, are seen before a new
 * request could take them for its answer.
 */
#ifndef MAAS_HTTP_PARTS_H
#define MAAS_HTTP_PARTS_H
#include "backends/backend.h"
#include "backends/framer.h"
#include "backends/http_answer.h"
#include "backends/http_h2.h"
#include "backends/http_loop.h"
#include "backends/http_request.h"
#include "backends/http_target.h"
#include "base/buf.h"
#include <curl/curl.h>
#include <sys/queue.h>

enum {
    HTTP_BODY_BYTES_MAX = 1 << 30,
    HTTP_BODY_BYTES = 64 << 20, /* when the order does not say it */
    HTTP_EVENT_BYTES_MAX = 1 << 20,
    HTTP_ERROR_BYTES_MAX = 64 << 10,
    HTTP_HEADER_BYTES_MAX = 64 << 10, /* of all header lines of a call, interim answers included */
    HTTP_HEADER_LINES_MAX = 256,
    HTTP_KEPT_BODY_BYTES = 256 << 10, /* a pooled call keeps no more memory than this */
    HTTP_IDLE_CONNECTION_S = 4,
    HTTP_CONNECT_TIMEOUT_MS = 5000,
    HTTP_TICK_MS = 100,
    HTTP_DONE_GRACE_MS = 1000, /* after [DONE], for the end of the HTTP answer */
    HTTP_SOCKET_BUCKETS = 256,
};

struct http_call {
    struct http_backend *backend;
    CURL *easy;
    TAILQ_ENTRY(http_call) running, todo;
    LIST_ENTRY(http_call) pool;
    struct backend_order order;
    struct backend_events events;
    void *arg;
    struct http_addresses *addresses;
    const struct dialect_path *path;
    struct http_lines lines;
    struct http_h2_stream h2;
    int64_t started_ms, last_byte_ms;

    bool on_todo, added, paused, held; /* held: libcurl was told to pause */
    bool ended;                        /* nothing more is passed on; `end` says why */
    int local_port;                    /* of its connection, once connected */
    bool connected;                    /* from here on the backend may have got the request */
    bool repeated;                     /* sent again, because a kept connection had died */
    bool answered;                     /* a status line came */
    bool any_byte, any_event, finish_seen, done_seen;
    bool suspect_usage;
    bool silent;         /* a time-out that is the backend's fault */
    enum status verdict; /* of our own callbacks; OK: none */
    CURLcode result;     /* libcurl's */
    enum http_mode mode;
    struct http_headers headers;
    struct framing framing;
    struct buf body;
    size_t body_max; /* by mode */
    size_t counted;  /* of body and h2.kept, in order.answers */
    size_t passed;   /* bytes of HTTP_PIECES */
    struct backend_format format;
    char type[HTTP_TYPE_BYTES];
    struct usage usage;
    struct backend_end end;
};

TAILQ_HEAD(http_call_queue, http_call);

struct http_backend {
    struct backend base;
    uv_loop_t *loop;
    const struct env *env;
    CURLM *multi;
    struct curl_slist *common_headers; /* holds the secret: wiped when freed */
    struct http_target target;
    struct http_h2 h2;
    struct http_rows rows;
    char *urls[HTTP_URLS_MAX]; /* as the dialect's paths; NULL: the model's name is in it */
    uv_idle_t idle;            /* active: something waits for the next turn */
    uv_check_t turn;
    uv_timer_t curl_timer;
    uv_timer_t tick; /* time-outs of all calls */
    struct http_call_queue running, todo;
    unsigned todo_count;
    LIST_HEAD(, http_call) pool;
    LIST_HEAD(, http_socket) sockets[HTTP_SOCKET_BUCKETS];
    char curl_error[CURL_ERROR_SIZE]; /* of whichever call failed last */
    bool closing, torn_down;
    unsigned pending; /* libuv callbacks that must still come before memory can go */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* http_driver.c */
int64_t http_now_ms(const struct http_backend *b);
void http_turn_soon(struct http_backend *b);
void http_refresh_up(struct http_backend *b);
void http_reap(struct http_backend *b);   /* ends the calls that libcurl has finished with */
void http_call_note(struct http_call *c); /* something is to be done with it on the next turn */
/* The transfer is over, one way or the other.  May call on_data and on_end: c is not touched after it. */
void http_transfer_done(struct http_call *c, CURLcode result);
void http_release(struct http_backend *b); /* one of b->pending has come; the last one frees */

#endif
