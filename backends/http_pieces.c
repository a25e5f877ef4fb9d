/* backends/http_pieces.c -- an answer that is not JSON: its bytes are passed on as they come.
 *
 * Binary tensors have JSON in front of them.  It is passed on in one piece, so that
 * whoever is told its length can rely on it.
 */
#include "backends/http_parts.h"

/* Printable ASCII: it goes into a header line of the client's answer. */
static bool copy_type(char to[static HTTP_TYPE_BYTES], const char *from)
{
    size_t len = strlen(from);
    for (size_t i = 0; i < len; i++)
        if (from[i] < 0x20 || from[i] > 0x7e)
            return false;
    if (len == 0 || len >= HTTP_TYPE_BYTES)
        return false;
    memcpy(to, from, len + 1);
    return true;
}

bool http_pieces_begin(struct http_call *c, const char *content_type)
{
    const struct http_headers *h = &c->headers;
    if (!copy_type(c->type, content_type) || h->tensor_head > HTTP_TENSOR_HEAD_BYTES_MAX)
        return false;
    c->format = (struct backend_format){ c->type, h->tensors, h->tensor_head };
    return true;
}

static enum status pass(struct http_call *c, struct span bytes)
{
    struct backend_data d = { .bytes = bytes.at, .len = bytes.len, .format = &c->format };
    if (bytes.len > c->body_max - c->passed)
        return STATUS_BACKEND_GARBAGE;
    c->passed += bytes.len;
    c->any_event = true;
    c->events.on_data(c->arg, &d);
    return STATUS_OK;
}

enum status http_pieces_take(struct http_call *c, struct span bytes)
{
    size_t head = (size_t)c->format.header_len;
    if (c->passed || head == 0)
        return pass(c, bytes);
    if (bytes.len > c->body_max - c->body.len)
        return STATUS_BACKEND_GARBAGE;
    if (!buf_add(&c->body, bytes.at, bytes.len))
        return STATUS_NO_MEMORY;
    return c->body.len < head ? STATUS_OK : pass(c, buf_span(&c->body));
}

void http_pieces_finish(struct http_call *c)
{
    if (!c->passed)
        c->verdict = STATUS_BACKEND_GARBAGE; /* nothing, or less than the JSON that it promised */
    else
        http_note_request(c);
}
