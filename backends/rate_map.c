/* backends/rate_map.c -- see rate_map.h. */
#include "backends/rate_map.h"
#include <strings.h>
#include <time.h>

enum { REQUESTS, TOKENS, INPUT_TOKENS, OUTPUT_TOKENS };

#define RETRY_ROWS                                 \
    { "retry-after-ms", RATE_RETRY, RATE_MS, 0 },  \
    {                                              \
        "retry-after", RATE_RETRY, RATE_SECONDS, 0 \
    }

static const struct rate_row openai_rows[] = {
    RETRY_ROWS,
    { "x-ratelimit-remaining-requests", RATE_LEFT, RATE_NUMBER, REQUESTS },
    { "x-ratelimit-reset-requests", RATE_RESET, RATE_DURATION, REQUESTS },
    { "x-ratelimit-remaining-tokens", RATE_LEFT, RATE_NUMBER, TOKENS },
    { "x-ratelimit-reset-tokens", RATE_RESET, RATE_DURATION, TOKENS },
};

#define ANTHROPIC "anthropic-ratelimit-"
static const struct rate_row anthropic_rows[] = {
    RETRY_ROWS,
    { ANTHROPIC "requests-remaining", RATE_LEFT, RATE_NUMBER, REQUESTS },
    { ANTHROPIC "requests-reset", RATE_RESET, RATE_TIME, REQUESTS },
    { ANTHROPIC "tokens-remaining", RATE_LEFT, RATE_NUMBER, TOKENS },
    { ANTHROPIC "tokens-reset", RATE_RESET, RATE_TIME, TOKENS },
    { ANTHROPIC "input-tokens-remaining", RATE_LEFT, RATE_NUMBER, INPUT_TOKENS },
    { ANTHROPIC "input-tokens-reset", RATE_RESET, RATE_TIME, INPUT_TOKENS },
    { ANTHROPIC "output-tokens-remaining", RATE_LEFT, RATE_NUMBER, OUTPUT_TOKENS },
    { ANTHROPIC "output-tokens-reset", RATE_RESET, RATE_TIME, OUTPUT_TOKENS },
};

#define ROWS(rows)                       \
    {                                    \
        rows, sizeof rows / sizeof *rows \
    }
static const struct rate_map maps[RATE_MAP_COUNT] = {
    [RATE_MAP_OPENAI] = ROWS(openai_rows),
    [RATE_MAP_ANTHROPIC] = ROWS(anthropic_rows),
};

const struct rate_map *rate_map_find(enum rate_map_id id)
{
    return &maps[id];
}

/* ---- values ---- */

struct text { /* what is left to read */
    const char *at, *end;
};

static bool digit_at(const struct text *t)
{
    return t->at < t->end && *t->at >= '0' && *t->at <= '9';
}

/* Digits and perhaps a fraction, in thousandths.  False: no digit, or more than can be. */
static bool read_thousandths(struct text *t, int64_t *ret)
{
    int64_t value = 0;
    int decimals = 0;
    if (!digit_at(t))
        return false;
    for (; digit_at(t); t->at++)
        if ((value = 10 * value + (*t->at - '0')) > INT64_C(1000000000000))
            return false;
    if (t->at < t->end && *t->at == '.')
        for (t->at++; digit_at(t); t->at++)
            if (decimals < 3) {
                value = 10 * value + (*t->at - '0');
                decimals++;
            }
    for (; decimals < 3; decimals++)
        value *= 10;
    *ret = value;
    return true;
}

static bool word_at(struct text *t, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(t->end - t->at) < len || memcmp(t->at, word, len) != 0)
        return false;
    t->at += len;
    return true;
}

/* Go's "1h2m3.5s", "120ms"; and "12": seconds. */
static bool read_duration(struct text t, int64_t *ret_ms)
{
    int64_t total = 0, part;
    do {
        if (!read_thousandths(&t, &part))
            return false;
        if (word_at(&t, "ms"))
            total += part / 1000;
        else if (word_at(&t, "h"))
            total += 3600 * part;
        else if (word_at(&t, "m"))
            total += 60 * part;
        else if (word_at(&t, "s") || t.at == t.end)
            total += part;
        else
            return false;
    } while (t.at < t.end && total < INT64_C(1000000000000));
    *ret_ms = total;
    return true;
}

