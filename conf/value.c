/* conf/value.c -- numbers, sizes, times, dates and names of the configuration file. */
#include "conf/value.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* The largest first, so that a number is written with the largest unit that divides it. */
static const struct unit byte_units[] = {
    { "G", UINT64_C(1) << 30 }, { "M", 1 << 20 }, { "K", 1 << 10 }, { "", 1 }, { NULL, 0 }
};
static const struct unit time_units[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
                                          { "ms", 1 },      { "", 1 },      { NULL, 0 } };
static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *units_of(enum conf_type type)
{
    return type == CONF_BYTES ? byte_units : type == CONF_MSEC ? time_units : no_units;
}

static bool digits(const char **at, uint64_t *ret)
{
    uint64_t n = 0;
    const char *p = *at;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(n, UINT64_C(10), &n) ||
            __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
            return false;
    if (p == *at)
        return false;
    *at = p;
    *ret = n;
    return true;
}

bool value_number(enum conf_type type, const char *text, uint64_t *ret)
{
    uint64_t n;
    if (!digits(&text, &n))
        return false;
    const struct unit *u = units_of(type);
    while (u->suffix && strcmp(u->suffix, text))
        u++;
    if (!u->suffix || __builtin_mul_overflow(n, u->factor, &n))
        return false;
    *ret = n;
    return true;
}

char *value_number_text(enum conf_type type, uint64_t value, char text[static VALUE_TEXT_BYTES])
{
    const struct unit *u = value ? units_of(type) : no_units;
    while (value % u->factor)
        u++;
    snprintf(text, VALUE_TEXT_BYTES, "%llu%s", (unsigned long long)(value / u->factor), u->suffix);
    return text;
}

static bool leap(uint64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static uint64_t days_in(uint64_t year, unsigned month)
{
    static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return days[month - 1] + (month == 2 && leap(year) ? 1u : 0u);
}

bool value_date(const char *text, uint64_t *ret)
{
    if (strlen(text) != 10 || text[4] != '-' || text[7] != '-')
        return false;
    uint64_t part[3];
    const char *at = text;
    for (unsigned i = 0; i < 3; i++, at++)
        if (!digits(&at, &part[i]) || at != text + (i == 0 ? 4 : i == 1 ? 7 : 10))
            return false;
    uint64_t year = part[0], day = part[2];
    unsigned month = (unsigned)part[1];
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in(year, month))
        return false;
    uint64_t days = day - 1;
    for (uint64_t y = 1970; y < year; y++)
        days += leap(y) ? 366 : 365;
    for (unsigned m = 1; m < month; m++)
        days += days_in(year, m);
    *ret = days * 86400;
    return true;
}

char *value_date_text(uint64_t seconds, char text[static VALUE_TEXT_BYTES])
{
    uint64_t days = seconds / 86400, year = 1970;
    unsigned month = 1;
    for (; days >= (leap(year) ? 366u : 365u); year++)
        days -= leap(year) ? 366 : 365;
    for (; days >= days_in(year, month); month++)
        days -= days_in(year, month);
    snprintf(text, VALUE_TEXT_BYTES, "%04u-%02u-%02u", (unsigned)(year % 10000), month % 100,
             (unsigned)(days + 1) % 100);
    return text;
}

bool value_micros(const char *text, int64_t *ret)
{
    bool negative = *text == '-';
    const char *at = text + negative;
    if (at[0] == '0' && at[1] >= '0' && at[1] <= '9') /* not a JSON number */
        return false;
    uint64_t whole, micros = 0;
    if (!digits(&at, &whole) || whole > INT64_MAX / 1000000 - 1)
        return false;
    if (*at == '.') {
        const char *begin = ++at;
        if (!digits(&at, &micros) || at - begin > 6)
            return false;
        for (ptrdiff_t i = at - begin; i < 6; i++)
            micros *= 10;
    }
    if (*at)
        return false;
    int64_t n = (int64_t)(whole * 1000000 + micros);
    *ret = negative ? -n : n;
    return true;
}

int value_choice(const char *text, const char *choices)
{
    size_t len = strlen(text);
    for (int at = 0;; at++) {
        size_t word = strcspn(choices, "|");
        if (len && word == len && !memcmp(text, choices, len))
            return at;
        if (!choices[word])
            return -1;
        choices += word + 1;
    }
}

bool value_printable(const char *text, bool lines)
{
    for (; *text; text++)
        if (((unsigned char)*text < 0x20 && !(lines && (*text == '\n' || *text == '\t'))) ||
            *text == 0x7f)
            return false;
    return true;
}

bool value_segment(const char *text, size_t len)
{
    if (len < 1 || len > 63)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return true;
}

bool value_host_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon || colon == text || !value_number(CONF_COUNT, colon + 1, &port) || port > 65535)
        return false;
    size_t len = (size_t)(colon - text);
    if (text[0] == '[')
        return len > 2 && text[len - 1] == ']' &&
               strspn(text + 1, "0123456789abcdefABCDEF:.") == len - 2;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '.' && text[i] != '-')
            return false;
    return len <= 253;
}

bool value_path(const char *text, size_t max)
{
    return text[0] == '/' && strlen(text) <= max;
}
