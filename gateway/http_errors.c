/* gateway/http_errors.c -- the library's own error pages, in JSON.
 *
 * For a request it cannot even parse, libmicrohttpd answers by itself with a
 * static HTML page.  The linker's --wrap sends the making of that page here: it
 * becomes an error object with a request id, like every other answer. */
#include "base/rid.h"
#include "gateway/error_body.h"
#include "gateway/loop.h"
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct MHD_Response *__real_MHD_create_response_from_buffer_static(size_t len, const void *bytes);
struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t len, const void *bytes);

/* "<html><head><title>Request too big</title>.." -> "Request too big" */
static struct span title_of(const char *html, size_t len)
{
    const char *from = memmem(html, len, "<title>", 7);
    const char *to = from ? memmem(from, len - (size_t)(from - html), "</title>", 8) : NULL;
    if (!to)
        return SPAN("the request is not valid HTTP");
    return (struct span){ from + 7, (size_t)(to - from - 7) };
}

static void count_refusal(struct MHD_Response *m)
{
    struct loop *l = loop_current();
    char text[RID_TEXT_BYTES];
    if (!l)
        return;
    COUNT(&l->counters, refused_framing);
    (void)MHD_add_response_header(m, "x-request-id",
                                  rid_text(rid_next(&l->rids, l->daemon->env), text));
}

struct MHD_Response *__wrap_MHD_create_response_from_buffer_static(size_t len, const void *bytes)
{
    struct span title = title_of(bytes, len);
    struct buf body;
    char sentence[160];
    size_t body_len = 0;
    snprintf(sentence, sizeof sentence, "the HTTP server refused the request: %.*s", (int)title.len,
             title.at);
    buf_init(&body, 4096);
    if (!error_body(&body, ERRORS_OPENAI, STATUS_BAD_FRAMING, sentence, NULL)) {
        buf_free(&body);
        return __real_MHD_create_response_from_buffer_static(0, "");
    }
    char *text = buf_take(&body, &body_len);
    struct MHD_Response *m =
        MHD_create_response_from_buffer_with_free_callback(body_len, text, free);
    if (!m) {
        free(text);
        return NULL;
    }
    (void)MHD_add_response_header(m, "content-type", "application/json");
    count_refusal(m);
    return m;
}
