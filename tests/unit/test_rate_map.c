/* tests/unit/test_rate_map.c -- headers that say how much is left, in every form they come. */
#include "backends/rate_map.h"
#include <check.h>
#include <stdio.h>

enum { NOW_S = 1790000000 }; /* 2026-09-21T14:13:20Z */

static int64_t wall_s(void *arg)
{
    (void)arg;
    return NOW_S;
}

/* Lines of an answer's head, each with its end. */
static struct rates read_head(enum rate_map_id id, const char *head)
{
    struct rates r = { 0 };
    while (*head) {
        const char *lf = strchr(head, '\n');
        size_t len = lf ? (size_t)(lf + 1 - head) : strlen(head);
        rate_map_line(rate_map_find(id), (struct span){ head, len }, wall_s, NULL, &r);
        head += len;
    }
    return r;
}

#define OPENAI    RATE_MAP_OPENAI
#define ANTHROPIC RATE_MAP_ANTHROPIC
#define NONE_LEFT "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: "

static const struct {
    const char *label;
    enum rate_map_id id;
    const char *head;
    uint32_t wait_ms;
} cases[] = {
    { "nothing", OPENAI, "content-type: text/plain\r\n\r\n", 0 },
    { "seconds", OPENAI, "Retry-After: 7\r\n", 7000 },
    { "seconds without a space", OPENAI, "retry-after:7\r\n", 7000 },
    { "a fraction", OPENAI, "retry-after: 0.25\r\n", 250 },
    { "milliseconds", OPENAI, "retry-after-ms: 1500\r\n", 1500 },
    { "milliseconds are exact", OPENAI, "retry-after-ms: 1500\r\nretry-after: 2\r\n", 1500 },
    { "in this order, too", OPENAI, "retry-after: 2\r\nretry-after-ms: 1500\r\n", 1500 },
    { "a date", OPENAI, "retry-after: Mon, 21 Sep 2026 14:13:50 GMT\r\n", 30000 },
    { "a date that is over", OPENAI, "retry-after: Mon, 21 Sep 2026 14:13:00 GMT\r\n", 0 },
    { "a date far ahead", OPENAI, "retry-after: Mon, 21 Sep 2099 14:13:00 GMT\r\n", 3600000 },
    { "an hour at most", OPENAI, "retry-after: 99999\r\n", 3600000 },
    { "no number", OPENAI, "retry-after: soon\r\n", 0 },
    { "negative", OPENAI, "retry-after: -5\r\n", 0 },
    { "empty", OPENAI, "retry-after:\r\n", 0 },
    { "more behind it", OPENAI, "retry-after: 5 minutes\r\n", 0 },
    { "beyond 64 bits", OPENAI, "retry-after: 99999999999999999999999\r\n", 0 },
    { "a longer name", OPENAI, "retry-after-x: 5\r\n", 0 },
    { "none left", OPENAI, NONE_LEFT "1s\r\n", 1000 },
    { "none left, minutes", OPENAI, NONE_LEFT "6m0s\r\n", 360000 },
    { "none left, all units", OPENAI, NONE_LEFT "0h1m2.5s\r\n", 62500 },
    { "none left, milliseconds", OPENAI, NONE_LEFT "120ms\r\n", 120 },
    { "none left, a bare number", OPENAI, NONE_LEFT "12\r\n", 12000 },
    { "none left, an unknown unit", OPENAI, NONE_LEFT "2d\r\n", 0 },
    { "none left, nobody knows when it comes back", OPENAI, "x-ratelimit-remaining-requests: 0\r\n",
      0 },
    { "some left", OPENAI,
      "x-ratelimit-remaining-requests: 1\r\nx-ratelimit-reset-requests: 1s\r\n", 0 },
    { "the longer of two", OPENAI,
      NONE_LEFT "1s\r\nx-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 3s\r\n", 3000 },
    { "each bucket its own reset", OPENAI,
      "x-ratelimit-remaining-requests: 9\r\nx-ratelimit-reset-requests: 9s\r\n"
      "x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 3s\r\n",
      3000 },
    { "what is said comes first", OPENAI, NONE_LEFT "9s\r\nretry-after: 2\r\n", 2000 },
    { "another vendor's", OPENAI, "anthropic-ratelimit-requests-remaining: 0\r\n", 0 },
    { "a point in time", ANTHROPIC,
      "anthropic-ratelimit-requests-remaining: 0\r\n"
      "anthropic-ratelimit-requests-reset: 2026-09-21T14:13:25Z\r\n",
      5000 },
    { "output tokens", ANTHROPIC,
      "Anthropic-RateLimit-Output-Tokens-Remaining: 0\r\n"
      "anthropic-ratelimit-output-tokens-reset: 2026-09-21T14:14:20Z\r\n",
      60000 },
    { "no point in time", ANTHROPIC,
      "anthropic-ratelimit-requests-remaining: 0\r\n"
      "anthropic-ratelimit-requests-reset: tomorrow\r\n",
      0 },
    { "a value longer than any date", ANTHROPIC,
      "anthropic-ratelimit-requests-remaining: 0\r\nanthropic-ratelimit-requests-reset: "
      "2026-09-21T14:13:25Z2026-09-21T14:13:25Z2026-09-21T14:13:25Z2026-09-21T14:13:25Z\r\n",
      0 },
    { "seconds, of every vendor", ANTHROPIC, "retry-after: 3\r\n", 3000 },
};

START_TEST(test_wait)
{
    struct rates r = read_head(cases[_i].id, cases[_i].head);
    ck_assert_msg(rates_wait_ms(&r) == cases[_i].wait_ms, "%s: %u", cases[_i].label,
                  rates_wait_ms(&r));
}
END_TEST

Suite *rate_map_suite(void);
Suite *rate_map_suite(void)
{
    Suite *s = suite_create("rate_map");
    TCase *t = tcase_create("rate_map");
    tcase_add_loop_test(t, test_wait, 0, sizeof cases / sizeof *cases);
    suite_add_tcase(s, t);
    return s;
}
