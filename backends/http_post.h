/* backends/http_post.h -- a few bytes posted to a place that the configuration names, now and then.
 *
 * Not a driver: what is posted is no request of a customer, and runs on the thread of
 * whoever waits.  The rules of egress are those of the drivers: https is verified,
 * every address is asked about and the one that was asked about is connected to
 * (conf/egress.h), no redirect is followed, no proxy of the environment is used.
 * One connection a post; of the answer nothing but its status counts.
 *
 * A poster belongs to one thread.  The process must ignore SIGPIPE.
 */
#ifndef MAAS_HTTP_POST_H
#define MAAS_HTTP_POST_H
#include "backends/trace.h"
#include "base/span.h"
#include <stdint.h>

struct egress;
struct http_post_transfer;
struct http_poster;
struct tls;

enum { HTTP_POST_ERROR_BYTES = 200 };

struct http_post { /* all lent until done */
    const char *url;
    struct tls *tls; /* of https */
    const struct egress *egress;
    uint64_t timeout_ms;        /* from the lookup of its name to the answer */
    const char *const *headers; /* "Name: value"; ends with NULL */
    struct span body;
    struct trace *trace; /* NULL: nobody asks */
    void (*done)(struct http_post *p);
    void *arg;
    /* The answer: taken, or refused, or there was none (status 0). */
    int http_status;
    char error[HTTP_POST_ERROR_BYTES];   /* "" when it was taken (2xx); printable, no secret */
    struct http_post_transfer *transfer; /* the poster's */
};

struct http_poster *http_poster_new(void); /* NULL: no memory */
void http_poster_free(struct http_poster *p);
/* done comes out of http_poster_wait, and once; false: no memory, and it never comes. */
bool http_poster_begin(struct http_poster *p, struct http_post *post);
/* Its done never comes. */
void http_poster_cancel(struct http_poster *p, struct http_post *post);
/* Waits for what is on its way, that long at most, or until it is woken. */
void http_poster_wait(struct http_poster *p, uint64_t ms);
void http_poster_wake(struct http_poster *p); /* any thread */
#endif
