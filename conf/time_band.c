/* conf/time_band.c -- see time_band.h. */
#include "conf/time_band.h"
#include <assert.h>
#include <stdio.h>

static const char days[][4] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
enum { DAYS = sizeof days / sizeof *days };

/* ---- reading ------------------------------------------------------------------------------- */

/* What stands before the next `end` or the end of the text, which it is taken from. */
static struct span take(struct span *text, char end)
{
    const char *found = text->len ? memchr(text->at, end, text->len) : NULL;
    struct span part = { text->at, found ? (size_t)(found - text->at) : text->len };
    size_t used = part.len + (found != NULL);
    *text = (struct span){ text->at + used, text->len - used };
    return part;
}

/* take() cannot tell a list whose last element is empty from one without it. */
static bool ends_in_comma(struct span text)
{
    return text.len && text.at[text.len - 1] == ',';
}

static int day_number(struct span name)
{
    for (int i = 0; i < DAYS; i++)
        if (span_is(name, days[i]))
            return i;
    return -1;
}

static bool read_days(struct span text, uint8_t *ret)
{
    *ret = 0;
    if (ends_in_comma(text))
        return false;
    do {
        struct span last = take(&text, ',');
        bool range = memchr(last.at, '-', last.len) != NULL;
        struct span first = range ? take(&last, '-') : last;
        int from = day_number(first), to = day_number(last);
        if (from < 0 || to < from)
            return false;
        for (int day = from; day <= to; day++) {
            if (*ret & 1u << day)
                return false;
            *ret |= (uint8_t)(1u << day);
        }
    } while (text.len);
    return true;
}

/* "06:30"; 24:00 is the end of a day. */
static bool read_minute(struct span text, uint16_t *ret)
{
    if (text.len != 5 || text.at[2] != ':')
        return false;
    for (int i = 0; i < 5; i++)
        if (i != 2 && (text.at[i] < '0' || text.at[i] > '9'))
            return false;
    unsigned hour = (unsigned)(text.at[0] - '0') * 10 + (unsigned)(text.at[1] - '0');
    unsigned minute = (unsigned)(text.at[3] - '0') * 10 + (unsigned)(text.at[4] - '0');
    *ret = (uint16_t)(hour * 60 + minute);
    return minute < 60 && *ret <= TIME_DAY_MINUTES;
}

static const char *read_windows(struct span text, struct time_band *b)
{
    static const char form[] = "hours are written 01:00-04:00, several with a comma between them";
    if (ends_in_comma(text))
        return form;
    do {
        struct span to = take(&text, ','), from = take(&to, '-');
        struct time_window w = { 0, 0 };
        if (!read_minute(from, &w.from) || !read_minute(to, &w.to))
            return form;
        if (w.from >= w.to)
            return "hours end after they begin; what passes midnight is two bands";
        if (b->count == TIME_WINDOWS_MAX)
            return "there may be at most four windows of hours";
        if (b->count && w.from <= b->window[b->count - 1].to)
            return "hours are in ascending order and do not touch";
        b->window[b->count++] = w;
    } while (text.len);
    return NULL;
}

const char *time_band_read(struct span text, char gap, struct time_band *ret)
{
    struct time_band b = { 0 };
    struct span zone = take(&text, gap), names = take(&text, gap);
    if (!span_is(zone, "UTC"))
        return "a band of time begins with UTC: other zones have hours that come twice";
    if (!names.len || !read_days(names, &b.days))
        return "days are written Mon-Fri or Sat or Mon,Wed, each at most once";
    if (!text.len)
        return "the hours are missing, such as 01:00-04:00; a whole day is 00:00-24:00";
    const char *wrong = read_windows(text, &b);
    if (!wrong)
        *ret = b;
    return wrong;
}

/* ---- writing ------------------------------------------------------------------------------- */

char *time_band_text(const struct time_band *b, char gap, char buf[static TIME_BAND_TEXT_BYTES])
{
    size_t len = 0;
    buf[0] = '\0';
    if (!b->days)
        return buf;
    len += (size_t)snprintf(buf, TIME_BAND_TEXT_BYTES, "UTC");
    char before = gap;
    for (int i = 0; i < DAYS; i++)
        if (b->days & 1u << i) {
            len += (size_t)snprintf(buf + len, TIME_BAND_TEXT_BYTES - len, "%c%s", before, days[i]);
            before = ',';
        }
    before = gap;
    for (unsigned i = 0; i < b->count; i++, before = ',') {
        const struct time_window *w = &b->window[i];
        len += (size_t)snprintf(buf + len, TIME_BAND_TEXT_BYTES - len, "%c%02u:%02u-%02u:%02u",
                                before, w->from / 60u, w->from % 60u, w->to / 60u, w->to % 60u);
    }
    assert(len < TIME_BAND_TEXT_BYTES);
    return buf;
}

/* ---- asking -------------------------------------------------------------------------------- */

bool time_band_holds_minute(const struct time_band *b, unsigned minute)
{
    if (!b->days)
        return true;
    unsigned of_day = minute % TIME_DAY_MINUTES;
    if (!(b->days >> minute / TIME_DAY_MINUTES & 1))
        return false;
    for (unsigned i = 0; i < b->count; i++)
        if (of_day >= b->window[i].from && of_day < b->window[i].to)
            return true;
    return false;
}

bool time_band_holds(const struct time_band *b, int64_t us)
{
    assert(us >= 0);
    int64_t minutes = us / 60000000 + 3 * TIME_DAY_MINUTES; /* 1970 began on a Thursday */
    return time_band_holds_minute(b, (unsigned)(minutes % TIME_WEEK_MINUTES));
}
