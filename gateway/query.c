/* gateway/query.c -- see query.h. */
#include "gateway/query.h"
#include <string.h>

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static int decoded_byte(const char *at, const char *end)
{
    if (*at != '%')
        return *at == '+' ? ' ' : (unsigned char)*at;
    return end - at > 2 && hex(at[1]) >= 0 && hex(at[2]) >= 0 ? hex(at[1]) * 16 + hex(at[2]) : -1;
}

static enum status decode(struct span raw, struct arena *a, char **ret)
{
    const char *at = raw.at, *end = raw.at + raw.len;
    char *text = arena_alloc(a, raw.len + 1), *to = text;
    if (!text)
        return STATUS_NO_MEMORY;
    for (; at < end; at += *at == '%' ? 3 : 1) {
        int byte = decoded_byte(at, end);
        if (byte < 0x20 || byte == 0x7f)
            return STATUS_BAD_FIELD;
        *to++ = (char)byte;
    }
    *to = '\0';
    *ret = text;
    return STATUS_OK;
}

static struct span take_until(struct span *rest, char mark)
{
    const char *end = memchr(rest->at, mark, rest->len);
    struct span taken = { rest->at, end ? (size_t)(end - rest->at) : rest->len };
    size_t skip = taken.len + (end != NULL);
    *rest = (struct span){ rest->at + skip, rest->len - skip };
    return taken;
}

static void cut_brackets(char *name)
{
    size_t len = strlen(name);
    if (len > 2 && strcmp(name + len - 2, "[]") == 0)
        name[len - 2] = '\0';
}

enum status query_next(struct span *rest, struct arena *a, struct query_pair *ret)
{
    struct span value = { "", 0 };
    *ret = (struct query_pair){ NULL, NULL };
    while (rest->len > 0 && value.len == 0)
        value = take_until(rest, '&');
    if (value.len == 0)
        return STATUS_OK;
    struct span raw_name = take_until(&value, '=');
    char *name, *text;
    enum status s = decode(raw_name, a, &name);
    if (!s)
        s = decode(value, a, &text);
    if (s)
        return s;
    cut_brackets(name);
    *ret = (struct query_pair){ name, text };
    return STATUS_OK;
}

bool query_number(const char *text, int64_t from, int64_t to, int64_t *ret)
{
    size_t len = strlen(text);
    int64_t n = 0;
    if (len == 0 || len > 15 || strspn(text, "0123456789") != len)
        return false;
    for (size_t i = 0; i < len; i++)
        n = n * 10 + (text[i] - '0');
    if (n < from || n > to)
        return false;
    *ret = n;
    return true;
}
