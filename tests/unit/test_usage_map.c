/* tests/unit/test_usage_map.c -- totals that include their parts become disjoint meters. */
#include "backends/usage_map.h"
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
    } more[] = { { METER_INPUT_IMAGE, "in image" },  { METER_INPUT_AUDIO, "in audio" },
                 { METER_INPUT_VIDEO, "in video" },  { METER_INPUT_CACHE_WRITE_1H, "written 1h" },
                 { METER_VIDEO_MS, "video ms" },     { METER_OUTPUT_IMAGE, "out image" },
                 { METER_OUTPUT_AUDIO, "out audio" } };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (usage_has(u, more[i].meter))
            used += (size_t)snprintf(to + used, size - used, " %s %llu", more[i].name,
                                     (unsigned long long)u->qty[more[i].meter]);
}

static struct usage_reading read_with(const struct usage_map *m, enum capability cap, bool whole,
                                      const char *text)
{
    struct jfield fields[USAGE_FIELDS_MAX];
    struct jscan_error at;
    size_t n = usage_map_fields(m, whole, fields);
    ck_assert_int_eq(jscan_object((struct span){ text, strlen(text) }, fields, n, &at), STATUS_OK);
    return usage_map_read(m, cap, whole, fields);
}

static struct usage_reading read_text(const char *usage)
{
    char text[1024];
    snprintf(text, sizeof text, "{\"usage\":%s}", usage);
    return read_with(usage_map_find(USAGE_MAP_OPENAI), CAP_CHAT, false, text);
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
    { "written for how long",
      "{\"prompt_tokens\":100,\"cache_creation\":"
      "{\"ephemeral_5m_input_tokens\":20,\"ephemeral_1h_input_tokens\":30}}",
      "50/-/20/-/- written 1h 30", false },
    { "written in all and for how long",
      "{\"prompt_tokens\":100,\"prompt_tokens_details\":{\"cache_write_tokens\":20},"
      "\"cache_creation\":{\"ephemeral_5m_input_tokens\":20,\"ephemeral_1h_input_tokens\":0}}",
      "80/-/20/-/- written 1h 0", false },
    { "films",
      "{\"prompt_tokens\":100,\"prompt_tokens_details\":{\"video_tokens\":70},"
      "\"video_duration\":4.25}",
      "30/-/-/-/- in video 70 video ms 4250", false },
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
    struct usage_reading u = read_text(cases[_i].usage);
    print(&u.usage, got, sizeof got);
    ck_assert_msg(strcmp(got, cases[_i].expect) == 0, "%s: %s", cases[_i].label, got);
    ck_assert_msg(u.suspect == cases[_i].suspect, "%s", cases[_i].label);
}
END_TEST

START_TEST(test_absent)
{
    struct usage_reading u =
        read_with(usage_map_find(USAGE_MAP_OPENAI), CAP_CHAT, true, "{\"a\":1}");
    ck_assert_uint_eq(u.usage.present, 0);
    ck_assert(!u.suspect);
}
END_TEST

/* ---- one meter of a whole answer, by what was asked ---- */

#define ABSENT UINT64_MAX
static const struct {
    const char *label;
    enum capability cap;
    enum meter meter;
    const char *text;
    uint64_t expect;
} answers[] = {
    { "images", CAP_IMAGES, METER_IMAGES, "{\"data\":[{},{}]}", 2 },
    { "no images", CAP_IMAGES, METER_IMAGES, "{\"data\":[]}", 0 },
    { "data is null", CAP_IMAGES, METER_IMAGES, "{\"data\":null}", ABSENT },
    { "data is absent", CAP_IMAGES, METER_IMAGES, "{}", ABSENT },
    { "embeddings are no images", CAP_EMBEDDINGS, METER_IMAGES, "{\"data\":[{},{}]}", ABSENT },
    { "a total alone", CAP_RERANK, METER_INPUT_UNCACHED, "{\"usage\":{\"total_tokens\":7}}", 7 },
    { "a total beside it", CAP_EMBEDDINGS, METER_INPUT_UNCACHED,
      "{\"usage\":{\"total_tokens\":9,\"prompt_tokens\":7}}", 7 },
    { "a total of chat is no input", CAP_CHAT, METER_INPUT_UNCACHED,
      "{\"usage\":{\"total_tokens\":7}}", ABSENT },
    { "cache hits beside the total", CAP_CHAT, METER_INPUT_CACHED,
      "{\"usage\":{\"prompt_tokens\":7,\"prompt_cache_hit_tokens\":3}}", 3 },
    { "seconds of audio", CAP_TRANSCRIPTION, METER_AUDIO_MS,
      "{\"usage\":{\"type\":\"duration\",\"seconds\":12}}", 12000 },
    { "a fraction of them", CAP_TRANSCRIPTION, METER_AUDIO_MS, "{\"usage\":{\"seconds\":8.4709}}",
      8470 },
    { "one decimal", CAP_TRANSLATION, METER_AUDIO_MS, "{\"duration\":0.5}", 500 },
    { "usage before duration", CAP_TRANSCRIPTION, METER_AUDIO_MS,
      "{\"duration\":8.4,\"usage\":{\"seconds\":9}}", 9000 },
    { "an exponent", CAP_TRANSCRIPTION, METER_AUDIO_MS, "{\"duration\":8e3}", ABSENT },
    { "an exponent behind a fraction", CAP_TRANSCRIPTION, METER_AUDIO_MS, "{\"duration\":8.1234e9}",
      ABSENT },
    { "negative", CAP_TRANSCRIPTION, METER_AUDIO_MS, "{\"duration\":-1}", ABSENT },
    { "longer than can be", CAP_TRANSCRIPTION, METER_AUDIO_MS, "{\"duration\":1000001}", ABSENT },
    { "the longest", CAP_TRANSCRIPTION, METER_AUDIO_MS, "{\"duration\":1000000}", 1000000000 },
    { "beyond int64", CAP_TRANSCRIPTION, METER_AUDIO_MS,
      "{\"duration\":99999999999999999999999999}", ABSENT },
    { "a duration of chat", CAP_CHAT, METER_AUDIO_MS, "{\"duration\":5}", ABSENT },
};

