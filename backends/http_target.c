/* backends/http_target.c -- the base URL of a backend and the addresses of its host.
 *
 * libcurl would start a thread for each name it looks up, so it never gets to
 * look one up: libuv's pool does, at open and every 60 s, and libcurl is told
 * the result.  An unchanged or failed refresh keeps what is known.
 */
#include "backends/http_parts.h"
#include "base/cleanup.h"
#include <netdb.h>
#include <stdlib.h>

/* ---- addresses ---- */

struct http_addresses *http_addresses_ref(struct http_addresses *a)
{
    if (a)
        a->refs++;
    return a;
}

void http_addresses_unref(struct http_addresses *a)
{
    if (!a || --a->refs)
        return;
    curl_slist_free_all(a->list);
    free(a);
}

bool http_target_known(const struct http_target *t)
{
    return t->literal || t->addresses;
}

static bool add_address(struct buf *line, const struct addrinfo *ai)
{
    char host[NI_MAXHOST];
    if (getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
        return true; /* neither IPv4 nor IPv6: not for us */
    const char *comma = line->at[line->len - 1] == ':' ? "" : ",";
    return buf_printf(line, ai->ai_family == AF_INET6 ? "%s[%s]" : "%s%s", comma, host);
}

/* "host:port:address,address": what CURLOPT_RESOLVE wants.  NULL: no memory or no address. */
static struct http_addresses *addresses_new(const struct http_target *t, const struct addrinfo *ai)
{
    struct buf line;
    unsigned count = 0;
    buf_init(&line, 4096);
    struct http_addresses *a = calloc(1, sizeof *a);
    bool ok = a && buf_printf(&line, "%s:%s:", t->host, t->port);
    for (; ok && ai && count < HTTP_ADDRESSES_MAX; ai = ai->ai_next, count++)
        ok = add_address(&line, ai);
    if (ok && line.at[line.len - 1] != ':')
        a->list = curl_slist_append(NULL, line.at);
    buf_free(&line);
    if (a && a->list) {
        a->refs = 1;
        return a;
    }
    free(a);
    return NULL;
}

static void resolve(uv_timer_t *timer);

static void on_resolved(uv_getaddrinfo_t *request, int error, struct addrinfo *found)
{
    struct http_backend *b = request->data;
    struct http_target *t = &b->target;
    struct http_addresses *next = error ? NULL : addresses_new(t, found);
    uv_freeaddrinfo(found);
    t->looking_up = false;
    if (b->torn_down) {
        http_addresses_unref(next);
        http_release(b);
        return;
    }
    b->pending--;
    t->failures = next ? 0 : t->failures + 1;
    if (next) {
        http_addresses_unref(t->addresses);
        t->addresses = next;
        http_refresh_up(b);
    }
    unsigned shift = t->failures < 7 ? t->failures : 7;
    uint64_t wait_ms = next ? HTTP_RESOLVE_MS : UINT64_C(500) << shift;
    if (!b->closing)
        uv_timer_start(&t->refresh, resolve, wait_ms < HTTP_RESOLVE_MS ? wait_ms : HTTP_RESOLVE_MS,
                       0);
}

static void resolve(uv_timer_t *timer)
{
    struct http_backend *b = timer->data;
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    b->target.request.data = b;
    b->target.looking_up =
        uv_getaddrinfo(b->loop, &b->target.request, on_resolved, b->target.host, NULL, &hints) == 0;
    if (b->target.looking_up)
        b->pending++;
    else
        uv_timer_start(timer, resolve, HTTP_RESOLVE_MS, 0);
}

/* ---- the base URL ---- */

static bool is_literal(const char *host)
{
    struct in6_addr address;
    return host[0] == '[' || uv_inet_pton(AF_INET, host, &address) == 0;
}

static void drop_last_slashes(char *path)
{
    size_t len = strlen(path);
    while (len && path[len - 1] == '/')
        path[--len] = '\0';
}

static bool part(CURLU *url, CURLUPart what, unsigned flags, char **ret)
{
    return curl_url_get(url, what, ret, flags) == CURLUE_OK;
}

/* A user or password in the URL would end up in logs; the secret has its own setting. */
static enum status parse(struct http_target *t, const char *address)
{
    char *user = NULL, *scheme = NULL;
    t->url = curl_url();
    if (!t->url)
        return STATUS_NO_MEMORY;
    if (curl_url_set(t->url, CURLUPART_URL, address, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
        !part(t->url, CURLUPART_SCHEME, 0, &scheme))
        return STATUS_BAD_FIELD;
    bool ok = (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0) &&
              !part(t->url, CURLUPART_USER, 0, &user) &&
              part(t->url, CURLUPART_HOST, 0, &t->host) &&
              part(t->url, CURLUPART_PORT, CURLU_DEFAULT_PORT, &t->port) &&
              part(t->url, CURLUPART_PATH, 0, &t->path);
    curl_free(scheme);
    curl_free(user);
    if (!ok)
        return STATUS_BAD_FIELD;
    curl_url_set(t->url, CURLUPART_FRAGMENT, NULL, 0);
    drop_last_slashes(t->path);
    t->literal = is_literal(t->host);
    return STATUS_OK;
}

enum status http_target_open(struct http_backend *b)
{
    return parse(&b->target, b->base.conf->address);
}

void http_target_start(struct http_backend *b)
{
    uv_timer_init(b->loop, &b->target.refresh);
    b->target.refresh.data = b;
    if (!b->target.literal)
        resolve(&b->target.refresh);
}

/* A lookup that runs already cannot be stopped; on_resolved then comes later. */
void http_target_stop(struct http_backend *b, uv_close_cb closed)
{
    uv_close((uv_handle_t *)&b->target.refresh, closed);
    if (b->target.looking_up)
        uv_cancel((uv_req_t *)&b->target.request);
}

void http_target_free(struct http_target *t)
{
    http_addresses_unref(t->addresses);
    curl_url_cleanup(t->url);
    curl_free(t->host);
    curl_free(t->port);
    curl_free(t->path);
}
