/* backends/http_url.c -- the URL of an order: the base URL with the path of what is asked.
 *
 * A secret that stands in the query is in all of them.  What is ours is wiped;
 * copies that libcurl makes of a URL are freed by it as they are.
 */
#include "backends/http_parts.h"
#include "backends/signer.h"
#include <assert.h>
#include <string.h>

/* The base URL with more path; a query stays behind it.  To be freed with curl_free; NULL: no memory. */
static char *url_with(const struct http_target *t, struct span more)
{
    struct buf path;
    char *url = NULL;
    buf_init(&path, 8192);
    CURLU *copy = curl_url_dup(t->url);
    if (copy && buf_text(&path, t->path) && buf_add(&path, more.at, more.len) &&
        curl_url_set(copy, CURLUPART_PATH, path.at, 0) == CURLUE_OK)
        curl_url_get(copy, CURLUPART_URL, &url, 0);
    curl_url_cleanup(copy);
    buf_free(&path);
    return url;
}

static char *url_for_model(const struct http_target *t, const char *path, const char *model)
{
    const char *star = strchr(path, '*');
    struct buf more;
    char *url = NULL;
    buf_init(&more, 4096);
    char *name = curl_easy_escape(NULL, model, 0);
    if (name && buf_printf(&more, "%.*s%s%s", (int)(star - path), path, name, star + 1))
        url = url_with(t, buf_span(&more));
    curl_free(name);
    buf_free(&more);
    return url;
}

static enum status add_secret(struct http_backend *b)
{
    struct buf pair;
    buf_init(&pair, HTTP_LINE_BYTES_MAX);
    bool ok = signer_query(b->base.conf, &pair) &&
              (!pair.len || curl_url_set(b->target.url, CURLUPART_QUERY, pair.at,
                                         CURLU_APPENDQUERY) == CURLUE_OK);
    signer_wipe(&pair);
    return ok ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status http_urls_open(struct http_backend *b)
{
    const struct dialect *d = b->rows.dialect;
    assert(d->path_count <= HTTP_URLS_MAX);
    enum status s = add_secret(b);
    for (size_t i = 0; !s && i < d->path_count; i++) {
        const char *path = d->paths[i].path;
        if (strchr(path, '*'))
            continue;
        b->urls[i] = url_with(&b->target, (struct span){ path, strlen(path) });
        s = b->urls[i] ? STATUS_OK : STATUS_NO_MEMORY;
    }
    return s;
}

void http_url_free(char *url)
{
    if (url)
        explicit_bzero(url, strlen(url));
    curl_free(url);
}

void http_urls_free(struct http_backend *b)
{
    for (size_t i = 0; i < HTTP_URLS_MAX; i++)
        http_url_free(b->urls[i]);
}

const char *http_url_of(const struct http_call *c, char **ret_made)
{
    const struct http_backend *b = c->backend;
    const char *fixed = b->urls[c->path - b->rows.dialect->paths];
    if (!fixed)
        *ret_made = url_for_model(&b->target, c->path->path, c->order.model);
    return fixed ? fixed : *ret_made;
}
