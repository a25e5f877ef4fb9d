/* tests/unit/test_openai_usage.c -- totals that include their parts become disjoint meters. */
#include "backends/openai_usage.h"
#include <check.h>
#include <stdio.h>

/* "uncached/cached/cache_write/text/reasoning", '-' for what is not present; then what there
 * is of other kinds, e.g. " in image 40". */
static void print(const struct usage *u, char *to, size_t size)
{
    static const enum meter order[] = { METER_INPUT_UNCACHED, METER_INPUT_CACHED,
                                        METER_INPUT_CACHE_WRITE, METER_OUTPUT_TEXT,
                                        METER_OUTPUT_REASONING };
    size_t used = 0;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (usage_has(u, order[i]))
            used += (size_t)snprintf(to + used, size - used, "%s%llu", i ? "/" : "",
                                     (unsigned long long)u->qty[order[i]]);
        else
            used += (size_t)snprintf(to + used, size - used, "%s-", i ? "/" : "");
    static const struct {
        enum meter meter;
        const char *name;
    } more[] = { { METER_INPUT_IMAGE, "in image" },
                 { METER_INPUT_AUDIO, "in audio" },
                 { METER_OUTPUT_IMAGE, "out image" },
                 { METER_OUTPUT_AUDIO, "out audio" } };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (usage_has(u, more[i].meter))
            used += (size_t)snprintf(to + used, size - used, " %s %llu", more[i].name,
                                     (unsigned long long)u->qty[more[i].meter]);
}

static struct openai_usage read_text(const char *usage)
{
    char text[1024];
    struct jfield field = { .key = "usage" };
    struct jscan_error at;
    snprintf(text, sizeof text, "{\"usage\":%s}", usage);
    ck_assert_int_eq(jscan_object((struct span){ text, strlen(text) }, &field, 1, &at), STATUS_OK);
    return openai_usage_read(&field);
}

static const struct {
    const char *label, *usage, *expect;
    bool suspect;
} cases[] = {
    { "plain", "{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}", "9/-/-/2/-",
      false },
    { "cached",
      "{\"prompt_tokens\":100,\"completion_tokens\":5,"
      "\"prompt_tokens_details\":{\"cached_tokens\":60}}",
      "40/60/-/5/-", false },
    { "cached and written",
      "{\"prompt_tokens\":100,\"prompt_tokens_details\":"
      "{\"cached_tokens\":60,\"cache_write_tokens\":30}}",
      "10/60/30/-/-", false },
    { "reasoning",
      "{\"prompt_tokens\":1,\"completion_tokens\":50,"
      "\"completion_tokens_details\":{\"reasoning_tokens\":48}}",
      "1/-/-/2/48", false },
    { "0 is a value",
      "{\"prompt_tokens\":0,\"completion_tokens\":0,"
      "\"prompt_tokens_details\":{\"cached_tokens\":0}}",
      "0/0/-/0/-", false },
    { "embeddings", "{\"prompt_tokens\":8,\"total_tokens\":8}", "8/-/-/-/-", false },
    { "images",
      "{\"input_tokens\":50,\"output_tokens\":4160,\"total_tokens\":4210,"
      "\"input_tokens_details\":{\"text_tokens\":10,\"image_tokens\":40}}",
      "10/-/-/4160/- in image 40", false },
    { "audio in and out",
      "{\"prompt_tokens\":100,\"completion_tokens\":50,"
      "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":80},"
      "\"completion_tokens_details\":{\"reasoning_tokens\":5,\"audio_tokens\":30}}",
      "20/0/-/15/5 in audio 80 out audio 30", false },
    { "text is cached first",
      "{\"prompt_tokens\":100,"
      "\"prompt_tokens_details\":{\"cached_tokens\":50,\"audio_tokens\":40}}",
      "10/50/-/-/- in audio 40", false },
    { "cached audio is counted once",
      "{\"prompt_tokens\":100,\"prompt_tokens_details\":"
      "{\"cached_tokens\":70,\"image_tokens\":20,\"audio_tokens\":60}}",
      "0/70/-/-/- in image 20 in audio 10", false },
    { "more audio than there is",
      "{\"prompt_tokens\":10,\"prompt_tokens_details\":{\"audio_tokens\":11}}",
      "0/-/-/-/- in audio 10", true },
    { "transcription",
      "{\"type\":\"tokens\",\"input_tokens\":14,\"output_tokens\":45,"
      "\"input_token_details\":{\"text_tokens\":0,\"audio_tokens\":14}}",
      "0/-/-/45/- in audio 14", false },
    { "null", "null", "-/-/-/-/-", false },
    { "null members", "{\"prompt_tokens\":null,\"completion_tokens\":3}", "-/-/-/3/-", false },
    { "null details", "{\"prompt_tokens\":3,\"prompt_tokens_details\":null}", "3/-/-/-/-", false },
    { "empty", "{}", "-/-/-/-/-", false },
    { "not an object", "7", "-/-/-/-/-", true },
    { "negative", "{\"prompt_tokens\":-1,\"completion_tokens\":3}", "-/-/-/3/-", true },
    { "fraction", "{\"prompt_tokens\":1.5,\"completion_tokens\":3}", "-/-/-/3/-", true },
    { "exponent", "{\"prompt_tokens\":1e3}", "-/-/-/-/-", true },
    { "text", "{\"prompt_tokens\":\"5\"}", "-/-/-/-/-", true },
    { "the largest", "{\"prompt_tokens\":1000000000}", "1000000000/-/-/-/-", false },
    { "too large", "{\"prompt_tokens\":1000000001}", "-/-/-/-/-", true },
    { "beyond int64", "{\"completion_tokens\":99999999999999999999999}", "-/-/-/-/-", true },
    { "more cached than there is",
      "{\"prompt_tokens\":10,\"prompt_tokens_details\":"
      "{\"cached_tokens\":1000,\"cache_write_tokens\":5}}",
      "0/10/0/-/-", true },
    { "more reasoning than there is",
      "{\"completion_tokens\":4,\"completion_tokens_details\":{\"reasoning_tokens\":5}}",
      "-/-/-/0/4", true },
    { "a part that cannot be",
      "{\"prompt_tokens\":10,\"prompt_tokens_details\":{\"cached_tokens\":-3}}", "10/-/-/-/-",
      true },
    { "parts without their total", "{\"prompt_tokens_details\":{\"cached_tokens\":3}}", "-/-/-/-/-",
      false },
};

