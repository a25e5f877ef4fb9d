/* backends/http_post.c -- see http_post.h. */
#include "backends/http_post.h"
#include "backends/http_request.h"
#include "base/version.h"
#include "conf/egress.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 64 << 10, WAIT_MS_MAX = 1000 * 3600 };

static const char check_name[] =
    "check the name in 'url', and that this machine can look it up: getent hosts NAME";
static const char check_redirect[] = "redirects are not followed: write the final place into 'url'";
static const char check_answer[] =
    "the receiver has to answer 2xx when it has taken an event: look into its log";

struct http_post_transfer {
    struct http_post *post;
    CURL *easy;
    struct curl_slist *headers;
    size_t bytes;      /* of the answer */
    bool connected;    /* the request may have been seen */
    char refusal[160]; /* why an address was not connected to; "" none was */
    char error[CURL_ERROR_SIZE];
};

struct http_poster {
    CURLM *multi;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void init_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http_poster *http_poster_new(void)
{
    pthread_once(&curl_once, init_curl);
    struct http_poster *p = curl_ready ? NULL : calloc(1, sizeof *p);
    if (p)
        p->multi = curl_multi_init();
    if (p && p->multi)
        return p;
    free(p);
    return NULL;
}

void http_poster_free(struct http_poster *p)
{
    if (p)
        curl_multi_cleanup(p->multi);
    free(p);
}

/* ---- one transfer -------------------------------------------------------------------------- */

/* Asked of the very address that follows. */
static curl_socket_t on_open(void *transfer, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct http_post_transfer *t = transfer;
    char text[IP_TEXT_BYTES];
    struct ip ip;
    (void)purpose;
    if (!ip_of_sockaddr(&a->addr, &ip))
        return CURL_SOCKET_BAD;
    const char *why = egress_refusal(t->post->egress, &ip);
    if (!why)
        return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    snprintf(t->refusal, sizeof t->refusal, "%s is refused: %s", ip_text(&ip, text), why);
    return CURL_SOCKET_BAD;
}

static int on_connected(void *transfer, char *ip, char *local_ip, int port, int local_port)
{
    struct http_post_transfer *t = transfer;
    (void)local_ip, (void)port, (void)local_port;
    t->connected = true;
    trace_ok(t->post->trace, TRACE_RESOLVE, "its address is %s", ip);
    if (t->post->trace) {
        http_trace_connection(t->easy, t->post->trace);
        http_trace_tls(t->easy, t->post->trace);
    }
    return CURL_PREREQFUNC_OK;
}

/* Nobody reads it; who goes on talking is cut off. */
static size_t on_bytes(char *bytes, size_t size, size_t count, void *transfer)
{
    struct http_post_transfer *t = transfer;
    (void)bytes;
    t->bytes += size * count;
    return t->bytes > ANSWER_BYTES_MAX ? 0 : size * count;
}

/* A status counts when its head is whole: the empty line is the last one. */
static size_t on_header(char *line, size_t size, size_t count, void *transfer)
{
    struct http_post_transfer *t = transfer;
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if ((line[0] == '\r' || line[0] == '\n') && status >= 200)
        t->post->http_status = (int)status;
    return on_bytes(line, size, count, transfer);
}

#define SET(option, value) (curl_easy_setopt(t->easy, CURLOPT_##option, (value)) == CURLE_OK)

/* No session of TLS is remembered: one that was begun with other authorities would be believed. */
static bool set_connection(struct http_post_transfer *t)
{
    return SET(SSL_SESSIONID_CACHE, 0L) && SET(NOSIGNAL, 1L) && SET(QUICK_EXIT, 1L) &&
           SET(PROTOCOLS_STR, "http,https") && SET(FOLLOWLOCATION, 0L) && SET(PROXY, "") &&
           SET(FORBID_REUSE, 1L) && SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           SET(HTTP09_ALLOWED, 0L) && SET(TIMEOUT_MS, (long)t->post->timeout_ms) &&
           SET(OPENSOCKETFUNCTION, on_open) && SET(OPENSOCKETDATA, t) &&
           SET(PREREQFUNCTION, on_connected) && SET(PREREQDATA, t) && SET(ERRORBUFFER, t->error) &&
           http_tls_set(t->easy, t->post->tls);
}

static bool set_headers(struct http_post_transfer *t)
{
    for (const char *const *h = t->post->headers; *h; h++) {
        struct curl_slist *more = curl_slist_append(t->headers, *h);
        if (!more)
            return false;
        t->headers = more;
    }
    return SET(HTTPHEADER, t->headers);
}

static bool set_request(struct http_post_transfer *t)
{
    return SET(URL, t->post->url) && SET(POST, 1L) && SET(USERAGENT, HTTP_USER_AGENT) &&
           SET(POSTFIELDSIZE_LARGE, (curl_off_t)t->post->body.len) &&
           SET(POSTFIELDS, t->post->body.at) && set_headers(t) && SET(PRIVATE, t) &&
           SET(HEADERFUNCTION, on_header) && SET(HEADERDATA, t) && SET(WRITEFUNCTION, on_bytes) &&
           SET(WRITEDATA, t);
}

static void transfer_free(struct http_post_transfer *t)
{
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    free(t);
}

bool http_poster_begin(struct http_poster *p, struct http_post *post)
{
    struct http_post_transfer *t = calloc(1, sizeof *t);
    if (!t)
        return false;
    post->http_status = 0;
    post->error[0] = '\0';
    t->post = post;
    t->easy = curl_easy_init();
    if (t->easy && set_connection(t) && set_request(t) &&
        curl_multi_add_handle(p->multi, t->easy) == CURLM_OK) {
        post->transfer = t;
        return true;
    }
    transfer_free(t);
    return false;
}

void http_poster_cancel(struct http_poster *p, struct http_post *post)
{
    curl_multi_remove_handle(p->multi, post->transfer->easy);
    transfer_free(post->transfer);
    post->transfer = NULL;
}

/* ---- how it went --------------------------------------------------------------------------- */

/* Names in certificates are the other side's choice. */
static void set_error(struct http_post *post, const char *text)
{
    snprintf(post->error, sizeof post->error, "%.*s", HTTP_POST_ERROR_BYTES - 1, text);
    for (char *c = post->error; *c; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
}

static void no_answer(struct http_post_transfer *t, CURLcode result)
{
    struct http_post *post = t->post;
    bool refused = t->refusal[0] && !t->connected;
    set_error(post, refused ? t->refusal : t->error[0] ? t->error : curl_easy_strerror(result));
    if (t->connected)
        trace_failed(post->trace, TRACE_ANSWER, check_answer, "%s", post->error);
    else if (refused || result == CURLE_COULDNT_RESOLVE_HOST)
        trace_failed(post->trace, TRACE_RESOLVE, refused ? http_check_egress : check_name, "%s",
                     post->error);
    else
        http_trace_not_connected(t->easy, result, post->trace, post->error);
}

/* Its status is the whole answer, however the rest of it ends. */
static void answered(struct http_post *post)
{
    bool redirect = post->http_status / 100 == 3;
    if (post->http_status / 100 == 2) {
        trace_ok(post->trace, TRACE_ANSWER, "HTTP %d: taken", post->http_status);
        return;
    }
    snprintf(post->error, sizeof post->error, "HTTP %d%s", post->http_status,
             redirect ? ": redirects are not followed" : "");
    trace_failed(post->trace, TRACE_ANSWER, redirect ? check_redirect : check_answer, "%s",
                 post->error);
}

static void end(struct http_poster *p, CURL *easy, CURLcode result)
{
    struct http_post_transfer *t = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
    struct http_post *post = t->post;
    if (post->http_status)
        answered(post);
    else
        no_answer(t, result);
    http_poster_cancel(p, post);
    post->done(post);
}

void http_poster_wait(struct http_poster *p, uint64_t ms)
{
    int running, left;
    CURLMsg *m;
    curl_multi_poll(p->multi, NULL, 0, ms < WAIT_MS_MAX ? (int)ms : WAIT_MS_MAX, NULL);
    curl_multi_perform(p->multi, &running);
    while ((m = curl_multi_info_read(p->multi, &left)))
        end(p, m->easy_handle, m->data.result);
}

void http_poster_wake(struct http_poster *p)
{
    curl_multi_wakeup(p->multi);
}
