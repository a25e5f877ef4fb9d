/* gateway/admin_args.c -- dates as operators write them. */
#include "gateway/admin_args.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { EXPIRY_DIGITS_MAX = 5 };
#define EXPIRY_AHEAD_MAX (3653 * DAY_US)

/* strptime is lenient about spaces and digits: what it read must print as it was written. */
static bool prints_as(const struct tm *utc, bool whole_day, const char *text)
{
    char again[64];
    int len = snprintf(again, sizeof again, "%04d-%02d-%02d", utc->tm_year + 1900, utc->tm_mon + 1,
                       utc->tm_mday);
    if (!whole_day && len > 0)
        snprintf(again + len, sizeof again - (size_t)len, "T%02d:%02d:%02dZ", utc->tm_hour,
                 utc->tm_min, utc->tm_sec);
    return strcmp(again, text) == 0;
}

bool admin_read_time(const char *text, int64_t *ret_us)
{
    struct tm utc = { 0 }, normal;
    bool whole_day = !strchr(text, 'T');
    const char *end = strptime(text, whole_day ? "%Y-%m-%d" : "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (!end || *end != '\0')
        return false;
    time_t seconds = timegm(&utc);
    if (seconds < 0 || !gmtime_r(&seconds, &normal) || !prints_as(&normal, whole_day, text))
        return false;
    *ret_us = (int64_t)seconds * 1000000;
    return true;
}

/* "30d", "12h". */
static bool read_span(const char *text, int64_t *ret_us)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > EXPIRY_DIGITS_MAX || strlen(text) != digits + 1)
        return false;
    char unit = text[digits];
    if (unit != 'd' && unit != 'h')
        return false;
    int64_t count = 0;
    for (size_t i = 0; i < digits; i++)
        count = 10 * count + (text[i] - '0');
    *ret_us = count * (unit == 'd' ? DAY_US : HOUR_US);
    return true;
}

bool admin_read_expiry(const char *text, int64_t now_us, int64_t *ret_us)
{
    int64_t at = 0, ahead = 0;
    if (read_span(text, &ahead))
        at = now_us + ahead;
    else if (!admin_read_time(text, &at))
        return false;
    if (at <= now_us || at - now_us > EXPIRY_AHEAD_MAX)
        return false;
    *ret_us = at;
    return true;
}

int64_t admin_month_start(int64_t now_us)
{
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm utc = { 0 };
    gmtime_r(&seconds, &utc);
    struct tm first = { .tm_year = utc.tm_year, .tm_mon = utc.tm_mon, .tm_mday = 1 };
    return (int64_t)timegm(&first) * 1000000;
}
