/* billing/zone.c -- TZif, version 2 and later: the second block, with 64-bit instants. */
#include "billing/zone.h"
#include "base/cleanup.h"
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 256 * 1024, HEAD_BYTES = 44, TYPES_MAX = 256 };
#define FAR_AHEAD_S INT64_C(2114380800) /* 2037-01-01 */

struct zone {
    char name[ZONE_NAME_BYTES];
    int32_t first; /* before any change */
    size_t count;
    struct change {
        int64_t from_s;
        int32_t offset_s;
    } change[];
};

struct head { /* counts of a block, RFC 9636 section 3.1 */
    uint32_t is_utc, is_std, leap, times, types, chars;
};

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t be64(const uint8_t *at)
{
    return (int64_t)((uint64_t)be32(at) << 32 | be32(at + 4));
}

static bool read_head(const uint8_t *at, size_t len, struct head *h)
{
    if (len < HEAD_BYTES || memcmp(at, "TZif", 4) != 0 || at[4] < '2')
        return false;
    *h = (struct head){ be32(at + 20), be32(at + 24), be32(at + 28),
                        be32(at + 32), be32(at + 36), be32(at + 40) };
    return h->times < FILE_BYTES_MAX && h->leap < FILE_BYTES_MAX && h->types >= 1 &&
           h->types <= TYPES_MAX && h->chars < FILE_BYTES_MAX && h->is_utc <= TYPES_MAX &&
           h->is_std <= TYPES_MAX;
}

static size_t block_bytes(const struct head *h, size_t time_bytes)
{
    return h->times * (time_bytes + 1) + h->types * 6 + h->chars + h->leap * (time_bytes + 4) +
           h->is_std + h->is_utc;
}

/* Without a rule for the years after its last change it would be wrong one day. */
static bool reaches_far(const struct zone *z, const uint8_t *footer, size_t len)
{
    bool has_rule = len && memchr(footer, ',', len);
    return !has_rule || (z->count && z->change[z->count - 1].from_s >= FAR_AHEAD_S);
}

static bool fill(struct zone *z, const struct head *h, const uint8_t *at)
{
    const uint8_t *index = at + (size_t)h->times * 8, *types = index + h->times;
    z->first = (int32_t)be32(types);
    for (size_t i = 0; i < h->times; i++) {
        if (index[i] >= h->types)
            return false;
        z->change[i] =
            (struct change){ be64(at + 8 * i), (int32_t)be32(types + (size_t)index[i] * 6) };
        if (abs(z->change[i].offset_s) > 26 * 3600 ||
            (i && z->change[i].from_s <= z->change[i - 1].from_s))
            return false;
    }
    z->count = h->times;
    return true;
}

static enum status parse(const uint8_t *at, size_t len, struct zone **ret)
{
    struct head h;
    if (!read_head(at, len, &h))
        return STATUS_STORE_FAILED;
    size_t skip = HEAD_BYTES + block_bytes(&h, 4);
    if (skip > len || !read_head(at + skip, len - skip, &h))
        return STATUS_STORE_FAILED;
    size_t begin = skip + HEAD_BYTES, end = begin + block_bytes(&h, 8);
    if (end > len)
        return STATUS_STORE_FAILED;
    struct zone *z = calloc(1, sizeof *z + h.times * sizeof z->change[0]);
    if (!z)
        return STATUS_NO_MEMORY;
    if (!fill(z, &h, at + begin) || !reaches_far(z, at + end, len - end)) {
        free(z);
        return STATUS_STORE_FAILED;
    }
    *ret = z;
    return STATUS_OK;
}

/* Letters, digits and "_+-/": no dots, so no way out of the folder. */
static bool is_name(const char *name)
{
    size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/");
    return len > 0 && len < ZONE_NAME_BYTES && name[len] == '\0' && name[0] != '/';
}

static enum status read_file(const char *name, struct zone **ret)
{
    char path[128];
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    AUTO(close_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return STATUS_NOT_FOUND;
    if (st.st_size > FILE_BYTES_MAX)
        return STATUS_STORE_FAILED;
    AUTO(free_ptr) char *bytes = malloc((size_t)st.st_size + 1);
    ssize_t len = bytes ? read(fd, bytes, (size_t)st.st_size) : -1;
    if (len < 0)
        return bytes ? STATUS_STORE_FAILED : STATUS_NO_MEMORY;
    return parse((const uint8_t *)bytes, (size_t)len, ret);
}

enum status zone_open(const char *name, struct zone **ret)
{
    if (!is_name(name))
        return STATUS_BAD_FIELD;
    struct zone *z = NULL;
    enum status s = STATUS_OK;
    if (strcmp(name, "UTC") == 0)
        s = (z = calloc(1, sizeof *z)) ? STATUS_OK : STATUS_NO_MEMORY;
    else
        s = read_file(name, &z);
    if (s)
        return s;
    memcpy(z->name, name, strlen(name) + 1);
    *ret = z;
    return STATUS_OK;
}

void zone_free(struct zone *z)
{
    free(z);
}

const char *zone_name(const struct zone *z)
{
    return z->name;
}

static int32_t offset_at(const struct zone *z, int64_t second)
{
    size_t low = 0, high = z->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (z->change[middle].from_s <= second)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? z->change[low - 1].offset_s : z->first;
}

int32_t zone_offset(const struct zone *z, int64_t us)
{
    return offset_at(z, us / 1000000);
}

/* A calendar day's midnight, were it in UTC. */
static int64_t utc_midnight(int year, int month, int day)
{
    struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day };
    return (int64_t)timegm(&tm);
}

/* Local midnight as an instant.  Where the clock jumps over it the day begins at the jump; where
 * it comes twice the first one counts. */
int64_t zone_day(const struct zone *z, int year, int month, int day)
{
    int64_t local = utc_midnight(year, month, day);
    int32_t before = offset_at(z, local - 26 * 3600), after = offset_at(z, local + 26 * 3600);
    int64_t early = local - (before > after ? before : after);
    int64_t late = local - (before > after ? after : before);
    if (early + offset_at(z, early) == local)
        return early * 1000000;
    if (late + offset_at(z, late) == local)
        return late * 1000000;
    return (local - before) * 1000000; /* skipped: the instant of the jump */
}

void zone_date(const struct zone *z, int64_t us, int *ret_year, int *ret_month, int *ret_day)
{
    time_t local = (time_t)(us / 1000000 + zone_offset(z, us));
    struct tm tm = { 0 };
    gmtime_r(&local, &tm);
    *ret_year = tm.tm_year + 1900;
    *ret_month = tm.tm_mon + 1;
    *ret_day = tm.tm_mday;
}

char *zone_day_text(const struct zone *z, int64_t us, char buf[static ZONE_DAY_BYTES])
{
    int year, month, day;
    zone_date(z, us, &year, &month, &day);
    snprintf(buf, ZONE_DAY_BYTES, "%04d-%02d-%02d", year, month, day);
    return buf;
}

int64_t zone_days(const struct zone *z, int64_t from_us, int64_t to_us)
{
    int y1, m1, d1, y2, m2, d2;
    zone_date(z, from_us, &y1, &m1, &d1);
    zone_date(z, to_us, &y2, &m2, &d2);
    return (utc_midnight(y2, m2, d2) - utc_midnight(y1, m1, d1)) / 86400;
}

void zone_month(const struct zone *z, int64_t us, int64_t *ret_from_us, int64_t *ret_to_us)
{
    int year, month, day;
    zone_date(z, us, &year, &month, &day);
    *ret_from_us = zone_day(z, year, month, 1);
    *ret_to_us = zone_day(z, year, month + 1, 1);
}
