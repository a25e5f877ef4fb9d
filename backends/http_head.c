/* backends/http_head.c -- the header lines of an answer: libcurl's callback for each. */
#include "backends/http_parts.h"
#include <strings.h>

static bool is_field(struct span line, const char *name)
{
    size_t len = strlen(name);
    return line.len > len && line.at[len] == ':' && strncasecmp(line.at, name, len) == 0;
}

/* "  12\r\n" and nothing else: what readers could differ about is not a length. */
static bool is_length(struct span value)
{
    size_t digits = 0;
    while (value.len && (*value.at == ' ' || *value.at == '\t'))
        value = (struct span){ value.at + 1, value.len - 1 };
    while (digits < value.len && value.at[digits] >= '0' && value.at[digits] <= '9')
        digits++;
    while (value.len > digits && strchr(" \t\r\n", value.at[value.len - 1]))
        value.len--;
    return digits > 0 && digits < 19 && digits == value.len;
}

/* False: two lengths, or a length and chunks.  Which one holds is how answers are smuggled. */
static bool framing_is_plain(struct http_headers *h, struct span line)
{
    if (line.len >= 5 && memcmp(line.at, "HTTP/", 5) == 0) {
        h->lengths = 0; /* interim answers (1xx) come before the real one */
        h->chunked = false;
    }
    static const char length[] = "content-length";
    if (is_field(line, length)) {
        h->lengths++;
        if (!is_length((struct span){ line.at + sizeof length, line.len - sizeof length }))
            return false;
    }
    h->chunked |= is_field(line, "transfer-encoding");
    return h->lengths + h->chunked <= 1;
}

size_t http_on_header(char *bytes, size_t size, size_t count, void *call)
{
    struct http_call *c = call;
    struct span line = { bytes, size * count };
    c->answered = true;
    c->last_byte_ms = http_now_ms(c->backend);
    c->headers.bytes += line.len;
    c->headers.lines++;
    if (c->ended)
        return HTTP_REFUSE;
    if (c->headers.bytes > HTTP_HEADER_BYTES_MAX || c->headers.lines > HTTP_HEADER_LINES_MAX ||
        !framing_is_plain(&c->headers, line))
        return http_refuse(c, STATUS_BACKEND_GARBAGE);
    return line.len;
}
