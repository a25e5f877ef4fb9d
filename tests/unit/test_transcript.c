/* tests/unit/test_transcript.c -- what an answer said, piece by piece, and what of it is no text. */
#include "gateway/transcript.h"
#include <check.h>
#include <stdio.h>
#include <string.h>

/* "0t:Hi 0r:Hm ": choice, kind, text; "!" at the end when something could not be kept. */
static void print(const struct transcript *t, size_t end, char *to, size_t size)
{
    struct said s;
    size_t at = 0, used = 0;
    to[0] = '\0';
    while (transcript_next(t, &at, end, &s))
        used += (size_t)snprintf(to + used, size - used, "%u%c:%.*s ", s.choice,
                                 s.kind == SAID_TEXT ? 't' : 'r', (int)s.text.len, s.text.at);
    snprintf(to + used, size - used, "%s", t->incomplete ? "!" : "");
}

#define DELTA(members) "{\"choices\":[{\"index\":0,\"delta\":{" members "}}]}"

static const struct {
    const char *label, *json, *expect;
} rows[] = {
    { "a delta", DELTA("\"content\":\"Hi\""), "0t:Hi " },
    { "escapes", DELTA("\"content\":\"\\u00e9\\n\\\"\""), "0t:\xC3\xA9\n\" " },
    { "a whole answer", "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"Hi\"}}]}",
      "0t:Hi " },
    { "a completion", "{\"choices\":[{\"index\":2,\"text\":\"Hi\"}]}", "2t:Hi " },
    { "no index", "{\"choices\":[{\"text\":\"Hi\"}]}", "0t:Hi " },
    { "two choices", "{\"choices\":[{\"index\":1,\"text\":\"b\"},{\"index\":0,\"text\":\"a\"}]}",
      "1t:b 0t:a " },
    { "reasoning", DELTA("\"reasoning_content\":\"Hm\",\"content\":null"), "0r:Hm " },
    { "reasoning by its other name", DELTA("\"reasoning\":\"Hm\""), "0r:Hm " },
    { "reasoning twice", DELTA("\"reasoning\":\"Hm\",\"reasoning_content\":\"Hm\""), "0r:Hm " },
    { "a refusal", DELTA("\"refusal\":\"No\""), "0t:No " },
    { "a role", DELTA("\"role\":\"assistant\",\"content\":\"\""), "" },
    { "an end", "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}", "" },
    { "usage alone", "{\"choices\":[],\"usage\":{\"total_tokens\":4}}", "" },
    { "embeddings", "{\"data\":[{\"embedding\":[1]}]}", "" },
    { "no tools", DELTA("\"content\":\"Hi\",\"tool_calls\":[]"), "0t:Hi " },
    { "tools", DELTA("\"content\":\"Hi\",\"tool_calls\":[{\"id\":\"c\"}]"), "0t:Hi !" },
    { "a function", DELTA("\"function_call\":{\"name\":\"f\"}"), "!" },
    { "sound", DELTA("\"audio\":{\"data\":\"AAAA\"}"), "!" },
    { "parts", DELTA("\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]"), "!" },
    { "a key twice", DELTA("\"content\":\"Hi\",\"content\":\"Ho\""), "!" },
    { "an index that is none", "{\"choices\":[{\"index\":-1,\"text\":\"Hi\"}]}", "!" },
    { "an index far away", "{\"choices\":[{\"index\":1001,\"text\":\"Hi\"}]}", "!" },
    { "half an object", "{\"choices\":[", "!" },
    { "not UTF-8", DELTA("\"content\":\"\xFF\""), "!" },
};

START_TEST(test_add)
{
    struct transcript t;
    char got[256];
    transcript_init(&t, 1 << 20);
    transcript_add(&t, (struct span){ rows[_i].json, strlen(rows[_i].json) });
    print(&t, SIZE_MAX, got, sizeof got);
    ck_assert_msg(!strcmp(got, rows[_i].expect), "%s: %s", rows[_i].label, got);
    transcript_free(&t);
}
END_TEST

START_TEST(test_up_to_a_moment)
{
    struct transcript t;
    char got[256];
    transcript_init(&t, 1 << 20);
    transcript_add(&t, SPAN(DELTA("\"content\":\"one\"")));
    size_t then = t.log.len;
    transcript_add(&t, SPAN(DELTA("\"content\":\"two\"")));
    print(&t, then, got, sizeof got);
    ck_assert_str_eq(got, "0t:one ");
    print(&t, 0, got, sizeof got);
    ck_assert_str_eq(got, "");
    print(&t, t.log.len, got, sizeof got);
    ck_assert_str_eq(got, "0t:one 0t:two ");
    transcript_free(&t);
}
END_TEST

START_TEST(test_no_room)
{
    struct transcript t;
    char got[256];
    transcript_init(&t, 20);
    transcript_add(&t, SPAN(DELTA("\"content\":\"one\"")));
    transcript_add(&t, SPAN(DELTA("\"content\":\"two\"")));
    print(&t, SIZE_MAX, got, sizeof got);
    ck_assert_str_eq(got, "0t:one !");
    transcript_free(&t);
}
END_TEST

START_TEST(test_a_long_piece)
{
    static char json[5000 + 64];
    struct transcript t;
    struct said s;
    size_t at = 0;
    int len = snprintf(json, sizeof json, DELTA("\"content\":\"%05000d\""), 0);
    transcript_init(&t, 1 << 20);
    transcript_add(&t, (struct span){ json, (size_t)len });
    ck_assert(transcript_next(&t, &at, SIZE_MAX, &s));
    ck_assert_uint_eq(s.text.len, 5000);
    ck_assert(!t.incomplete);
    transcript_free(&t);
}
END_TEST

Suite *transcript_suite(void);
Suite *transcript_suite(void)
{
    Suite *s = suite_create("transcript");
    TCase *t = tcase_create("transcript");
    tcase_add_loop_test(t, test_add, 0, (int)(sizeof rows / sizeof *rows));
    tcase_add_test(t, test_up_to_a_moment);
    tcase_add_test(t, test_no_room);
    tcase_add_test(t, test_a_long_piece);
    suite_add_tcase(s, t);
    return s;
}