static bool read_number(struct text t, int64_t *ret)
{
    int64_t thousandths;
    bool ok = read_thousandths(&t, &thousandths) && t.at == t.end;
    *ret = ok ? thousandths / 1000 : 0;
    return ok;
}

struct clock {
    int64_t (*wall_s)(void *arg);
    void *arg;
};

/* A point in time, as milliseconds from now; the past is now. */
static bool read_time(struct text t, const char *format, const struct clock *clock, int64_t *ret_ms)
{
    char copy[64];
    struct tm utc = { 0 };
    size_t len = (size_t)(t.end - t.at);
    if (len >= sizeof copy)
        return false;
    memcpy(copy, t.at, len);
    copy[len] = '\0';
    const char *end = strptime(copy, format, &utc);
    if (!end || *end)
        return false;
    int64_t ahead = (int64_t)timegm(&utc) - clock->wall_s(clock->arg);
    if (ahead > RATE_WAIT_MS_MAX / 1000)
        ahead = RATE_WAIT_MS_MAX / 1000;
    *ret_ms = ahead > 0 ? ahead * 1000 : 0;
    return true;
}

static bool read_value(struct text t, enum rate_form form, const struct clock *clock, int64_t *ret)
{
    switch (form) {
    case RATE_NUMBER:
        return read_number(t, ret);
    case RATE_MS:
        return read_number(t, ret);
    case RATE_SECONDS:
        return digit_at(&t) ? read_duration(t, ret)
                            : read_time(t, "%a, %d %b %Y %H:%M:%S GMT", clock, ret);
    case RATE_DURATION:
        return read_duration(t, ret);
    case RATE_TIME:
        return read_time(t, "%Y-%m-%dT%H:%M:%SZ", clock, ret);
    }
    return false;
}

/* ---- lines ---- */

/* The value of the line when its name is this one. */
static bool value_of(struct span line, const char *name, struct text *ret)
{
    size_t len = strlen(name);
    if (line.len <= len || line.at[len] != ':' || strncasecmp(line.at, name, len) != 0)
        return false;
    *ret = (struct text){ line.at + len + 1, line.at + line.len };
    while (ret->at < ret->end && (*ret->at == ' ' || *ret->at == '\t'))
        ret->at++;
    while (ret->end > ret->at && strchr(" \t\r\n", ret->end[-1]))
        ret->end--;
    return true;
}

static int64_t at_most(int64_t ms)
{
    return ms < RATE_WAIT_MS_MAX ? ms : RATE_WAIT_MS_MAX;
}

static void note(const struct rate_row *row, int64_t value, struct rates *r)
{
    switch (row->what) {
    case RATE_RETRY:
        if (!r->retry_exact)
            r->retry_ms = (uint32_t)at_most(value);
        r->retry_exact = r->retry_exact || row->form == RATE_MS;
        return;
    case RATE_LEFT:
        r->told[row->bucket] = true;
        r->left[row->bucket] = value;
        return;
    case RATE_RESET:
        r->reset_told[row->bucket] = true;
        r->reset_ms[row->bucket] = at_most(value);
        return;
    }
}

void rate_map_line(const struct rate_map *m, struct span line, int64_t (*wall_s)(void *arg),
                   void *arg, struct rates *r)
{
    const struct clock clock = { wall_s, arg };
    char first = line.len ? (char)(line.at[0] | 0x20) : '\0'; /* of a letter: lower case */
    for (const struct rate_row *row = m->rows; row < m->rows + m->count; row++) {
        struct text text;
        int64_t value;
        if (row->header[0] != first || !value_of(line, row->header, &text))
            continue;
        if (read_value(text, row->form, &clock, &value))
            note(row, value, r);
        return;
    }
}

uint32_t rates_wait_ms(const struct rates *r)
{
    int64_t longest = 0;
    for (unsigned i = 0; i < RATE_BUCKETS; i++)
        if (r->told[i] && r->left[i] == 0 && r->reset_told[i] && r->reset_ms[i] > longest)
            longest = r->reset_ms[i];
    return r->retry_ms ? r->retry_ms : (uint32_t)longest;
}
