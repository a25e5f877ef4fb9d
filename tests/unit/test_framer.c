/* tests/unit/test_framer.c -- every framer gives the same events however the bytes are cut. */
#include "backends/framer.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX = 64, RANDOM_CUTS = 300 };

struct seen {
    char text[1024]; /* "name|data;" for each event */
    unsigned stop_after;
    unsigned events;
};

static bool on_event(void *arg, const char *name, struct span data)
{
    struct seen *seen = arg;
    size_t used = strlen(seen->text);
    snprintf(seen->text + used, sizeof seen->text - used, "%s|%.*s;", name, (int)data.len, data.at);
    return ++seen->events != seen->stop_after;
}

/* A copy that is exactly as long, so that reading beyond it is seen. */
static enum status feed(struct framing *f, const char *bytes, size_t len, struct seen *seen)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    enum status s = f->framer->feed(f, (struct span){ copy, len }, on_event, seen);
    free(copy);
    return s;
}

static enum status finish(struct framing *f, enum status s, struct seen *seen)
{
    if (s == STATUS_OK)
        s = f->framer->finish(f, on_event, seen);
    f->framer->clear(f);
    return s;
}

/* In two pieces. */
static enum status run_split(enum framer_id id, const char *bytes, size_t at, struct seen *seen)
{
    struct framing f;
    framing_init(&f, id, MAX);
    enum status s = feed(&f, bytes, at, seen);
    if (s == STATUS_OK)
        s = feed(&f, bytes + at, strlen(bytes) - at, seen);
    return finish(&f, s, seen);
}

/* In pieces of random sizes, empty ones among them. */
static enum status run_random(enum framer_id id, const char *bytes, unsigned seed,
                              struct seen *seen)
{
    struct framing f;
    enum status s = STATUS_OK;
    size_t len = strlen(bytes);
    framing_init(&f, id, MAX);
    for (size_t at = 0, n; at < len && s == STATUS_OK; at += n) {
        seed = seed * 1103515245 + 12345;
        n = seed / 65536 % 9;
        if (n > len - at)
            n = len - at;
        s = feed(&f, bytes + at, n, seen);
    }
    return finish(&f, s, seen);
}

static const struct {
    const char *label;
    enum framer_id id;
    const char *bytes, *events;
} cases[] = {
    { "data only", FRAMER_SSE, "data: {\"a\":1}\n\ndata: [DONE]\n\n", "|{\"a\":1};|[DONE];" },
    { "named", FRAMER_SSE, "event: start\ndata: 1\n\nevent: error\r\ndata:2\r\n\r\ndata: 3\n\n",
      "start|1;error|2;|3;" },
    { "comments, ids, a byte order mark", FRAMER_SSE,
      "\xef\xbb\xbf: hi\n\nid: 7\nretry: 1\ndata: a\ndata: b\n\n", "|a\nb;" },
    { "no end", FRAMER_SSE, "data: 1\r\rdata: 2", "|1;|2;" },
    { "lines", FRAMER_NDJSON, "{\"a\":1}\n{\"b\":2}\n", "|{\"a\":1};|{\"b\":2};" },
    { "no last end", FRAMER_NDJSON, "{\"a\":1}\n{\"b\":2}", "|{\"a\":1};|{\"b\":2};" },
    { "carriage returns", FRAMER_NDJSON, "{}\r\n[1,\r2]\r\n", "|{}\r;|[1,\r2]\r;" },
    { "blank lines", FRAMER_NDJSON, "\n \t\r\n{}\n\n\n{}\n  ", "|{};|{};" },
    { "a line end in a text", FRAMER_NDJSON, "{\"a\":\"x\\ny\"}\n", "|{\"a\":\"x\\ny\"};" },
    { "nothing", FRAMER_NDJSON, "", "" },
    { "only line ends", FRAMER_NDJSON, "\n\n\n", "" },
    { "what SSE would be", FRAMER_NDJSON, "data: 1\n\n", "|data: 1;" },
};

START_TEST(test_any_cut)
{
    const char *bytes = cases[_i].bytes;
    for (size_t at = 0; at <= strlen(bytes); at++) {
        struct seen seen = { .text = "" };
        ck_assert_int_eq(run_split(cases[_i].id, bytes, at, &seen), STATUS_OK);
        ck_assert_msg(strcmp(seen.text, cases[_i].events) == 0, "%s, cut at %zu: %s",
                      cases[_i].label, at, seen.text);
    }
    for (unsigned seed = 0; seed < RANDOM_CUTS; seed++) {
        struct seen seen = { .text = "" };
        ck_assert_int_eq(run_random(cases[_i].id, bytes, seed, &seen), STATUS_OK);
        ck_assert_msg(strcmp(seen.text, cases[_i].events) == 0, "%s, seed %u: %s", cases[_i].label,
                      seed, seen.text);
    }
}
END_TEST

