/* gateway/query.c -- see query.h. */
#include "gateway/query.h"
#include <string.h>
#include <time.h>

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

/* '9' stands for a digit, anything else for itself. */
static bool looks_like(const char *text, const char *pattern)
{
    for (; *pattern; text++, pattern++)
        if (*pattern == '9' ? *text < '0' || *text > '9' : *text != *pattern)
            return false;
    return true;
}

/* Behind the seconds: a fraction that is dropped, and the offset in minutes. */
static bool read_offset(const char *at, int *ret_minutes)
{
    *ret_minutes = 0;
    if (*at == '.' && strspn(at + 1, "0123456789") > 0)
        at += 1 + strspn(at + 1, "0123456789");
    if (strcmp(at, "Z") == 0)
        return true;
    if ((*at != '+' && *at != '-' && *at != ' ') || !looks_like(at + 1, "99:99") || at[6])
        return false;
    int hours = (at[1] - '0') * 10 + at[2] - '0', minutes = (at[4] - '0') * 10 + at[5] - '0';
    *ret_minutes = (hours * 60 + minutes) * (*at == '-' ? -1 : 1);
    return hours < 24 && minutes < 60;
}

bool query_instant(const char *text, int64_t *ret_us)
{
    enum { HEAD = sizeof "2026-11-01T00:00:00" - 1 };
    struct tm tm = { 0 }, normal;
    char again[32];
    int offset;
    if (!looks_like(text, "9999-99-99T99:99:99") || !read_offset(text + HEAD, &offset) ||
        !strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
        return false;
    time_t seconds = timegm(&tm);
    if (!gmtime_r(&seconds, &normal) ||
        strftime(again, sizeof again, "%Y-%m-%dT%H:%M:%S", &normal) != HEAD ||
        memcmp(again, text, HEAD) != 0) /* a 31st of February */
        return false;
    seconds -= offset * (time_t)60;
    if (seconds < 0 || seconds > 9999999999)
        return false;
    *ret_us = (int64_t)seconds * 1000000;
    return true;
}
