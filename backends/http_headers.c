/* backends/http_headers.c -- the header lines of a request.
 *
 * What is the same for every request of the backend is one list, made once; a
 * request puts its own lines in front of it.
 */
#include "backends/http_parts.h"
#include "backends/signer.h"
#include "base/digits.h"
#include <string.h>

/* ---- those that every request carries ---- */

static bool add_header(struct http_backend *b, const char *text)
{
    struct curl_slist *list = curl_slist_append(b->common_headers, text);
    if (list)
        b->common_headers = list;
    return list != NULL;
}

/* Headers of the configuration; it has refused those that are ours. */
static bool add_configured(struct http_backend *b)
{
    const struct compose *conf = &b->base.conf->http;
    struct buf line;
    bool ok = true;
    buf_init(&line, HTTP_LINE_BYTES_MAX);
    for (size_t i = 0; ok && i < conf->header_count; i++) {
        buf_clear(&line);
        ok = buf_printf(&line, "%s: %s", conf->headers[i].name, conf->headers[i].value) &&
             add_header(b, line.at);
    }
    buf_free(&line);
    return ok;
}

static bool add_secret(struct http_backend *b)
{
    struct buf line;
    buf_init(&line, HTTP_LINE_BYTES_MAX);
    bool ok = signer_header(b->base.conf, &line) && (!line.len || add_header(b, line.at));
    signer_wipe(&line);
    return ok;
}

/* "Expect:" takes away libcurl's own, which would wait a second with each large body.  A secret
 * with a line end in it would be two headers. */
enum status http_headers_open(struct http_backend *b)
{
    if (b->base.conf->secret && strpbrk(b->base.conf->secret, "\r\n"))
        return STATUS_BAD_FIELD;
    bool ok = add_header(b, "Accept: */*") && add_header(b, "Accept-Encoding: identity") &&
              add_header(b, "Expect:") && add_configured(b) && add_secret(b);
    return ok ? STATUS_OK : STATUS_NO_MEMORY;
}

void http_headers_free(struct http_backend *b)
{
    for (struct curl_slist *l = b->common_headers; l; l = l->next)
        explicit_bzero(l->data, strlen(l->data));
    curl_slist_free_all(b->common_headers);
    b->common_headers = NULL;
}

/* ---- those of one request ---- */

/* The nodes lie in the call, in front of the common list, so nothing is allocated. */
static bool put(struct http_call *c, const char *name, const char *value)
{
    struct http_lines *l = &c->lines;
    struct curl_slist *node = &l->node[l->count];
    size_t name_len = strlen(name), value_len = strlen(value);
    char *at = l->text + l->used;
    if (name_len + value_len + sizeof ": " > sizeof l->text - l->used || strpbrk(value, "\r\n"))
        return false;
    memcpy(at, name, name_len);
    memcpy(at + name_len, ": ", 2);
    memcpy(at + name_len + 2, value, value_len + 1);
    *node = (struct curl_slist){ at, c->backend->common_headers };
    if (l->count)
        node[-1].next = node;
    l->count++;
    l->used += name_len + value_len + sizeof ": ";
    return true;
}

static bool put_number(struct http_call *c, const char *name, uint64_t value)
{
    char digits[DIGITS_MAX + 1] = "", *end = digits + DIGITS_MAX;
    return put(c, name, digits_before(end, value, 1));
}

/* See gateway/hops.h. */
static bool put_hops(struct http_call *c)
{
    static const char *const names[BACKEND_HOPS_MAX] = {
        BACKEND_HOP_NAME,
        BACKEND_HOP_NAME ", " BACKEND_HOP_NAME,
        BACKEND_HOP_NAME ", " BACKEND_HOP_NAME ", " BACKEND_HOP_NAME,
    };
    unsigned before = c->order.hops;
    if (before < BACKEND_HOPS_MAX)
        return put(c, "CDN-Loop", names[before]);
    return false;
}

enum status http_headers_set(struct http_call *c)
{
    const struct backend_format *f = &c->order.format;
    char id[RID_TEXT_BYTES];
    c->lines.count = 0;
    c->lines.used = 0;
    bool ok = put(c, "x-request-id", rid_text(c->order.rid, id)) && put_hops(c) &&
              put(c, "Content-Type", f->content_type ? f->content_type : "application/json");
    if (f->tensors)
        ok = ok && put_number(c, "Inference-Header-Content-Length", f->header_len);
    if (c->order.client_timeout_ms)
        ok = ok && put_number(c, "x-request-timeout-ms", c->order.client_timeout_ms);
    if (!ok)
        return STATUS_BAD_REQUEST; /* a content type that is no line */
    CURLcode set = curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->lines.node);
    return set == CURLE_OK ? STATUS_OK : STATUS_NO_MEMORY;
}
