/* backends/http_url.c -- the URL of an order: the base URL with the path of what is asked. */
#include "backends/http_parts.h"
#include <assert.h>
#include <string.h>

/* What an order asks for and the path for it; "*" is the backend's name of the model. */
static const struct {
    enum capability capability;
    const char *path;
} rows[] = {
    { CAP_CHAT, "/chat/completions" },
    { CAP_EMBEDDINGS, "/embeddings" },
    { CAP_IMAGES, "/images/generations" },
    { CAP_INFER, "/v2/models/*/infer" },
};
#define ROWS (sizeof rows / sizeof *rows)
static_assert(ROWS <= HTTP_URLS_MAX, "a URL for each row");

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

enum status http_urls_open(struct http_backend *b)
{
    for (size_t i = 0; i < ROWS; i++) {
        const char *path = rows[i].path;
        if (strchr(path, '*'))
            continue;
        b->urls[i] = url_with(&b->target, (struct span){ path, strlen(path) });
        if (!b->urls[i])
            return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

void http_urls_free(struct http_backend *b)
{
    for (size_t i = 0; i < ROWS; i++)
        curl_free(b->urls[i]);
}

bool http_url_exists(enum capability capability)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].capability == capability)
            return true;
    return false;
}

const char *http_url_of(const struct http_backend *b, const struct backend_order *o,
                        char **ret_made)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].capability == o->capability)
            return b->urls[i] ? b->urls[i]
                              : (*ret_made = url_for_model(&b->target, rows[i].path, o->model));
    return NULL;
}
