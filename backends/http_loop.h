/* backends/http_loop.h -- the part of http_parts.h that is about sockets. */
#ifndef MAAS_HTTP_LOOP_H
#define MAAS_HTTP_LOOP_H
#include "base/status.h"
#include <curl/curl.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <uv.h>

struct http_backend;
struct http_call;

struct http_socket { /* one that libcurl has opened; lives until libcurl closes it */
    uv_poll_t poll;
    struct http_backend *backend;
    curl_socket_t fd;
    int wanted, armed; /* UV_READABLE | UV_WRITABLE */
    bool ours;         /* opened by our callback, so closed by it, too: but see is_closed() */
    bool proven;       /* its connection was made */
    ino_t inode;       /* of `fd`, as long as it is this socket's */
    void (*on_events)(void *arg, int events); /* not libcurl's to read any more; NULL: it is */
    void *arg;
    bool idle; /* kept for the next request: nothing may arrive now */
    LIST_ENTRY(http_socket) bucket;
};

enum status http_loop_open(struct http_backend *b);
void http_loop_held(struct http_call *c); /* its reader holds it back: its connection is not idle */
bool http_loop_attach(struct http_backend *b,
                      CURL *easy); /* its sockets are opened and closed by us */
/* A connection that libcurl has made and will not touch by itself: its events come here.  NULL: there
 * is none.  It lives until libcurl closes it. */
struct http_socket *http_loop_take(struct http_backend *b, curl_socket_t fd,
                                   void (*on_events)(void *arg, int events), void *arg);
void http_loop_want(struct http_socket *s, int events); /* of a taken one */
/* The connection that answered is kept, but what it said makes no sense: nobody gets it again. */
void http_loop_discard(struct http_call *c);
/* Lets libcurl do what is due; may call on_data and on_end. */
void http_loop_kick(struct http_backend *b);
#endif
