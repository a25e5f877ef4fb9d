/* backends/http_h2.h -- the part of http_parts.h that is about HTTP/2.
 *
 * libcurl dials (the same addresses, authorities, client certificate and rules as for
 * HTTP/1.1) and gives us the bytes; nghttp2 makes frames of them.  libcurl's own HTTP/2
 * is not used: it does not say which calls a GOAWAY left untouched, and one paused
 * stream holds back all others of its connection (docs/decisions/0004-http2.md).
 *
 * A call waits while the first connection is made; a server that does not choose HTTP/2
 * is spoken to by HTTP/1.1 from then on.  So is whatever exceeds the connections.  A
 * call that the server certainly did not begin (REFUSED_STREAM, beyond the last stream
 * of a GOAWAY, never sent) is sent again, elsewhere.
 *
 * http_h2_conn.c    connections: made, read, written, retired
 * http_h2_send.c    a call becomes a stream on one of them
 * http_h2_frames.c  what the server says
 * http_h2_call.c    how a call leaves its stream
 */
#ifndef MAAS_HTTP_H2_H
#define MAAS_HTTP_H2_H
#include "base/buf.h"
#include <curl/curl.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <sys/queue.h>

struct http_backend;
struct http_call;
struct http_socket;

enum {
    HTTP_H2_CONNS_MAX = 8,
    HTTP_H2_STREAMS_MAX = 64,   /* on one connection; the server may allow fewer */
    HTTP_H2_WINDOW = 256 << 10, /* what a stream whose reader is paused may still bring */
    HTTP_H2_CONN_WINDOW = 16 << 20,
    HTTP_H2_IDLE_MS = 60 * 1000,       /* longer without a word: not trusted with a new call */
    HTTP_H2_AGAIN_MS = 10 * 60 * 1000, /* a server without HTTP/2 is asked again */
    HTTP_H2_REFUSALS_MAX = 5,
    HTTP_H2_LINE_BYTES_MAX = 16 << 10, /* of a header line that comes */
    HTTP_H2_QUEUE_MAX = 1000,          /* frames that a server makes us owe it */
    HTTP_H2_FRAME_BYTES = (16 << 10) + 9,
    HTTP_H2_GATHER_BYTES = 8 << 10, /* small frames leave together */
    HTTP_H2_READ_BYTES = 16 << 10,
    HTTP_H2_READS = 8, /* a turn */
};

struct http_h2_stream {          /* of a call */
    struct http_h2_conn *conn;   /* NULL: not on one (any more) */
    TAILQ_ENTRY(http_call) link; /* of the connection, or of those that wait for one */
    int32_t id;
    size_t sent;     /* of the body */
    struct buf kept; /* came while the reader was paused */
    size_t passed;   /* of kept, on */
    unsigned refusals;
    bool waits;    /* for a connection */
    bool final;    /* the headers of the answer are whole */
    bool complete; /* the answer is */
    bool given_up; /* reset by us */
    bool reset;    /* by the server */
    bool over;     /* the stream is closed; `result` says how */
    bool refused;  /* and that it was left untouched */
    CURLcode result;
};

TAILQ_HEAD(http_h2_calls, http_call);

struct http_h2_conn {
    LIST_ENTRY(http_h2_conn) link;
    struct http_backend *backend;
    CURL *easy;
    struct http_addresses *addresses;
    struct http_socket *socket; /* NULL while libcurl dials */
    nghttp2_session *session;   /* NULL likewise */
    struct http_h2_calls calls; /* open streams and those that are over and not yet reaped */
    unsigned streams;
    bool chosen;   /* HTTP/2, by the server */
    bool retiring; /* takes no new calls */
    bool broken;
    bool garbage; /* by what the server sent */
    bool unread;  /* there may be more to read that no poll will announce */
    bool blocked; /* libcurl takes no more bytes for now */
    int64_t heard_ms;
    size_t out_begin, out_end;
    uint8_t out[HTTP_H2_GATHER_BYTES + HTTP_H2_FRAME_BYTES];
};

struct http_h2 {      /* of a backend */
    bool wanted;      /* https, and the configuration leaves it to the server */
    int64_t again_ms; /* not before */
    LIST_HEAD(, http_h2_conn) conns;
    unsigned conn_count;
    struct http_h2_calls waiting;
};

/* http_h2_conn.c */
void http_h2_open(struct http_backend *b);
void http_h2_close(struct http_backend *b); /* when no call runs any more */
/* True: the call is taken, it runs or waits.  False: HTTP/1.1 is to take it. */
bool http_h2_begin(struct http_call *c);
/* A connection of ours was made, or not. */
void http_h2_dialled(struct http_backend *b, CURL *easy, CURLcode result);
void http_h2_lose(struct http_h2_conn *conn); /* it ends with the next turn, and so do its calls */
/* Sends what has gathered, ends what is over.  May call on_data and on_end. */
void http_h2_turn(struct http_backend *b);

/* http_h2_send.c; false: no memory, or more header fields than it takes */
bool http_h2_submit(struct http_h2_conn *conn, struct http_call *c);

/* http_h2_frames.c */
nghttp2_session *http_h2_session_new(struct http_h2_conn *conn); /* NULL: no memory */

/* http_h2_call.c.  The first two are of an open stream; false: its connection is lost. */
bool http_h2_give_up(struct http_call *c);
bool http_h2_window(struct http_call *c, size_t taken); /* by its reader: so much more may come */
/* nghttp2 has closed the stream, or its connection broke; garbage: by what the server sent. */
void http_h2_set_over(struct http_call *c, uint32_t error, bool garbage);
/* Ends the calls whose streams are over, or sends them again. */
void http_h2_reap(struct http_h2_conn *conn);
void http_h2_detach_all(struct http_h2_conn *conn);
void http_h2_resume(struct http_call *c); /* its reader has caught up */
void http_h2_leave(struct http_call *c);  /* the call has ended: so does its stream */
/* What it was told makes no sense: its connection gets no more calls. */
void http_h2_doubt(struct http_call *c);
/* It has waited in vain.  Unless its connection brings others something, that gets no more calls. */
void http_h2_suspect(struct http_call *c);
#endif
