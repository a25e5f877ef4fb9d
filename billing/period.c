/* billing/period.c -- hours and months in UTC.  A month begins and ends at
 * instants; which one a settlement lies in depends on settled_us alone. */
#include "billing/period.h"
#include "billing/report.h"
#include <assert.h>
#include <string.h>
#include <time.h>

static struct tm civil(int64_t us)
{
    assert(us >= 0);
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    struct tm *done = gmtime_r(&seconds, &tm);
    assert(done);
    return tm;
}

static int64_t month_start(int year, int month)
{
    struct tm tm = { .tm_year = year - 1900, .tm_mon = month, .tm_mday = 1 };
    return (int64_t)timegm(&tm) * 1000000; /* month 12 is the next January */
}

int64_t period_hour(int64_t us)
{
    return us - us % HOUR_US;
}

void period_month(int64_t us, int64_t *ret_from_us, int64_t *ret_to_us)
{
    struct tm tm = civil(us);
    *ret_from_us = month_start(tm.tm_year + 1900, tm.tm_mon);
    *ret_to_us = month_start(tm.tm_year + 1900, tm.tm_mon + 1);
}

char *period_instant_text(int64_t us, char buf[static PERIOD_TEXT_BYTES])
{
    struct tm tm = civil(us);
    size_t written = strftime(buf, PERIOD_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
    assert(written > 0);
    return buf;
}

static bool digits(const char *text, int count, int *ret)
{
    *ret = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *ret = *ret * 10 + (text[i] - '0');
    }
    return true;
}

bool report_month(const char *month, int64_t *ret_from_us, int64_t *ret_to_us)
{
    int year, number;
    if (strlen(month) != 7 || month[4] != '-' || !digits(month, 4, &year) ||
        !digits(month + 5, 2, &number))
        return false;
    if (year < 1970 || number < 1 || number > 12)
        return false;
    *ret_from_us = month_start(year, number - 1);
    *ret_to_us = month_start(year, number);
    return true;
}
