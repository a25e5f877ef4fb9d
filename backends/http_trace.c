/* backends/http_trace.c -- a call over HTTP, told step by step.
 *
 * A traced call makes a connection of its own, so that name, connection and TLS are
 * really tried, and it is not pooled afterwards.
 */
#include "backends/http_parts.h"
#include "backends/signer.h"
#include "base/tls.h"
#include <netdb.h>

static const char check_name[] =
    "check the name in 'address', and that this machine can look it up: getent hosts NAME";
const char http_check_egress[] =
    "the address is one that connections may not go to: see 'egress_allow'";
static const char check_server[] =
    "check that the server runs and listens there, and that no firewall is in between";
static const char check_tls[] =
    "check that the server speaks TLS there and that its certificate is for this name and by an "
    "authority that is trusted: 'ca_file' for one's own";

/* ---- before a call ---- */

/* "host:port:address,address" without what is in front. */
static const char *known_addresses(const struct http_target *t)
{
    const char *at = t->addresses ? t->addresses->list->data : "";
    size_t front = strlen(t->host) + strlen(t->port) + 2;
    return strlen(at) > front ? at + front : at;
}

void http_explain(struct backend *base, struct trace *t)
{
    const struct http_backend *b = (const struct http_backend *)base;
    const struct http_target *target = &b->target;
    const char *why = base->trouble[0] ? base->trouble : "the lookup has not ended yet";
    if (target->literal && !target->refused)
        trace_ok(t, TRACE_RESOLVE, "%s is an address", target->host);
    else if (http_target_known(target))
        trace_ok(t, TRACE_RESOLVE, "%s is %s", target->host, known_addresses(target));
    else
        trace_failed(t, TRACE_RESOLVE, strstr(why, "refused: ") ? http_check_egress : check_name,
                     "%s", why);
}

/* ---- a call ---- */

static void note_signer(struct http_call *c)
{
    const struct catalog_backend *conf = c->backend->base.conf;
    const char *name = compose_signer_name(&conf->http);
    if (!conf->secret)
        trace_ok(c->order.trace, TRACE_SIGN, "nothing is signed: there is no 'secret_file'");
    else if (!name)
        trace_ok(c->order.trace, TRACE_SIGN, "%s, in the header Authorization",
                 signer_name(conf->http.signer));
    else
        trace_ok(c->order.trace, TRACE_SIGN, "%s, in %s %s", signer_name(conf->http.signer),
                 conf->http.signer == SIGNER_QUERY_KEY ? "the query parameter" : "the header",
                 name);
}

bool http_trace_begin(struct http_call *c)
{
    return curl_easy_setopt(c->easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
           curl_easy_setopt(c->easy, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK;
}

static long long micros(CURL *easy, CURLINFO what)
{
    curl_off_t us = 0;
    curl_easy_getinfo(easy, what, &us);
    return (long long)us;
}

/* libcurl lends the connection's SSL only while it is connected. */
void http_trace_tls(CURL *easy, struct trace *t)
{
    struct curl_tlssessioninfo *tls = NULL;
    char text[TLS_DESCRIPTION_BYTES];
    curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &tls);
    if (!tls || tls->backend != CURLSSLBACKEND_OPENSSL || !tls->internals)
        return;
    tls_describe(tls->internals, text);
    trace_ok(t, TRACE_TLS, "%s", text);
}

void http_trace_connection(CURL *easy, struct trace *t)
{
    char *ip = NULL;
    long port = 0;
    long long us = micros(easy, CURLINFO_CONNECT_TIME_T);
    curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &ip);
    curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port);
    trace_ok(t, TRACE_CONNECT, "%s port %ld, after %lld.%03lld ms", ip ? ip : "?", port, us / 1000,
             us % 1000);
}

void http_trace_connected(struct http_call *c)
{
    if (!c->order.trace)
        return;
    http_trace_connection(c->easy, c->order.trace);
    http_trace_tls(c->easy, c->order.trace);
    note_signer(c);
}

/* The connection was made, its TLS was not. */
static bool is_tls(CURLcode result)
{
    return result == CURLE_SSL_CONNECT_ERROR || result == CURLE_PEER_FAILED_VERIFICATION ||
           result == CURLE_SSL_CERTPROBLEM || result == CURLE_SSL_CIPHER ||
           result == CURLE_SSL_ISSUER_ERROR || result == CURLE_SSL_INVALIDCERTSTATUS;
}

void http_trace_not_connected(CURL *easy, CURLcode result, struct trace *t, const char *why)
{
    bool tls = is_tls(result);
    if (tls && t)
        http_trace_connection(easy, t);
    trace_failed(t, tls ? TRACE_TLS : TRACE_CONNECT, tls ? check_tls : check_server, "%s", why);
}

/* No request was sent. */
static void note_no_connection(struct http_call *c)
{
    const char *why = c->backend->base.trouble;
    http_trace_not_connected(c->easy, c->result, c->order.trace,
                             why[0] ? why : status_info(c->end.status)->text);
}

void http_trace_end(struct http_call *c)
{
    struct trace *t = c->order.trace;
    long code = 0;
    char *type = NULL;
    if (!t)
        return;
    if (!c->connected)
        note_no_connection(c);
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
    t->http_status = (int)code;
    snprintf(t->content_type, sizeof t->content_type, "%s", type ? type : "");
}