START_TEST(test_read)
{
    char got[128];
    struct openai_usage u = read_text(cases[_i].usage);
    print(&u.usage, got, sizeof got);
    ck_assert_msg(strcmp(got, cases[_i].expect) == 0, "%s: %s", cases[_i].label, got);
    ck_assert_msg(u.suspect == cases[_i].suspect, "%s", cases[_i].label);
}
END_TEST

START_TEST(test_absent)
{
    struct jfield absent = { .key = "usage", .type = J_ABSENT };
    struct openai_usage u = openai_usage_read(&absent);
    ck_assert_uint_eq(u.usage.present, 0);
    ck_assert(!u.suspect);
}
END_TEST

START_TEST(test_images)
{
    static const struct {
        const char *text;
        bool has;
        uint64_t images;
    } rows[] = { { "{\"data\":[{},{}]}", true, 2 },
                 { "{\"data\":[]}", true, 0 },
                 { "{\"data\":null}", false, 0 },
                 { "{}", false, 0 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jfield data = { .key = "data" };
        struct jscan_error at;
        struct openai_usage u = { 0 };
        ck_assert_int_eq(
            jscan_object((struct span){ rows[i].text, strlen(rows[i].text) }, &data, 1, &at),
            STATUS_OK);
        openai_usage_images(&data, &u);
        ck_assert(usage_has(&u.usage, METER_IMAGES) == rows[i].has);
        ck_assert_uint_eq(u.usage.qty[METER_IMAGES], rows[i].images);
    }
}
END_TEST

START_TEST(test_tokens_of_an_images_answer_are_of_images)
{
    static const struct {
        const char *usage, *expect;
    } rows[] = { { "{\"input_tokens\":50,\"output_tokens\":4160}", "50/-/-/0/- out image 4160" },
                 { "{\"output_tokens\":90,\"output_tokens_details\":{\"image_tokens\":80}}",
                   "-/-/-/10/- out image 80" },
                 { "{\"input_tokens\":7}", "7/-/-/-/-" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char got[128];
        struct jfield data = { .key = "data", .type = J_ABSENT };
        struct openai_usage u = read_text(rows[i].usage);
        openai_usage_images(&data, &u);
        print(&u.usage, got, sizeof got);
        ck_assert_str_eq(got, rows[i].expect);
    }
}
END_TEST

START_TEST(test_advance)
{
    struct usage total = { 0 }, first = { 0 }, more = { 0 }, less = { 0 };
    usage_set(&first, METER_INPUT_UNCACHED, 10);
    usage_set(&first, METER_OUTPUT_TEXT, 1);
    usage_set(&more, METER_OUTPUT_TEXT, 2);
    usage_set(&less, METER_INPUT_UNCACHED, 11);
    usage_set(&less, METER_OUTPUT_TEXT, 1);
    ck_assert(openai_usage_advance(&total, &first));
    ck_assert(openai_usage_advance(&total, &more));
    ck_assert(openai_usage_advance(&total, &more));
    ck_assert(!openai_usage_advance(&total, &less)); /* all of it or nothing */
    ck_assert_uint_eq(total.qty[METER_INPUT_UNCACHED], 10);
    ck_assert_uint_eq(total.qty[METER_OUTPUT_TEXT], 2);
}
END_TEST

Suite *openai_usage_suite(void);
Suite *openai_usage_suite(void)
{
    Suite *s = suite_create("openai_usage");
    TCase *t = tcase_create("openai_usage");
    tcase_add_loop_test(t, test_read, 0, sizeof cases / sizeof *cases);
    tcase_add_test(t, test_absent);
    tcase_add_test(t, test_images);
    tcase_add_test(t, test_tokens_of_an_images_answer_are_of_images);
    tcase_add_test(t, test_advance);
    suite_add_tcase(s, t);
    return s;
}