START_TEST(test_tokens_of_an_images_answer_are_of_images)
{
    static const struct {
        const char *text, *expect;
    } rows[] = {
        { "{\"usage\":{\"input_tokens\":50,\"output_tokens\":4160}}", "50/-/-/0/- out image 4160" },
        { "{\"usage\":{\"output_tokens\":90,\"output_tokens_details\":{\"image_tokens\":80}}}",
          "-/-/-/10/- out image 80" },
        { "{\"usage\":{\"input_tokens\":7}}", "7/-/-/-/-" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char got[128];
        struct usage_reading u =
            read_with(usage_map_find(USAGE_MAP_OPENAI), CAP_IMAGES, true, rows[i].text);
        print(&u.usage, got, sizeof got);
        ck_assert_str_eq(got, rows[i].expect);
    }
}
END_TEST

START_TEST(test_answers)
{
    struct usage_reading u =
        read_with(usage_map_find(USAGE_MAP_OPENAI), answers[_i].cap, true, answers[_i].text);
    uint64_t got = usage_has(&u.usage, answers[_i].meter) ? u.usage.qty[answers[_i].meter] : ABSENT;
    ck_assert_msg(got == answers[_i].expect, "%s: %llu", answers[_i].label,
                  (unsigned long long)got);
}
END_TEST

/* ---- what the request says ---- */

static const struct {
    const char *label, *json;
    uint64_t expect;
    bool suspect;
} requests[] = {
    { "one", "{\"inputs\":[{\"name\":\"a\",\"shape\":[1,16],\"data\":[1]}]}", 16, false },
    { "two", "{\"inputs\":[{\"shape\":[2,3]} , {\"shape\":[ 4 ]}]}", 10, false },
    { "a scalar", "{\"inputs\":[{\"shape\":[]}]}", 1, false },
    { "nothing in it", "{\"inputs\":[{\"shape\":[0,9]}]}", 0, false },
    { "no inputs", "{\"inputs\":[]}", 0, false },
    { "inputs absent", "{}", ABSENT, false },
    { "not JSON", "{", ABSENT, false },
    { "no shape", "{\"inputs\":[{\"name\":\"a\"}]}", ABSENT, true },
    { "any size", "{\"inputs\":[{\"shape\":[-1,2]}]}", ABSENT, true },
    { "a fraction", "{\"inputs\":[{\"shape\":[1.5]}]}", ABSENT, true },
    { "no tensor", "{\"inputs\":[7]}", ABSENT, true },
    { "too many", "{\"inputs\":[{\"shape\":[100000,100000]}]}", ABSENT, true },
    { "more than 64 bits", "{\"inputs\":[{\"shape\":[999999999,999999999,999999999]}]}", ABSENT,
      true },
    { "too many together", "{\"inputs\":[{\"shape\":[1000000000]},{\"shape\":[1]}]}", ABSENT,
      true },
};

START_TEST(test_requests)
{
    struct usage_reading u = { .suspect = false };
    const char *json = requests[_i].json;
    usage_map_request(usage_map_find(USAGE_MAP_OIP2), (struct span){ json, strlen(json) }, &u);
    uint64_t got =
        usage_has(&u.usage, METER_TENSOR_ELEMENTS) ? u.usage.qty[METER_TENSOR_ELEMENTS] : ABSENT;
    ck_assert_msg(got == requests[_i].expect, "%s: %llu", requests[_i].label,
                  (unsigned long long)got);
    ck_assert_msg(u.suspect == requests[_i].suspect, "%s", requests[_i].label);
    u = (struct usage_reading){ .suspect = false };
    usage_map_request(usage_map_find(USAGE_MAP_OPENAI), (struct span){ json, strlen(json) }, &u);
    ck_assert_uint_eq(u.usage.present, 0);
}
END_TEST

/* ---- vendors that report in other ways need rows only ---- */

#define KEY(name)         \
    (const char *const[]) \
    {                     \
        name, NULL        \
    }

static const struct usage_row anthropic_rows[] = {
    { METER_INPUT_UNCACHED, .keys = KEY("input_tokens") },
    { METER_INPUT_CACHED, .keys = KEY("cache_read_input_tokens") },
    { METER_INPUT_CACHE_WRITE, .keys = KEY("cache_creation_input_tokens") },
    { METER_OUTPUT_TEXT, .keys = KEY("output_tokens") },
};
static const struct usage_row gemini_rows[] = {
    { METER_INPUT_UNCACHED, .keys = KEY("promptTokenCount") },
    { METER_INPUT_CACHED, .keys = KEY("cachedContentTokenCount"), .within = METER_INPUT_UNCACHED },
    { METER_OUTPUT_TEXT, .keys = KEY("candidatesTokenCount") },
    { METER_OUTPUT_REASONING, .keys = KEY("thoughtsTokenCount") },
};
static const struct usage_row difference_rows[] = {
    /* output is what the input leaves */
    { METER_OUTPUT_TEXT, .keys = KEY("total_tokens") },
    { METER_INPUT_UNCACHED, .keys = KEY("prompt_tokens"), .within = METER_OUTPUT_TEXT },
};
static const struct usage_map vendors[] = {
    { { { "usage" }, { "message", "usage" } }, anthropic_rows, 4, NULL },
    { { { "usageMetadata" } }, gemini_rows, 4, NULL },
    { { { "usage" } }, difference_rows, 2, NULL },
    { { { "payload", "usage", "text" } }, difference_rows, 2, NULL },
};

static const struct {
    size_t vendor;
    const char *text, *expect;
    bool told, suspect;
} vendor_rows[] = {
    { 0,
      "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,"
      "\"cache_read_input_tokens\":90,\"cache_creation_input_tokens\":5,\"output_tokens\":1}}}",
      "10/90/5/1/-", true, false },
    { 0, "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":12}}", "-/-/-/12/-", true,
      false },
    { 0, "{\"type\":\"ping\"}", "-/-/-/-/-", false, false },
    { 1,
      "{\"usageMetadata\":{\"promptTokenCount\":30,\"cachedContentTokenCount\":20,"
      "\"candidatesTokenCount\":2,\"thoughtsTokenCount\":7}}",
      "10/20/-/2/7", true, false },
    { 2, "{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":0,\"total_tokens\":11}}",
      "9/-/-/2/-", true, false },
    { 3, "{\"payload\":{\"usage\":{\"text\":{\"prompt_tokens\":9,\"total_tokens\":11}}}}",
      "9/-/-/2/-", true, false },
    { 3, "{\"payload\":{\"usage\":7}}", "-/-/-/-/-", true, true },
    { 3, "{\"payload\":{\"usage\":{\"text\":1,\"text\":2}}}", "-/-/-/-/-", true, false },
};

