/* base/tls.h -- what connections to one backend trust, and what they show of themselves.
 *
 * Made once from the text of PEM files, then immutable: a configuration that was
 * checked is the one that is used, whatever happens to the files, and no loop thread
 * ever reads one.  All threads may share it.
 */
#ifndef MAAS_TLS_H
#define MAAS_TLS_H
#include "base/span.h"
#include "base/status.h"
#include <stdbool.h>

struct tls;

enum tls_part { TLS_CA, TLS_CERT, TLS_KEY };

struct tls_text {          /* PEM; len 0: none */
    struct span ca;        /* trusted instead of the system's authorities */
    struct span cert, key; /* of ours, for servers that ask; both or none */
};

enum { TLS_ERROR_BYTES = 160, TLS_DESCRIPTION_BYTES = 240 };

/* NULL: *bad is the text that is wrong, and err says how, as "holds no certificate". */
struct tls *tls_new(const struct tls_text *text, enum tls_part *bad,
                    char err[static TLS_ERROR_BYTES]);
void tls_free(struct tls *t);                            /* NULL is fine; wipes the key */
bool tls_same(const struct tls *a, const struct tls *b); /* made from the same text */

/* For an SSL_CTX of OpenSSL, before its first connection.  It keeps what it needs, so it may
 * outlive t.  False: no memory. */
MUST_CHECK bool tls_apply(const struct tls *t, void *ssl_ctx);
/* Tells the server by ALPN that we speak HTTP/2, and HTTP/1.1, too.  False: no memory. */
MUST_CHECK bool tls_offer_h2(void *ssl_ctx);
/* Of an SSL whose handshake is done: did the server choose HTTP/2 (ALPN)? */
bool tls_chose_h2(void *ssl);

/* For an SSL of OpenSSL that is connected: its version, whose certificate the other side showed,
 * who issued it and whether it was verified. */
void tls_describe(void *ssl, char text[static TLS_DESCRIPTION_BYTES]);
#endif