/* One number limits a line, and where the bytes are cut does not move it. */
START_TEST(test_limit)
{
    char bytes[3 * MAX];
    for (size_t len = 1; len < 2 * MAX; len++) {
        memset(bytes, 'x', len);
        memcpy(bytes + len, "\n", 2);
        enum status expect = len <= MAX ? STATUS_OK : STATUS_BACKEND_GARBAGE;
        for (size_t at = 0; at <= len + 1; at++) {
            struct seen seen = { .text = "" };
            ck_assert_int_eq(run_split(FRAMER_NDJSON, bytes, at, &seen), expect);
            ck_assert_uint_eq(seen.events, expect == STATUS_OK);
        }
    }
}
END_TEST

START_TEST(test_failure_is_sticky)
{
    struct framing f;
    struct seen seen = { .text = "" };
    char longer[2 * MAX];
    memset(longer, 'x', sizeof longer);
    framing_init(&f, FRAMER_NDJSON, MAX);
    ck_assert_int_eq(feed(&f, longer, sizeof longer, &seen), STATUS_BACKEND_GARBAGE);
    ck_assert_int_eq(feed(&f, "\n{}\n", 4, &seen), STATUS_BACKEND_GARBAGE);
    ck_assert_int_eq(f.framer->finish(&f, on_event, &seen), STATUS_BACKEND_GARBAGE);
    ck_assert_uint_eq(seen.events, 0);
    f.framer->reset(&f);
    ck_assert_int_eq(feed(&f, "{}\n", 3, &seen), STATUS_OK);
    ck_assert_str_eq(seen.text, "|{};");
    f.framer->clear(&f);
}
END_TEST

START_TEST(test_stop)
{
    for (enum framer_id id = 0; id < FRAMER_COUNT; id++) {
        struct seen seen = { .stop_after = 2 };
        struct framing f;
        const char *bytes = id == FRAMER_SSE ? "data: 1\n\ndata: 2\n\ndata: 3\n\n" : "1\n2\n3\n4";
        framing_init(&f, id, MAX);
        ck_assert_int_eq(finish(&f, feed(&f, bytes, strlen(bytes), &seen), &seen), STATUS_OK);
        ck_assert_str_eq(seen.text, "|1;|2;");
    }
}
END_TEST

START_TEST(test_memory)
{
    for (enum framer_id id = 0; id < FRAMER_COUNT; id++) {
        struct framing f;
        struct seen seen = { .text = "" };
        framing_init(&f, id, MAX);
        ck_assert_uint_eq(f.framer->room(&f), 0);
        ck_assert_int_eq(feed(&f, "data: 1", 7, &seen), STATUS_OK);
        ck_assert_uint_gt(f.framer->room(&f), 0);
        f.framer->clear(&f);
        ck_assert_uint_eq(f.framer->room(&f), 0);
    }
}
END_TEST

static const struct {
    enum framer_id id;
    const char *type;
    bool speaks;
} types[] = {
    { FRAMER_SSE, "text/event-stream", true },
    { FRAMER_SSE, "Text/Event-Stream; charset=utf-8", true },
    { FRAMER_SSE, "text/event-streams", false },
    { FRAMER_SSE, "text/event", false },
    { FRAMER_SSE, "application/x-ndjson", false },
    { FRAMER_SSE, NULL, false },
    { FRAMER_SSE, "", false },
    { FRAMER_NDJSON, "application/x-ndjson", true },
    { FRAMER_NDJSON, "application/jsonl;charset=utf-8", true },
    { FRAMER_NDJSON, "application/json", false },
    { FRAMER_NDJSON, "text/event-stream", false },
};

START_TEST(test_types)
{
    struct framing f;
    framing_init(&f, types[_i].id, MAX);
    ck_assert(framer_speaks(f.framer, types[_i].type) == types[_i].speaks);
    f.framer->clear(&f);
}
END_TEST

Suite *framer_suite(void);
Suite *framer_suite(void)
{
    Suite *s = suite_create("framer");
    TCase *t = tcase_create("framer");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_any_cut, 0, sizeof cases / sizeof *cases);
    tcase_add_loop_test(t, test_types, 0, sizeof types / sizeof *types);
    tcase_add_test(t, test_limit);
    tcase_add_test(t, test_failure_is_sticky);
    tcase_add_test(t, test_stop);
    tcase_add_test(t, test_memory);
    suite_add_tcase(s, t);
    return s;
}