START_TEST(test_vendors)
{
    char got[128];
    const struct usage_map *m = &vendors[vendor_rows[_i].vendor];
    const char *text = vendor_rows[_i].text;
    struct jfield fields[USAGE_FIELDS_MAX];
    struct jscan_error at;
    size_t n = usage_map_fields(m, false, fields);
    ck_assert_int_eq(jscan_object((struct span){ text, strlen(text) }, fields, n, &at), STATUS_OK);
    ck_assert(usage_map_told(m, fields) == vendor_rows[_i].told);
    struct usage_reading u = usage_map_read(m, CAP_CHAT, false, fields);
    print(&u.usage, got, sizeof got);
    ck_assert_str_eq(got, vendor_rows[_i].expect);
    ck_assert(u.suspect == vendor_rows[_i].suspect);
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
    ck_assert(usage_advance(&total, &first));
    ck_assert(usage_advance(&total, &more));
    ck_assert(usage_advance(&total, &more));
    ck_assert(!usage_advance(&total, &less)); /* all of it or nothing */
    ck_assert_uint_eq(total.qty[METER_INPUT_UNCACHED], 10);
    ck_assert_uint_eq(total.qty[METER_OUTPUT_TEXT], 2);
}
END_TEST

Suite *usage_map_suite(void);
Suite *usage_map_suite(void)
{
    Suite *s = suite_create("usage_map");
    TCase *t = tcase_create("usage_map");
    tcase_add_loop_test(t, test_read, 0, sizeof cases / sizeof *cases);
    tcase_add_test(t, test_absent);
    tcase_add_test(t, test_tokens_of_an_images_answer_are_of_images);
    tcase_add_loop_test(t, test_answers, 0, sizeof answers / sizeof *answers);
    tcase_add_loop_test(t, test_requests, 0, sizeof requests / sizeof *requests);
    tcase_add_loop_test(t, test_vendors, 0, sizeof vendor_rows / sizeof *vendor_rows);
    tcase_add_test(t, test_advance);
    suite_add_tcase(s, t);
    return s;
}
