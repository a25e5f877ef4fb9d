/* backends/http_head.c -- the header lines of an answer: libcurl's callback for each.
 *
 * libcurl forgives much that two readers could understand in two ways, and whoever
 * answers may be hostile or broken.  So a line is taken only when it is what RFC 9112
 * says it is.  What is refused ends the transfer, and with it the connection.
 */
#include "backends/http_parts.h"
#include <strings.h>

/* ---- what a line consists of ---- */

/* RFC 9110 5.6.2. */
static const bool is_tchar[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
    ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1, ['0'] = 1,
    ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,  ['7'] = 1, ['8'] = 1,
    ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,  ['F'] = 1, ['G'] = 1,
    ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1,  ['N'] = 1, ['O'] = 1,
    ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1,
    ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1,  ['d'] = 1, ['e'] = 1,
    ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1,  ['l'] = 1, ['m'] = 1,
    ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,  ['t'] = 1, ['u'] = 1,
    ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

/* Eight bytes at once: is any a control character?  Bytes above ASCII are none. */
static bool has_control(uint64_t word)
{
    const uint64_t ones = UINT64_MAX / 255, tops = ones * 0x80;
    uint64_t below = (word - ones * 0x20) & ~word & tops;
    uint64_t delete = word ^ ones * 0x7f;
    return below | ((delete - ones) & ~delete &tops);
}

/* No control character but a tab; a carriage return alone is one, too. */
static bool is_value(struct span s)
{
    size_t i = 0;
    for (uint64_t word; s.len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, s.at + i, sizeof word);
        if (has_control(word))
            break; /* perhaps a tab: byte by byte from here */
    }
    for (; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static struct span trimmed(struct span s)
{
    while (s.len && (*s.at == ' ' || *s.at == '\t'))
        s = (struct span){ s.at + 1, s.len - 1 };
    while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool named(struct span name, const char *lower)
{
    return strncasecmp(name.at, lower, name.len) == 0; /* the caller knows the length */
}

/* ---- what it says ---- */

/* Digits and nothing else: what readers could differ about is not a length. */
static bool read_length(struct span value, uint64_t *ret)
{
    *ret = 0;
    if (value.len < 1 || value.len > 18)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return false;
        *ret = 10 * *ret + (uint64_t)(value.at[i] - '0');
    }
    return true;
}

static bool take_length(struct http_headers *h, struct span value)
{
    uint64_t ignored; /* libcurl counts the bytes */
    h->lengths++;
    return read_length(value, &ignored);
}

static bool take_coding(struct http_headers *h, struct span value)
{
    h->codings++;
    return value.len == 7 && named(value, "chunked");
}

static bool take_type(struct http_headers *h, struct span value)
{
    if (h->type[0] || value.len >= sizeof h->type)
        return value.len == 0;
    memcpy(h->type, value.at, value.len);
    h->type[value.len] = '\0';
    return true;
}

/* The length of the JSON in front of binary tensors; said twice it is none. */
static bool take_tensors(struct http_headers *h, struct span value)
{
    bool again = h->tensors;
    h->tensors = true;
    return !again && read_length(value, &h->tensor_head);
}

/* False: it makes no sense, or an answer that was asked for as it is comes packed. */
static bool take_field(struct http_call *c, struct span name, struct span value)
{
    struct http_headers *h = &c->headers;
    switch (name.len) {
    case sizeof "Content-Type" - 1:
        return !named(name, "content-type") || take_type(h, value);
    case sizeof "Content-Length" - 1:
        return !named(name, "content-length") || take_length(h, value);
    case sizeof "Content-Encoding" - 1:
        return !named(name, "content-encoding") || (value.len == 8 && named(value, "identity"));
    case sizeof "Transfer-Encoding" - 1:
        return !named(name, "transfer-encoding") || take_coding(h, value);
    case sizeof "Inference-Header-Content-Length" - 1:
        return !c->backend->rows.dialect->tensors ||
               !named(name, "inference-header-content-length") || take_tensors(h, value);
    default:
        return true;
    }
}

/* "HTTP/1.1 200 OK".  101 would be another protocol, which nobody asked for. */
static bool take_status(struct http_headers *h, struct span line)
{
    const char *at = memchr(line.at, ' ', line.len);
    size_t version = at ? (size_t)(at - line.at) : 0;
    if (h->final || version < sizeof "HTTP/2" - 1 || line.len - version < 4 ||
        (line.len - version > 4 && at[4] != ' '))
        return false;
    for (int i = 1; i <= 3; i++)
        if (at[i] < '0' || at[i] > '9')
            return false;
    h->code = 100 * (at[1] - '0') + 10 * (at[2] - '0') + (at[3] - '0');
    h->http10 = span_is((struct span){ line.at, version }, "HTTP/1.0");
    h->lengths = h->codings = 0;
    h->type[0] = '\0';
    return h->code >= 100 && h->code != 101;
}

/* Two lengths, or a length and chunks: which one holds is how answers are smuggled.  So is framing
 * where there can be none, which is also what a trailer must not have. */
static bool framing_is_plain(const struct http_headers *h)
{
    unsigned most = h->code < 200 ? 0 : 1;
    return h->lengths + h->codings <= most && !(h->codings && h->http10);
}

static int64_t wall_seconds(void *backend)
{
    const struct env *env = ((struct http_backend *)backend)->env;
    return env->wall_us(env->arg) / 1000000;
}

static bool take_line(struct http_call *c, struct span line)
{
    struct http_headers *h = &c->headers;
    if (line.len < 2 || memcmp(line.at + line.len - 2, "\r\n", 2) != 0)
        return false;
    struct span text = { line.at, line.len - 2 };
    if (text.len == 0) {
        h->final = h->final || h->code >= 200;
        return framing_is_plain(h);
    }
    if (!is_value(text))
        return false;
    if (text.len > 5 && memcmp(text.at, "HTTP/", 5) == 0)
        return take_status(h, text);
    struct span name = { text.at, 0 };
    while (name.len < text.len && is_tchar[(unsigned char)text.at[name.len]])
        name.len++;
    if (name.len == 0 || name.len == text.len || text.at[name.len] != ':')
        return false;
    rate_map_line(c->backend->rows.rates, line, wall_seconds, c->backend, &h->rates);
    return take_field(c, name,
                      trimmed((struct span){ text.at + name.len + 1, text.len - name.len - 1 })) &&
           framing_is_plain(h);
}

size_t http_on_header(char *bytes, size_t size, size_t count, void *call)
{
    struct http_call *c = call;
    struct span line = { bytes, size * count };
    if (!c->answered)
        c->last_byte_ms = http_now_ms(c->backend);
    c->answered = true;
    c->headers.bytes += line.len;
    c->headers.lines++;
    if (c->ended)
        return HTTP_REFUSE;
    if (c->headers.bytes > HTTP_HEADER_BYTES_MAX || c->headers.lines > HTTP_HEADER_LINES_MAX ||
        !take_line(c, line))
        return http_refuse(c, STATUS_BACKEND_GARBAGE);
    return line.len;
}
