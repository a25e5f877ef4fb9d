/* tests/helpers/stub_h2_parts.h -- what the files of the stub share; see stub_h2.h.
 *
 * stub_h2.c      listens, reads, remembers
 * stub_h2_say.c  does what the step says
 */
#ifndef MAAS_STUB_H2_PARTS_H
#define MAAS_STUB_H2_PARTS_H
#include "tests/helpers/certs.h"
#include "tests/helpers/stub_h2.h"
#include "tests/helpers/stub_listener.h"
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <pthread.h>

struct stub_h2 {
    const struct stub_h2_step *steps;
    size_t count;
    struct stub_h2_how how;
    struct stub_listener listener;
    char url[64], certs[CERTS_PATH_BYTES], ca_file[CERTS_PATH_BYTES];
    SSL_CTX *tls;
    pthread_mutex_t lock; /* of what follows */
    unsigned streams, ran, cancelled;
    size_t sent;
    char *last;
};

struct connection {
    struct stub_h2 *stub;
    int fd;
    SSL *ssl;
    nghttp2_session *session;
    struct stream *open; /* list */
    unsigned streams;
    int32_t last; /* of a GOAWAY: what lies beyond is not run */
    bool over;    /* nothing more is read or written */
};

struct stream {
    struct stream *next;
    struct connection *c;
    const struct stub_h2_step *step;
    int32_t id;
    char *text; /* fields and body */
    size_t len, sent, total;
    int64_t due_ms;
};

void stub_h2_add(struct stub_h2 *s, unsigned *counter);
bool stub_h2_stopping(struct stub_h2 *s);

/* stub_h2_say.c */
void stub_h2_act(struct stream *s);
void stub_h2_go_away(struct connection *c, int32_t last);
void stub_h2_flush(struct connection *c);
#endif
