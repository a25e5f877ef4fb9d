/* backends/http_request.c -- an order becomes a libcurl transfer.
 *
 * A call owns one easy handle for its life and is pooled with it: what is the
 * same for every request of the backend is set once, so that a request sets only
 * its URL, its body and its id.
 */
#include "backends/http_parts.h"
#include "base/tls.h"
#include "base/version.h"
#include <stdlib.h>

/* ---- the handle ---- */

/* libcurl is about to send, for the first time or again.  Again means that a kept connection has
 * died.  Once any byte had gone out the backend may be at work on it, so it is repeated only where
 * the operator says that this does no harm, and once. */
static int before_sending(void *call, char *ip, char *local_ip, int port, int local_port)
{
    struct http_call *c = call;
    long sent = 0;
    (void)ip, (void)local_ip, (void)port;
    c->local_port = local_port;
    curl_easy_getinfo(c->easy, CURLINFO_REQUEST_SIZE, &sent);
    bool again = c->connected && sent > 0;
    if (again && (c->repeated || !c->backend->base.conf->repeat_unanswered))
        return CURL_PREREQFUNC_ABORT;
    c->repeated = again;
    c->connected = true;
    http_trace_connected(c);
    return CURL_PREREQFUNC_OK;
}

#define SET_OF(easy, option, value) (curl_easy_setopt(easy, CURLOPT_##option, (value)) == CURLE_OK)
#define SET(option, value)          SET_OF(c->easy, option, value)

bool http_network_set(struct http_backend *b, CURL *easy)
{
    const struct catalog_backend *conf = b->base.conf;
    uint64_t connect_ms =
        conf->connect_timeout_ms ? conf->connect_timeout_ms : HTTP_CONNECT_TIMEOUT_MS;
    return SET_OF(easy, NOSIGNAL, 1L) && SET_OF(easy, PROTOCOLS_STR, "http,https") &&
           SET_OF(easy, FOLLOWLOCATION, 0L) && SET_OF(easy, PROXY, "") &&
           SET_OF(easy, TCP_NODELAY, 1L) && SET_OF(easy, TCP_KEEPALIVE, 1L) &&
           SET_OF(easy, CONNECTTIMEOUT_MS, (long)connect_ms) &&
           SET_OF(easy, ERRORBUFFER, b->curl_error) && http_loop_attach(b, easy);
}

static CURLcode give_trust(CURL *easy, void *ssl_ctx, void *tls)
{
    (void)easy;
    return tls_apply(tls, ssl_ctx) ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

/* The authorities come from give_trust alone: libcurl would read its own from the disk, on this
 * thread, when it connects.  Nor may it keep those of one transfer for the others of its multi
 * handle: it would put them over what give_trust has given. */
bool http_tls_set(CURL *easy, struct tls *tls)
{
    return SET_OF(easy, SSL_VERIFYPEER, 1L) && SET_OF(easy, SSL_VERIFYHOST, 2L) &&
           SET_OF(easy, CA_CACHE_TIMEOUT, 0L) &&
           SET_OF(easy, SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) && SET_OF(easy, CAINFO, NULL) &&
           SET_OF(easy, CAPATH, NULL) && SET_OF(easy, SSL_CTX_FUNCTION, give_trust) &&
           SET_OF(easy, SSL_CTX_DATA, tls);
}

/* What is libcurl's to speak: HTTP/2 is not, see http_h2.h. */
static bool set_protocol(struct http_call *c)
{
    return SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) && SET(HTTP09_ALLOWED, 0L) &&
           SET(MAXAGE_CONN, (long)HTTP_IDLE_CONNECTION_S) && SET(POST, 1L) &&
           SET(USERAGENT, HTTP_USER_AGENT);
}

static bool set_callbacks(struct http_call *c)
{
    return SET(PRIVATE, c) && SET(HEADERFUNCTION, http_on_header) && SET(HEADERDATA, c) &&
           SET(WRITEFUNCTION, http_on_bytes) && SET(WRITEDATA, c) &&
           SET(PREREQFUNCTION, before_sending) && SET(PREREQDATA, c);
}

struct http_call *http_call_new(struct http_backend *b)
{
    struct http_call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->backend = b;
    framing_init(&c->framing, b->base.conf->http.framer, HTTP_EVENT_BYTES_MAX);
    buf_init(&c->body, HTTP_BODY_BYTES_MAX);
    buf_init(&c->h2.kept, HTTP_H2_WINDOW);
    c->easy = curl_easy_init();
    if (c->easy && http_network_set(b, c->easy) && http_tls_set(c->easy, b->base.conf->tls) &&
        set_protocol(c) && set_callbacks(c))
        return c;
    http_call_free(c);
    return NULL;
}

void http_call_free(struct http_call *c)
{
    curl_easy_cleanup(c->easy);
    http_addresses_unref(c->addresses);
    c->framing.framer->clear(&c->framing);
    buf_free(&c->body);
    buf_free(&c->h2.kept);
    free(c);
}

/* ---- one request ---- */

bool http_call_possible(const struct http_backend *b, const struct backend_order *o)
{
    const struct dialect *d = b->rows.dialect;
    return dialect_path(d, o->capability) && (d->tensors || !o->format.tensors);
}

static bool set_url(struct http_call *c)
{
    char *made = NULL;
    const char *url = http_url_of(c, &made);
    bool ok = url && SET(URL, url);
    http_url_free(made);
    return ok;
}

static bool set_addresses(struct http_call *c)
{
    http_addresses_unref(c->addresses);
    c->addresses = http_addresses_ref(c->backend->target.addresses);
    return SET(RESOLVE, c->addresses ? c->addresses->list : NULL);
}

enum status http_call_prepare(struct http_call *c)
{
    c->path = dialect_path(c->backend->rows.dialect, c->order.capability);
    enum status s = http_headers_set(c);
    if (s != STATUS_OK)
        return s;
    bool ok = set_url(c) && set_addresses(c) && (!c->order.trace || http_trace_begin(c)) &&
              SET(POSTFIELDSIZE_LARGE, (curl_off_t)c->order.body.len) &&
              SET(POSTFIELDS, c->order.body.at);
    return ok ? STATUS_OK : STATUS_NO_MEMORY;
}
