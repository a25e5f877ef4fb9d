/* tests/unit/test_jscan.c -- the grammar as a table: what is JSON and what only looks like it.
 *
 * Every row is also cut at every byte and must neither crash nor read past its end,
 * which is why texts are scanned from blocks of exactly their size.
 */
#include "base/jscan.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include <check.h>
#include <stdio.h>
#include "gen/unit_suites.h"

#define TEXT(literal) literal, sizeof(literal) - 1

static const struct row {
    const char *text;
    size_t len;
    bool ok;
} rows[] = {
    /* Objects. */
    { TEXT("{}"), true },
    { TEXT(" \t\r\n{ \t\r\n} \t\r\n"), true },
    { TEXT("{\"a\":1}"), true },
    { TEXT("{\"a\" : 1 , \"b\" : 2}"), true },
    { TEXT("{\"\":0}"), true },
    { TEXT("{\"a\":{\"a\":{\"a\":{}}}}"), true },
    { TEXT("{\"a\":{\"x\":1,\"x\":2}}"), true }, /* only the top level is compared */
    { TEXT(""), false },
    { TEXT(" "), false },
    { TEXT("{"), false },
    { TEXT("}"), false },
    { TEXT("{}}"), false },
    { TEXT("{}{}"), false },
    { TEXT("{} x"), false },
    { TEXT("{}\0"), false },
    { TEXT("{\0}"), false },
    { TEXT("{} //"), false },
    { TEXT("{}/**/"), false },
    { TEXT("{},"), false },
    { TEXT("{\"a\"}"), false },
    { TEXT("{\"a\":}"), false },
    { TEXT("{\"a\":1,}"), false },
    { TEXT("{,\"a\":1}"), false },
    { TEXT("{\"a\":1,,\"b\":2}"), false },
    { TEXT("{\"a\":1 \"b\":2}"), false },
    { TEXT("{\"a\"::1}"), false },
    { TEXT("{\"a\",1}"), false },
    { TEXT("{\"a\" 1}"), false },
    { TEXT("{a:1}"), false },
    { TEXT("{'a':1}"), false },
    { TEXT("{1:1}"), false },
    { TEXT("{null:1}"), false },
    { TEXT("{[]:1}"), false },
    { TEXT("{\"a\":1]"), false },
    { TEXT("{\"a\":1"), false },
    { TEXT("{\"a\":/*c*/1}"), false },
    { TEXT("{\"a\":\f1}"), false },
    { TEXT("{\"a\":\xc2\xa0"
           "1}"),
      false }, /* a no-break space is no space */
    /* Not an object at the top. */
    { TEXT("[]"), false },
    { TEXT("1"), false },
    { TEXT("\"a\""), false },
    { TEXT("null"), false },
    { TEXT("\xef\xbb\xbf{}"), false }, /* a byte order mark */
    { TEXT("\xff\xfe{\0}\0"), false }, /* UTF-16 */
    /* Arrays. */
    { TEXT("{\"a\":[]}"), true },
    { TEXT("{\"a\":[ ]}"), true },
    { TEXT("{\"a\":[1,2,3]}"), true },
    { TEXT("{\"a\":[[],[[]],{}]}"), true },
    { TEXT("{\"a\":[{\"b\":[{\"c\":null}]}]}"), true },
    { TEXT("{\"a\":[,]}"), false },
    { TEXT("{\"a\":[1,]}"), false },
    { TEXT("{\"a\":[,1]}"), false },
    { TEXT("{\"a\":[1 2]}"), false },
    { TEXT("{\"a\":[1,,2]}"), false },
    { TEXT("{\"a\":[1}"), false },
    { TEXT("{\"a\":[1}]"), false },
    { TEXT("{\"a\":]}"), false },
    { TEXT("{\"a\":[\"b\":1]}"), false },
    { TEXT("{\"a\":{1}}"), false },
    { TEXT("{\"a\":[{]}]}"), false },
    /* Words. */
    { TEXT("{\"a\":true}"), true },
    { TEXT("{\"a\":false}"), true },
    { TEXT("{\"a\":null}"), true },
    { TEXT("{\"a\":True}"), false },
    { TEXT("{\"a\":TRUE}"), false },
    { TEXT("{\"a\":tru}"), false },
    { TEXT("{\"a\":truee}"), false },
    { TEXT("{\"a\":nul}"), false },
    { TEXT("{\"a\":undefined}"), false },
    { TEXT("{\"a\":NaN}"), false },
    { TEXT("{\"a\":Infinity}"), false },
    { TEXT("{\"a\":-Infinity}"), false },
    { TEXT("{\"a\":nan}"), false },
    /* Numbers. */
    { TEXT("{\"a\":0}"), true },
    { TEXT("{\"a\":-0}"), true },
    { TEXT("{\"a\":-1}"), true },
    { TEXT("{\"a\":0.5}"), true },
    { TEXT("{\"a\":-0.0}"), true },
    { TEXT("{\"a\":1e5}"), true },
    { TEXT("{\"a\":1E+5}"), true },
    { TEXT("{\"a\":1e-05}"), true },
    { TEXT("{\"a\":0e0}"), true },
    { TEXT("{\"a\":1.5e999}"), true },
    { TEXT("{\"a\":123456789012345678901234567890}"), true },
    { TEXT("{\"a\":01}"), false },
    { TEXT("{\"a\":-01}"), false },
    { TEXT("{\"a\":00}"), false },
    { TEXT("{\"a\":+1}"), false },
    { TEXT("{\"a\":-}"), false },
    { TEXT("{\"a\":--1}"), false },
    { TEXT("{\"a\":.5}"), false },
    { TEXT("{\"a\":-.5}"), false },
    { TEXT("{\"a\":1.}"), false },
    { TEXT("{\"a\":1.e5}"), false },
    { TEXT("{\"a\":1e}"), false },
    { TEXT("{\"a\":1e+}"), false },
    { TEXT("{\"a\":1e5.5}"), false },
    { TEXT("{\"a\":1.2.3}"), false },
    { TEXT("{\"a\":1e5e5}"), false },
    { TEXT("{\"a\":0x1f}"), false },
    { TEXT("{\"a\":1_000}"), false },
    { TEXT("{\"a\":1,000}"), false },
    { TEXT("{\"a\":1 000}"), false },
    { TEXT("{\"a\":1a}"), false },
    { TEXT("{\"a\":27\0}"), false },         /* jansson takes this one */
    { TEXT("{\"a\":\xef\xbc\x91}"), false }, /* a full-width digit */
    /* Strings and escapes. */
    { TEXT("{\"a\":\"\"}"), true },
    { TEXT("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}"), true },
    { TEXT("{\"a\":\"\\u0041\\u00e9\\u6c34\\uFFFF\"}"), true },
    { TEXT("{\"a\":\"\\uD83D\\uDE00\"}"), true },
    { TEXT("{\"a\":\"\x7f\"}"), true },
    { TEXT("{\"a\":\"sixteen bytes and more of text\"}"), true },
    { TEXT("{\"a\":\"\\u0001\"}"), true },
    { TEXT("{\"a\":\"\\u0000\"}"), false },
    { TEXT("{\"a\":\"x\\u0000y\"}"), false },
    { TEXT("{\"\\u0000\":1}"), false },
    { TEXT("{\"a\":[\"\\u0000\"]}"), false },
    { TEXT("{\"a\":\"\\uD800\"}"), false },
    { TEXT("{\"a\":\"\\uDC00\"}"), false },
    { TEXT("{\"a\":\"\\uDFFF\\uD800\"}"), false },
    { TEXT("{\"a\":\"\\uD800\\u0041\"}"), false },
    { TEXT("{\"a\":\"\\uD800\\uD800\"}"), false },
    { TEXT("{\"a\":\"\\uD800\\n\"}"), false },
    { TEXT("{\"a\":\"\\uD800x\\uDC00\"}"), false },
    { TEXT("{\"a\":\"\\uD83D\\u\"}"), false },
    { TEXT("{\"a\":\"\\uD83D\\uDE0\"}"), false },
    { TEXT("{\"a\":\"\\u12\"}"), false },
    { TEXT("{\"a\":\"\\u12G4\"}"), false },
    { TEXT("{\"a\":\"\\u 123\"}"), false },
    { TEXT("{\"a\":\"\\u-123\"}"), false },
    { TEXT("{\"a\":\"\\U0041\"}"), false },
    { TEXT("{\"a\":\"\\x41\"}"), false },
    { TEXT("{\"a\":\"\\a\"}"), false },
    { TEXT("{\"a\":\"\\v\"}"), false },
    { TEXT("{\"a\":\"\\0\"}"), false },
    { TEXT("{\"a\":\"\\'\"}"), false },
    { TEXT("{\"a\":\"\\ \"}"), false },
    { TEXT("{\"a\":\"\\\xc3\xa9\"}"), false },
    { TEXT("{\"a\":\"\\\"}"), false },
    { TEXT("{\"a\":\"\n\"}"), false },
    { TEXT("{\"a\":\"\t\"}"), false },
    { TEXT("{\"a\":\"\x1f\"}"), false },
    { TEXT("{\"a\":\"\0\"}"), false },
    { TEXT("{\"a\":\"more than sixteen bytes,\nthen a line\"}"), false },
    { TEXT("{\"a\":'b'}"), false },
    { TEXT("{\"a\":\"b}"), false },
    { TEXT("{\"a\":b}"), false },
    { TEXT("{\"a\":\"b\"c\"}"), false },
    /* UTF-8 by the borders of its ranges. */
    { TEXT("{\"a\":\"\xc2\x80\xdf\xbf\"}"), true },
    { TEXT("{\"a\":\"\xe0\xa0\x80\xef\xbf\xbf\"}"), true },
    { TEXT("{\"a\":\"\xed\x9f\xbf\xee\x80\x80\"}"), true },
    { TEXT("{\"a\":\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"}"), true },
    { TEXT("{\"a\":\"\xef\xbf\xbe\xef\xb7\x90\"}"), true }, /* noncharacters are characters */
    { TEXT("{\"\xe6\xb0\xb4\":\"\xe8\xb5\x84\xe6\xba\x90\"}"), true },
    { TEXT("{\"a\":\"\x80\"}"), false },
    { TEXT("{\"a\":\"\xbf\"}"), false },
    { TEXT("{\"a\":\"\xc0\x80\"}"), false },
    { TEXT("{\"a\":\"\xc0\xaf\"}"), false },
    { TEXT("{\"a\":\"\xc1\xbf\"}"), false },
    { TEXT("{\"a\":\"\xc2\"}"), false },
    { TEXT("{\"a\":\"\xc2\x20\"}"), false },
    { TEXT("{\"a\":\"\xc2\xc2\x80\"}"), false },
    { TEXT("{\"a\":\"\xe0\x80\x80\"}"), false },
    { TEXT("{\"a\":\"\xe0\x9f\xbf\"}"), false },
    { TEXT("{\"a\":\"\xe6\xb0\"}"), false },
    { TEXT("{\"a\":\"\xe6\xb0"
           "a\"}"),
      false },
    { TEXT("{\"a\":\"\xed\xa0\x80\"}"), false },
    { TEXT("{\"a\":\"\xed\xbf\xbf\"}"), false },
    { TEXT("{\"a\":\"\xed\xa0\xbd\xed\xb8\x80\"}"), false }, /* a pair as two characters */
    { TEXT("{\"a\":\"\xf0\x80\x80\x80\"}"), false },
    { TEXT("{\"a\":\"\xf0\x8f\xbf\xbf\"}"), false },
    { TEXT("{\"a\":\"\xf0\x9f\x98\"}"), false },
    { TEXT("{\"a\":\"\xf4\x90\x80\x80\"}"), false },
    { TEXT("{\"a\":\"\xf5\x80\x80\x80\"}"), false },
    { TEXT("{\"a\":\"\xf8\x88\x80\x80\x80\"}"), false },
    { TEXT("{\"a\":\"\xfc\x84\x80\x80\x80\x80\"}"), false },
    { TEXT("{\"a\":\"\xfe\"}"), false },
    { TEXT("{\"a\":\"\xff\"}"), false },
    { TEXT("{\"a\":\"sixteen bytes of text \xff\"}"), false },
    { TEXT("{\"\xff\":1}"), false },
    { TEXT("{\"a\":\xe6}"), false },
    /* Duplicates. */
    { TEXT("{\"a\":1,\"A\":2,\"aa\":3,\"\":4}"), true },
    { TEXT("{\"a\":1,\"a\":1}"), false },
    { TEXT("{\"a\":1,\"b\":2,\"a\":3}"), false },
    { TEXT("{\"other\":1,\"other\":1}"), false },
    { TEXT("{\"\":1,\"\":1}"), false },
    { TEXT("{\"model\":1,\"mod\\u0065l\":2}"), false },
    { TEXT("{\"mod\\u0065l\":1,\"model\":2}"), false },
    { TEXT("{\"\\u006dodel\":1,\"m\\u006fdel\":2}"), false },
    { TEXT("{\"a/b\":1,\"a\\/b\":2}"), false },
    { TEXT("{\"\xe6\xb0\xb4\":1,\"\\u6c34\":2}"), false },
    { TEXT("{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\uDE00\":2}"), false },
    { TEXT("{\"a\\\\u0041\":1,\"aA\":2}"), true },
};
enum { ROWS = sizeof rows / sizeof *rows };

/* From a block of its own size, so that the sanitizers see a step past the end. */
static enum status scan(const char *text, size_t len, struct jscan_error *e)
{
    AUTO(free_ptr) char *copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    return jscan_object((struct span){ copy, len }, NULL, 0, e);
}

START_TEST(grammar)
{
    struct jscan_error e = { 0, NULL };
    enum status s = scan(rows[_i].text, rows[_i].len, &e);
    ck_assert_msg((s == STATUS_OK) == rows[_i].ok, "%s: %s at %zu", rows[_i].text, e.what, e.at);
    if (s == STATUS_OK)
        return;
    ck_assert_int_eq(s, STATUS_BAD_JSON);
    ck_assert(e.what && *e.what);
    ck_assert_uint_le(e.at, rows[_i].len);
}
END_TEST

/* Every row again as a value inside an object and inside an array of an object. */
START_TEST(grammar_of_nested_objects)
{
    char text[512];
    struct jscan_error e;
    const struct row *r = &rows[_i];
    bool duplicate = !r->ok && scan(r->text, r->len, &e) == STATUS_BAD_JSON &&
                     strcmp(e.what, "duplicate key") == 0;
    bool starts_as_object = memchr(r->text, '{', r->len) != NULL;
    if (duplicate || !starts_as_object || memchr(r->text, 0, r->len) || strcmp(r->text, "{},") == 0)
        return; /* legal there, or not what the row is about */
    int len = snprintf(text, sizeof text, "{\"outer\":[%s]}", r->text);
    ck_assert_int_eq(scan(text, (size_t)len, &e) == STATUS_OK, r->ok);
}
END_TEST

START_TEST(cut_anywhere)
{
    struct jscan_error e;
    bool closed = false;
    for (size_t len = 0; len < rows[_i].len; len++) {
        enum status s = scan(rows[_i].text, len, &e);
        ck_assert(s == STATUS_BAD_JSON || s == STATUS_OK);
        /* A whole object stays whole only while spaces are cut off. */
        closed |= s == STATUS_OK;
        ck_assert_msg(!rows[_i].ok || s != STATUS_OK || rows[_i].text[len] <= ' ', "%s",
                      rows[_i].text);
    }
    ck_assert(!closed || rows[_i].text[rows[_i].len - 1] != '}' || !rows[_i].ok);
}
END_TEST

/* One wrong byte at each place of a long string, so that each lane of the vector is met. */
START_TEST(a_bad_byte_is_found_at_every_place)
{
    enum { LONG = 80 };
    static const char bad[] = { 0, '\n', 0x1f, (char)0x80, (char)0xc0, (char)0xff };
    struct jscan_error e;
    char text[LONG + 16];
    for (size_t at = 0; at < LONG; at++) {
        int head = snprintf(text, sizeof text, "{\"a\":\"");
        memset(text + head, 'x', LONG);
        memcpy(text + head + LONG, "\"}", 2);
        text[(size_t)head + at] = bad[_i];
        ck_assert_int_eq(scan(text, (size_t)head + LONG + 2, &e), STATUS_BAD_JSON);
        ck_assert_uint_eq(e.at, (size_t)head + at);
    }
}
END_TEST

/* One check for all, because each check is written to a file. */
static bool repeat(struct buf *b, const char *text, size_t times)
{
    bool ok = true;
    while (ok && times-- > 0)
        ok = buf_text(b, text);
    return ok;
}

static const struct {
    unsigned depth;
    bool ok;
} depths[] = { { 1, true },  { 2, true },   { 63, true },
               { 64, true }, { 65, false }, { 100000, false } };
enum { DEPTHS = sizeof depths / sizeof *depths };

/* Counting the outermost object as one. */
START_TEST(depth_has_a_limit)
{
    unsigned inner = depths[_i].depth - 1;
    for (int object = 0; object < 2; object++) {
        const char *open = object ? "{\"k\":" : "[", *close = object ? "}" : "]";
        AUTO(buf_free) struct buf b;
        struct jscan_error e;
        buf_init(&b, 1 << 20);
        ck_assert(buf_text(&b, "{\"a\":"));
        ck_assert(repeat(&b, open, inner));
        ck_assert(repeat(&b, "0", inner == 0 || object));
        ck_assert(repeat(&b, close, inner) && buf_text(&b, "}"));
        enum status s = scan(b.at, b.len, &e);
        ck_assert_msg((s == STATUS_OK) == depths[_i].ok, "%u: %s", depths[_i].depth, e.what);
    }
}
END_TEST

/* 65 levels of an empty array are as deep as 65 of a full one. */
START_TEST(an_empty_container_has_depth_too)
{
    enum { BRACKETS = 64 };
    char text[5 + 2 * BRACKETS + 1];
    struct jscan_error e;
    memcpy(text, "{\"a\":", 5);
    memset(text + 5, '[', BRACKETS);
    memset(text + 5 + BRACKETS, ']', BRACKETS);
    text[5 + 2 * BRACKETS] = '}';
    ck_assert_int_eq(scan(text, sizeof text, &e), STATUS_BAD_JSON);
    ck_assert_str_eq(e.what, "nested too deeply");
}
END_TEST

static const struct {
    unsigned keys;
    bool repeat_first, repeat_last, ok;
} crowds[] = {
    { 31, false, false, true },     { 32, true, false, false },   { 33, false, true, false },
    { 1000, false, false, true },   { 1000, true, false, false }, { 1000, false, true, false },
    { 4096, false, false, true },   { 4096, true, false, false }, { 4097, false, false, false },
    { 20000, false, false, false },
};
enum { CROWDS = sizeof crowds / sizeof *crowds };

START_TEST(many_keys)
{
    AUTO(buf_free) struct buf b;
    struct jscan_error e;
    buf_init(&b, 1 << 20);
    ck_assert(buf_text(&b, "{\"a\\u0062c\":0"));
    for (unsigned i = 1; i < crowds[_i].keys; i++)
        ck_assert(buf_printf(&b, ",\"key%u\":%u", i, i));
    if (crowds[_i].repeat_first)
        ck_assert(buf_text(&b, ",\"abc\":0"));
    if (crowds[_i].repeat_last)
        ck_assert(buf_printf(&b, ",\"ke\\u0079%u\":0", crowds[_i].keys - 1));
    ck_assert(buf_text(&b, "}"));
    enum status s = scan(b.at, b.len, &e);
    ck_assert_msg((s == STATUS_OK) == crowds[_i].ok, "%s", e.what);
}
END_TEST

static const struct {
    size_t plain, escaped; /* of the key: letters, then \u0041 */
    bool ok;
} key_lengths[] = { { 1024, 0, true },  { 1025, 0, false },    { 0, 1024, true },
                    { 1, 1024, false }, { 1000000, 0, false }, { 0, 100000, false } };
enum { KEY_LENGTHS = sizeof key_lengths / sizeof *key_lengths };

START_TEST(keys_have_a_length)
{
    AUTO(buf_free) struct buf b;
    struct jscan_error e;
    buf_init(&b, 2 << 20);
    ck_assert(buf_text(&b, "{\""));
    ck_assert(repeat(&b, "x", key_lengths[_i].plain));
    ck_assert(repeat(&b, "\\u0041", key_lengths[_i].escaped));
    ck_assert(buf_text(&b, "\":1}"));
    ck_assert_int_eq(scan(b.at, b.len, &e) == STATUS_OK, key_lengths[_i].ok);
}
END_TEST

static const struct {
    const char *text;
    size_t at;
    const char *what;
} faults[] = {
    { "[1]", 0, "expected an object" },
    { "{\"a\":1,\"a\":2}", 7, "duplicate key" },
    { "{\"a\" 1}", 5, "expected ':'" },
    { "{\"a\":x}", 5, "expected a value" },
    { "{\"a\":1 2}", 7, "expected ',' or '}'" },
    { "{\"a\":[1 2]}", 8, "expected ',' or ']'" },
    { "{\"a\":1,}", 7, "expected a key in double quotes" },
    { "{\"a\":\"", 6, "the text ends too early" },
    { "{} {}", 3, "something follows the object" },
    { "{\"a\":-x}", 6, "expected a digit" },
    { "{\"a\":\"b\\q\"}", 7, "unknown escape" },
    { "{\"a\":\"\x01\"}", 6, "a control character must be escaped" },
    { "{\"a\":\"b\xff\"}", 7, "not valid UTF-8" },
    { "{\"a\":\"\\u0000\"}", 6, "\\u0000 is not allowed" },
};
enum { FAULTS = sizeof faults / sizeof *faults };

START_TEST(errors_say_where_and_what)
{
    struct jscan_error e;
    ck_assert_int_eq(scan(faults[_i].text, strlen(faults[_i].text), &e), STATUS_BAD_JSON);
    ck_assert_str_eq(e.what, faults[_i].what);
    ck_assert_uint_eq(e.at, faults[_i].at);
}
END_TEST

Suite *jscan_suite(void)
{
    Suite *s = suite_create("jscan");
    TCase *t = tcase_create("jscan");
    tcase_add_loop_test(t, grammar, 0, ROWS);
    tcase_add_loop_test(t, grammar_of_nested_objects, 0, ROWS);
    tcase_add_loop_test(t, cut_anywhere, 0, ROWS);
    tcase_add_loop_test(t, a_bad_byte_is_found_at_every_place, 0, 6);
    tcase_add_loop_test(t, depth_has_a_limit, 0, DEPTHS);
    tcase_add_test(t, an_empty_container_has_depth_too);
    tcase_add_loop_test(t, many_keys, 0, CROWDS);
    tcase_add_loop_test(t, keys_have_a_length, 0, KEY_LENGTHS);
    tcase_add_loop_test(t, errors_say_where_and_what, 0, FAULTS);
    suite_add_tcase(s, t);
    return s;
}
