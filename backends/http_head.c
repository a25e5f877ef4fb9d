/* backends/http_head.c -- the header lines of an answer: libcurl's callback for each. */
#include "backends/http_parts.h"
#include <strings.h>

static bool is_field(struct span line, const char *name)
{
    size_t len = strlen(name);
    return line.len > len && line.at[len] == ':' && strncasecmp(line.at, name, len) == 0;
}

/* "  12\r\n" and nothing else: what readers could differ about is not a length. */
static bool read_length(struct span value, uint64_t *ret)
{
    size_t digits = 0;
    *ret = 0;
    while (value.len && (*value.at == ' ' || *value.at == '\t'))
        value = (struct span){ value.at + 1, value.len - 1 };
    for (; digits < value.len && value.at[digits] >= '0' && value.at[digits] <= '9'; digits++)
        *ret = 10 * *ret + (uint64_t)(value.at[digits] - '0');
    while (value.len > digits && strchr(" \t\r\n", value.at[value.len - 1]))
        value.len--;
    return digits > 0 && digits < 19 && digits == value.len;
}

static struct span value_behind(struct span line, size_t name_len)
{
    return (struct span){ line.at + name_len + 1, line.len - name_len - 1 };
}

/* False: two lengths, or a length and chunks.  Which one holds is how answers are smuggled. */
static bool framing_is_plain(struct http_headers *h, struct span line)
{
    static const char length[] = "content-length";
    uint64_t ignored;
    if (line.len >= 5 && memcmp(line.at, "HTTP/", 5) == 0) {
        h->lengths = 0; /* interim answers (1xx) come before the real one */
        h->chunked = false;
    }
    if (is_field(line, length)) {
        h->lengths++;
        if (!read_length(value_behind(line, sizeof length - 1), &ignored))
            return false;
    }
    h->chunked |= is_field(line, "transfer-encoding");
    return h->lengths + h->chunked <= 1;
}

/* The length of the JSON in front of binary tensors; said twice it is none. */
static bool note_tensors(struct http_headers *h, struct span line)
{
    static const char length[] = "inference-header-content-length";
    if (!is_field(line, length))
        return true;
    if (h->tensors || !read_length(value_behind(line, sizeof length - 1), &h->tensor_head))
        return false;
    h->tensors = true;
    return true;
}

static int64_t wall_seconds(void *backend)
{
    const struct env *env = ((struct http_backend *)backend)->env;
    return env->wall_us(env->arg) / 1000000;
}

/* What only some backends say.  False: it makes no sense. */
static bool note_extras(struct http_call *c, struct span line)
{
    const struct http_rows *rows = &c->backend->rows;
    rate_map_line(rows->rates, line, wall_seconds, c->backend, &c->headers.rates);
    return !rows->dialect->tensors || note_tensors(&c->headers, line);
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
        !framing_is_plain(&c->headers, line) || !note_extras(c, line))
        return http_refuse(c, STATUS_BACKEND_GARBAGE);
    return line.len;
}
