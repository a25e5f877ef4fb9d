/* gateway/guard.c -- see guard.h.  What is refused here closes the connection. */
#include "gateway/guard.h"
#include <string.h>
#include <strings.h>

static void breach(struct guard *g, enum status s, const char *what)
{
    if (g->bad)
        return;
    g->bad = true;
    g->status = s;
    g->what = what;
}

/* RFC 9110 5.6.2: token = 1*tchar. */
static bool is_token(struct span s)
{
    static const char extra[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (c == 0 || !strchr(extra, c)))
            return false;
    }
    return s.len > 0;
}

/* RFC 9110 5.5: no control characters but tab; obs-text is refused, too: no
 * header that means anything to us carries it. */
static bool is_field_value(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if ((c < 0x20 && c != '\t') || c >= 0x7f)
            return false;
    }
    return true;
}

void guard_method(struct guard *g, const char *method)
{
    if (!is_token((struct span){ method, strlen(method) }))
        breach(g, STATUS_BAD_FRAMING, "the method has a character that is not allowed");
}

static bool named(struct span name, const char *lower)
{
    return name.len == strlen(lower) && strncasecmp(name.at, lower, name.len) == 0;
}

static bool parse_length(struct span v, uint64_t *ret)
{
    uint64_t n = 0;
    if (v.len == 0 || v.len > 18 || (v.len > 1 && v.at[0] == '0')) /* 010: eight or ten? */
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (v.at[i] < '0' || v.at[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(v.at[i] - '0');
    }
    *ret = n;
    return true;
}

static void take_length(struct guard *g, struct span value)
{
    g->lengths++;
    g->has_length = true;
    if (!parse_length(value, &g->length))
        breach(g, STATUS_BAD_FRAMING, "Content-Length must be a decimal number");
}

static void take_coding(struct guard *g, struct span value)
{
    g->codings++;
    g->chunked = named(value, "chunked");
    if (!g->chunked)
        breach(g, STATUS_TE_NOT_SUPPORTED, "the only Transfer-Encoding taken is chunked");
}

static void take_encoding(struct guard *g, struct span value)
{
    g->encodings++;
    if (!named(value, "identity"))
        breach(g, STATUS_UNSUPPORTED_MEDIA, "request bodies must not be compressed");
}

static void take_host(struct guard *g, struct span value)
{
    g->hosts++;
    for (size_t i = 0; i < value.len; i++)
        if (strchr(" \t,/@\\?#", value.at[i]))
            breach(g, STATUS_BAD_FRAMING, "Host must be one host name with an optional port");
}

static void take_expect(struct guard *g, struct span value)
{
    g->expects++;
    if (!named(value, "100-continue"))
        breach(g, STATUS_BAD_FRAMING, "the only expectation taken is 100-continue");
}

void guard_header(struct guard *g, struct span name, struct span value, unsigned fields_max)
{
    if (++g->fields > fields_max)
        breach(g, STATUS_HEADERS_TOO_LARGE, "too many header fields");
    if (!is_token(name))
        breach(g, STATUS_BAD_FRAMING, "a header name has a character that is not allowed");
    if (!is_field_value(value))
        breach(g, STATUS_BAD_FRAMING, "a header value has a character that is not allowed");
    if (named(name, "content-length"))
        take_length(g, value);
    else if (named(name, "transfer-encoding"))
        take_coding(g, value);
    else if (named(name, "content-encoding"))
        take_encoding(g, value);
    else if (named(name, "host"))
        take_host(g, value);
    else if (named(name, "expect"))
        take_expect(g, value);
    else if (named(name, "authorization"))
        g->authorizations++;
    else if (named(name, "x-api-key") || named(name, "api-key"))
        g->keys++;
    else if (named(name, "content-type"))
        g->types++;
}

/* A header that may come once and came more often; NULL: none. */
static const char *repeated(const struct guard *g)
{
    return g->authorizations > 1 ? "more than one Authorization header"
           : g->keys > 1         ? "more than one API key in x-api-key and api-key"
           : g->types > 1        ? "more than one Content-Type header"
           : g->encodings > 1    ? "more than one Content-Encoding header"
           : g->expects > 1      ? "more than one Expect header"
                                 : NULL;
}

enum status guard_finish(struct guard *g, const char *http_version, bool may_have_body)
{
    bool http11 = strcmp(http_version, "HTTP/1.1") == 0;
    if (g->lengths > 1 || g->codings > 1)
        breach(g, STATUS_BAD_FRAMING, "more than one Content-Length or Transfer-Encoding");
    if (g->lengths && g->codings)
        breach(g, STATUS_BAD_FRAMING, "Content-Length and Transfer-Encoding together");
    if (g->codings && !http11)
        breach(g, STATUS_BAD_FRAMING, "Transfer-Encoding needs HTTP/1.1");
    if (g->hosts > 1 || (http11 && g->hosts == 0))
        breach(g, STATUS_BAD_FRAMING, "exactly one Host header is needed");
    const char *twice = repeated(g);
    if (twice)
        breach(g, STATUS_BAD_FRAMING, twice);
    if (!may_have_body && (g->codings || (g->has_length && g->length > 0)))
        breach(g, STATUS_BAD_FRAMING, "a body is not taken with this method");
    return g->bad ? g->status : STATUS_OK;
}
