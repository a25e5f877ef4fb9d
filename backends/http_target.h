/* backends/http_target.h -- the base URL of an HTTP backend and the addresses of its host.
 *
 * Belongs to the HTTP transport; see http_parts.h.  A transfer holds a reference
 * to the addresses it was given, because libcurl reads them while it runs.
 */
#ifndef MAAS_HTTP_TARGET_H
#define MAAS_HTTP_TARGET_H
#include "base/status.h"
#include <curl/curl.h>
#include <stdbool.h>
#include <uv.h>

struct http_backend;

enum { HTTP_RESOLVE_MS = 60 * 1000, HTTP_ADDRESSES_MAX = 8 };

struct http_addresses { /* what the host's name stands for; libcurl reads it during a transfer */
    unsigned refs;
    struct curl_slist *list;
};

struct http_target {
    CURLU *url;
    char *host, *port, *path;         /* path without '/' at its end */
    bool literal;                     /* the host is an address: nothing to look up */
    bool refused;                     /* that address is, by egress.h */
    bool troubled;                    /* the backend's trouble is about its address */
    struct http_addresses *addresses; /* NULL: literal, or not known yet */
    uv_getaddrinfo_t request;
    uv_timer_t refresh;
    unsigned failures; /* in a row */
    bool looking_up;
};

enum status http_target_open(struct http_backend *b);
void http_target_start(struct http_backend *b);
void http_target_stop(struct http_backend *b, uv_close_cb closed);
void http_target_free(struct http_target *t);
bool http_target_known(const struct http_target *t);
struct http_addresses *http_addresses_ref(struct http_addresses *a); /* NULL is fine */
void http_addresses_unref(struct http_addresses *a);

#endif
