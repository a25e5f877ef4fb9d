/* tests/helpers/stub_http.h -- a scripted HTTP upstream on loopback, as hostile as wanted.
 *
 * It sends exactly the bytes of its script, right or wrong, in pieces of any size,
 * then keeps, closes, resets or hangs the connection.  One thread accepts, one
 * serves each connection; stub_http_stop ends all of them.
 */
#ifndef MAAS_STUB_HTTP_H
#define MAAS_STUB_HTTP_H
#include <stdbool.h>
#include <stddef.h>

enum stub_http_then { STUB_KEEP, STUB_CLOSE, STUB_RESET, STUB_HANG };

struct stub_http_answer {
    const char *bytes;
    size_t len;        /* 0: strlen(bytes) */
    size_t piece;      /* bytes a send; 0: all at once */
    unsigned piece_ms; /* pause after each piece */
    const char *flood; /* then this again and again, up to flood_bytes or until the peer has gone */
    size_t flood_bytes;
    bool at_once; /* sent without waiting for a request */
    enum stub_http_then then;
};

struct stub_http;

struct stub_tls {
    int version_max;  /* TLS1_1_VERSION, ...; 0: what OpenSSL has */
    bool asks_client; /* for a certificate by the authority of certs.h */
    bool is_old;      /* its certificate has expired */
};

/* The nth request gets the nth answer, and the last one from then on.  The script is
 * borrowed.  tls: with a fresh certificate for 127.0.0.1, see stub_http_ca_file. */
struct stub_http *stub_http_start(const struct stub_http_answer *answers, size_t count, bool tls);
struct stub_http *stub_http_start_tls(const struct stub_http_answer *answers, size_t count,
                                      const struct stub_tls *how);
void stub_http_stop(struct stub_http *s);
const char *stub_http_url(const struct stub_http *s);     /* "http://127.0.0.1:PORT" */
const char *stub_http_ca_file(const struct stub_http *s); /* PEM; NULL without TLS */
const char *stub_http_certs(const struct stub_http *s); /* directory, see certs.h; NULL likewise */
unsigned stub_http_requests(struct stub_http *s);       /* that arrived whole */
unsigned stub_http_connections(struct stub_http *s);
/* The whole last request, to be freed. */
char *stub_http_last(struct stub_http *s);
/* Blocks until so many answers were sent whole, or connections have ended on the stub's side; false
 * after a minute. */
bool stub_http_wait_sent(struct stub_http *s, unsigned count);
bool stub_http_wait_closed(struct stub_http *s, unsigned count);

/* The usual answers: status 200 with a content length, and chunked event streams. */
char *stub_http_json(int code, const char *extra_headers, const char *body); /* to be freed */
char *stub_http_stream(const char *events);                                  /* to be freed */
#endif
