/* tests/helpers/stub_h2.h -- a scripted HTTP/2 upstream on loopback, over TLS with ALPN.
 *
 * It counts what it truly ran: a stream that it refused, or that lies beyond a GOAWAY of
 * its own, was not run.  One thread accepts, one serves each connection.
 */
#ifndef MAAS_STUB_H2_H
#define MAAS_STUB_H2_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stub_h2_do {
    H2_ANSWER,       /* 200, `body`; then the stream is over */
    H2_REFUSE,       /* RST_STREAM, REFUSED_STREAM */
    H2_RESET,        /* RST_STREAM, INTERNAL_ERROR, before any header */
    H2_HEAD_RESET,   /* the same after the headers */
    H2_HEAD_REFUSE,  /* REFUSED_STREAM after the headers: a lie */
    H2_GOAWAY_OVER,  /* GOAWAY that leaves this stream out; those before are answered */
    H2_GOAWAY_AFTER, /* answered; GOAWAY with this one as the last */
    H2_CLOSE,        /* the connection ends without a word */
    H2_HEAD_CLOSE,   /* the same after the headers */
    H2_HANG,         /* nothing */
    H2_HEAD_HANG,    /* headers, nothing more */
    H2_FLOOD,   /* 200, text/event-stream, `body` again and again up to `flood_bytes`, [DONE] */
    H2_GARBAGE, /* bytes that are no frames */
    H2_EARLY,   /* 400, `body` and RST_STREAM NO_ERROR, before the request's body was read */
    H2_FRAMES,  /* `frames`, byte for byte */
    H2_INTERIM, /* some 103, then as H2_ANSWER */
    H2_INTERIM_FLOOD, /* without end */
    H2_HEADERS,       /* a thousand header fields */
    H2_LATE,          /* as H2_ANSWER, 100 ms later */
};

struct stub_h2_frame {
    uint8_t type, flags;
    const char *bytes;
    size_t len;
    unsigned times;    /* 0: once */
    bool other_stream; /* not that of the request, but: */
    uint32_t stream;
};

struct stub_h2_step {
    enum stub_h2_do what;
    const char *type, *body; /* NULL: application/json, {} */
    size_t flood_bytes;
    const struct stub_h2_frame *frames; /* up to one without bytes */
};

struct stub_h2_how {
    bool declines;         /* offers no HTTP/2 in ALPN: speaks nothing */
    unsigned streams_max;  /* SETTINGS_MAX_CONCURRENT_STREAMS; 0: 100 */
    unsigned goaway_after; /* streams of a connection, as nginx's keepalive_requests; 0: never */
};

struct stub_h2;

/* The nth stream gets the nth step, and the last one from then on.  Both are borrowed. */
struct stub_h2 *stub_h2_start(const struct stub_h2_step *steps, size_t count,
                              const struct stub_h2_how *how);
void stub_h2_stop(struct stub_h2 *s);
const char *stub_h2_url(const struct stub_h2 *s);
const char *stub_h2_ca_file(const struct stub_h2 *s);
unsigned stub_h2_streams(struct stub_h2 *s); /* that arrived */
unsigned stub_h2_ran(struct stub_h2 *s);     /* of these */
unsigned stub_h2_connections(struct stub_h2 *s);
unsigned stub_h2_cancelled(struct stub_h2 *s); /* RST_STREAM that came */
size_t stub_h2_sent(struct stub_h2 *s);        /* bytes of DATA */
/* The fields and the body of the last request: "name: value\n...\nbody", to be freed. */
char *stub_h2_last(struct stub_h2 *s);
#endif
