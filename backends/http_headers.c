/* backends/http_headers.c -- the header lines of a request.
 *
 * What is the same for every request of the backend is one list, made once; a
 * request puts its own lines in front of it.
 */
#include "backends/http_parts.h"
#include <stdio.h>
#include <string.h>

/* ---- those that every request carries ---- */

static bool add_header(struct http_backend *b, const char *text)
{
    struct curl_slist *list = curl_slist_append(b->common_headers, text);
    if (list)
        b->common_headers = list;
    return list != NULL;
}

static bool add_secret(struct http_backend *b)
{
    struct buf line;
    if (!b->base.conf->secret || !*b->base.conf->secret)
        return true;
    buf_init(&line, 16 * 1024);
    bool ok = buf_printf(&line, "Authorization: Bearer %s", b->base.conf->secret) &&
              add_header(b, line.at);
    if (line.at)
        explicit_bzero(line.at, line.room);
    buf_free(&line);
    return ok;
}

/* "Expect:" takes away libcurl's own, which would wait a second with each large body.  A secret
 * with a line end in it would be two headers. */
enum status http_headers_open(struct http_backend *b)
{
    if (b->base.conf->secret && strpbrk(b->base.conf->secret, "\r\n"))
        return STATUS_BAD_FIELD;
    bool ok = add_header(b, "Content-Type: application/json") &&
              add_header(b, "Accept: application/json, text/event-stream") &&
              add_header(b, "Accept-Encoding: identity") && add_header(b, "Expect:") &&
              add_secret(b);
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

/* The id goes in front of the common headers; the node lies in the call, so nothing is allocated. */
bool http_headers_set(struct http_call *c)
{
    char id[RID_TEXT_BYTES];
    snprintf(c->first_header_text, sizeof c->first_header_text, "x-request-id: %s",
             rid_text(c->order.rid, id));
    c->first_header.data = c->first_header_text;
    c->first_header.next = c->backend->common_headers;
    return curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, &c->first_header) == CURLE_OK;
}
