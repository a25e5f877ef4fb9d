/* backends/http_request.h -- the part of http_parts.h that is about what is sent. */
#ifndef MAAS_HTTP_REQUEST_H
#define MAAS_HTTP_REQUEST_H
#include "backends/backend.h"
#include <curl/curl.h>

struct http_call;
struct http_backend;
struct tls;

enum {
    HTTP_URLS_MAX = 16,
    HTTP_LINE_BYTES_MAX = 16 * 1024, /* of a header line that every request has */
    HTTP_OWN_LINES = 5,
    HTTP_OWN_BYTES = 448,
};

struct http_lines { /* header lines of one request: its id, its content type, ... */
    struct curl_slist node[HTTP_OWN_LINES]; /* then the backend's common ones */
    unsigned count;
    size_t used;
    char text[HTTP_OWN_BYTES];
};

/* http_url.c */
enum status http_urls_open(struct http_backend *b);
void http_urls_free(struct http_backend *b);
/* Lent, or made for this call: then *ret_made, too, for http_url_free.  NULL: no memory. */
const char *http_url_of(const struct http_call *c, char **ret_made);
void http_url_free(char *url);

/* http_headers.c */
enum status http_headers_open(struct http_backend *b);
void http_headers_free(struct http_backend *b);
enum status http_headers_set(struct http_call *c);

/* http_request.c */
#define HTTP_USER_AGENT "maasgate/" MAAS_VERSION
bool http_network_set(struct http_backend *b, CURL *easy); /* how any connection is made */
bool http_tls_set(CURL *easy, struct tls *tls);            /* and what it trusts and shows */
struct http_call *http_call_new(struct http_backend *b);   /* NULL: no memory */
void http_call_free(struct http_call *c);
bool http_call_possible(const struct http_backend *b, const struct backend_order *o);
enum status http_call_prepare(struct http_call *c);

/* http_trace.c: for orders that have a trace */
void http_explain(struct backend *b, struct trace *t);
bool http_trace_begin(struct http_call *c); /* false: no memory */
void http_trace_connected(struct http_call *c);
void http_trace_end(struct http_call *c); /* before libcurl forgets the transfer */
/* Of any transfer, while it is connected: the steps `connect` and `tls`. */
void http_trace_connection(CURL *easy, struct trace *t);
void http_trace_tls(CURL *easy, struct trace *t);
/* Of any transfer that sent nothing: which of the two steps failed, why, and what to look at. */
void http_trace_not_connected(CURL *easy, CURLcode result, struct trace *t, const char *why);
extern const char http_check_egress[]; /* what to look at when an address is refused */
#endif
