/* backends/http_h2_send.c -- a call becomes a stream of HTTP/2: what is sent; see http_h2.h. */
#include "backends/http_parts.h"
#include "base/version.h"
#include <stdio.h>

enum { FIELDS_MAX = 64, NAME_BYTES_MAX = 64 };

struct fields {
    nghttp2_nv nv[FIELDS_MAX];
    size_t count;
    const char *secret;                     /* of the backend; NULL: it has none */
    char names[FIELDS_MAX][NAME_BYTES_MAX]; /* in lower case, as HTTP/2 wants them */
};

/* The table of fields that both sides remember is no place for a secret (RFC 7541 7.1.3). */
static uint8_t flags_of(const struct fields *f, struct span value)
{
    bool tells = f->secret && memmem(value.at, value.len, f->secret, strlen(f->secret));
    return tells ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
}

static bool add(struct fields *f, struct span name, struct span value)
{
    if (f->count == FIELDS_MAX || name.len >= NAME_BYTES_MAX)
        return false;
    char *own = f->names[f->count];
    for (size_t i = 0; i < name.len; i++)
        own[i] = (char)(name.at[i] >= 'A' && name.at[i] <= 'Z' ? name.at[i] + 32 : name.at[i]);
    own[name.len] = '\0';
    f->nv[f->count++] = (nghttp2_nv){ .name = (uint8_t *)own,
                                      .namelen = name.len,
                                      .value = (uint8_t *)(uintptr_t)value.at,
                                      .valuelen = value.len,
                                      .flags = flags_of(f, value) };
    return true;
}

/* "Name: value"; a line without a value is for libcurl alone. */
static bool add_line(struct fields *f, const char *line)
{
    const char *colon = strchr(line, ':');
    const char *value = colon ? colon + 1 + strspn(colon + 1, " ") : "";
    if (!*value)
        return true;
    return add(f, (struct span){ line, (size_t)(colon - line) },
               (struct span){ value, strlen(value) });
}

/* "https://host:port/path?query" in two; without a path there is one of "/". */
static bool add_target(struct fields *f, const char *url)
{
    const char *host = strstr(url, "://") + 3;
    size_t len = strcspn(host, "/?");
    const char *path = host[len] == '/' ? host + len : "/";
    return add(f, SPAN(":method"), SPAN("POST")) && add(f, SPAN(":scheme"), SPAN("https")) &&
           add(f, SPAN(":authority"), (struct span){ host, len }) &&
           add(f, SPAN(":path"), (struct span){ path, strlen(path) });
}

static bool add_all(struct fields *f, const struct http_call *c, const char *url,
                    char length[static 24])
{
    snprintf(length, 24, "%zu", c->order.body.len);
    bool ok = add_target(f, url) && add(f, SPAN("user-agent"), SPAN(HTTP_USER_AGENT)) &&
              add(f, SPAN("content-length"), (struct span){ length, strlen(length) });
    for (const struct curl_slist *l = c->lines.node; ok && l; l = l->next)
        ok = add_line(f, l->data);
    return ok;
}

/* Asked by nghttp2 as long as the stream is open: whoever leaves one resets it first. */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *conn)
{
    struct http_call *c = source->ptr;
    struct span body = c->order.body;
    size_t left = body.len - c->h2.sent, len = left < room ? left : room;
    (void)session, (void)id, (void)conn;
    if (len)
        memcpy(to, body.at + c->h2.sent, len);
    c->h2.sent += len;
    if (len == left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

/* nghttp2 copies the fields; the body stays the order's. */
static int32_t submit(struct http_h2_conn *conn, struct http_call *c)
{
    struct fields f = { .secret = c->backend->base.conf->secret };
    char length[24], *made = NULL;
    nghttp2_data_provider body = { .source.ptr = c, .read_callback = read_body };
    const char *url = http_url_of(c, &made);
    int32_t id = NGHTTP2_ERR_NOMEM;
    if (url && add_all(&f, c, url, length))
        id = nghttp2_submit_request(conn->session, NULL, f.nv, f.count, &body, c);
    http_url_free(made);
    return id;
}

bool http_h2_submit(struct http_h2_conn *conn, struct http_call *c)
{
    struct http_h2_stream *s = &c->h2;
    int32_t id = submit(conn, c);
    if (id < 0)
        return false;
    *s =
        (struct http_h2_stream){ .conn = conn, .id = id, .kept = s->kept, .refusals = s->refusals };
    TAILQ_INSERT_TAIL(&conn->calls, c, h2.link);
    conn->streams++;
    return true;
}
