/* backends/http_target.c -- the base URL of a backend and the addresses of its host.
 *
 * libcurl would start a thread for each name it looks up, so it never gets to
 * look one up: libuv's pool does, at open and every 60 s, and libcurl is told
 * the result: the addresses of that one answer that egress.h allows, and no others.
 * A refresh that brings nothing keeps what is known.
 */
#include "backends/http_parts.h"
#include "base/cleanup.h"
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
    return (t->literal && !t->refused) || t->addresses;
}

/* An address that is refused is left out, and said. */
static bool add_address(struct http_backend *b, struct buf *line, const struct sockaddr *address)
{
    char text[IP_TEXT_BYTES];
    struct ip ip;
    if (!ip_of_sockaddr(address, &ip))
        return true;
    const char *why = egress_refusal(b->base.conf->egress, &ip);
    if (why) {
        backend_trouble(&b->base, "%s is at %s, which is refused: %s", b->target.host,
                        ip_text(&ip, text), why);
        b->target.troubled = true;
        return true;
    }
    const char *comma = line->at[line->len - 1] == ':' ? "" : ",";
    return buf_printf(line, ip.v4 ? "%s%s" : "%s[%s]", comma, ip_text(&ip, text));
}

/* "host:port:address,address": what CURLOPT_RESOLVE wants.  NULL: no memory or no address. */
static struct http_addresses *addresses_new(struct http_backend *b, const struct addrinfo *ai)
{
    struct buf line;
    unsigned count = 0;
    buf_init(&line, 4096);
    struct http_addresses *a = calloc(1, sizeof *a);
    bool ok = a && buf_printf(&line, "%s:%s:", b->target.host, b->target.port);
    for (; ok && ai && count < HTTP_ADDRESSES_MAX; ai = ai->ai_next, count++)
        ok = add_address(b, &line, ai->ai_addr);
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

static void look_up_again(struct http_backend *b, bool found)
{
    struct http_target *t = &b->target;
    t->failures = found ? 0 : t->failures + 1;
    unsigned shift = t->failures < 7 ? t->failures : 7;
    uint64_t wait_ms = found ? HTTP_RESOLVE_MS : UINT64_C(500) << shift;
    if (!b->closing)
        uv_timer_start(&t->refresh, resolve, wait_ms < HTTP_RESOLVE_MS ? wait_ms : HTTP_RESOLVE_MS,
                       0);
}

static void take_addresses(struct http_backend *b, int error, const struct addrinfo *found)
{
    struct http_target *t = &b->target;
    bool was_troubled = t->troubled;
    t->troubled = error != 0;
    if (error)
        backend_trouble(&b->base, "%s cannot be looked up: %s", t->host, uv_strerror(error));
    struct http_addresses *next = error ? NULL : addresses_new(b, found);
    if (was_troubled && !t->troubled)
        backend_no_trouble(&b->base);
    if (next) {
        http_addresses_unref(t->addresses);
        t->addresses = next;
        http_refresh_up(b);
    }
    look_up_again(b, next);
}

static void on_resolved(uv_getaddrinfo_t *request, int error, struct addrinfo *found)
{
    struct http_backend *b = request->data;
    b->target.looking_up = false;
    if (!b->torn_down)
        take_addresses(b, error, found);
    uv_freeaddrinfo(found);
    http_release(b);
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

/* libcurl has made it plain by now: 0x7f.1 has become 127.0.0.1. */
static void judge_literal(struct http_backend *b)
{
    struct http_target *t = &b->target;
    char text[IP_TEXT_BYTES];
    size_t bracket = t->host[0] == '[' ? 1 : 0, len = strlen(t->host) - 2 * bracket;
    struct ip ip;
    if (len >= sizeof text)
        return;
    memcpy(text, t->host + bracket, len);
    text[len] = '\0';
    t->literal = bracket || ip_parse(text, &ip);
    if (!t->literal)
        return;
    const char *why = ip_parse(text, &ip) ? egress_refusal(b->base.conf->egress, &ip)
                                          : "it is no address that can be checked";
    t->refused = t->troubled = why;
    if (why)
        backend_trouble(&b->base, "%s is refused: %s", text, why);
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
    return STATUS_OK;
}

enum status http_target_open(struct http_backend *b)
{
    enum status s = parse(&b->target, b->base.conf->address);
    if (s == STATUS_OK)
        judge_literal(b);
    return s;
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
