/* tests/unit/test_jfields.c -- what the scanner says of the members it was asked for. */
#include "base/jscan.h"
#include <check.h>
#include <stdio.h>
#include "gen/unit_suites.h"

START_TEST(values_are_remembered_where_they_lie)
{
    static const char text[] = " {\"other\":[{\"model\":9}], \"mod\\u0065l\" : \"m\" ,\"n\":-3,"
                               "\"stream\":true,\"stop\":null,\"tools\":[1, [2,3], {}],"
                               "\"o\":{\"k\":1},\"bool\":false} ";
    struct jfield f[] = {
        { .key = "model" },  { .key = "n" },
        { .key = "stream" }, { .key = "stop" },
        { .key = "tools" },  { .key = "o" },
        { .key = "bool" },   { .key = "absent", .type = J_NULL },
        { .key = "mode" },   { .key = "models" },
    };
    static const struct {
        enum jtype type;
        const char *value;
    } expected[] = {
        { J_STRING, "\"m\"" },
        { J_NUMBER, "-3" },
        { J_TRUE, "true" },
        { J_NULL, "null" },
        { J_ARRAY, "[1, [2,3], {}]" },
        { J_OBJECT, "{\"k\":1}" },
        { J_FALSE, "false" },
        { J_ABSENT, NULL },
        { J_ABSENT, NULL },
        { J_ABSENT, NULL },
    };
    struct jscan_error e;
    ck_assert_int_eq(jscan_object((struct span){ text, sizeof text - 1 }, f, 10, &e), STATUS_OK);
    for (size_t i = 0; i < 10; i++) {
        ck_assert_msg(f[i].type == expected[i].type, "%s", f[i].key);
        ck_assert(!expected[i].value || span_is(f[i].value, expected[i].value));
    }
    ck_assert_uint_eq(f[0].key_at, (size_t)(strstr(text, "\"mod\\") - text));
    ck_assert_uint_eq(jscan_array_count(f[4].value), 3);
    struct jfield k = { .key = "k" };
    ck_assert_int_eq(jscan_member(f[5].value, &k, 1), STATUS_OK);
    ck_assert(span_is(k.value, "1"));
}
END_TEST

static const struct {
    const char *array;
    size_t count;
} arrays[] = {
    { "[]", 0 },
    { "[ ]", 0 },
    { "[1]", 1 },
    { "[[]]", 1 },
    { "[\"a,b\",\"]\"]", 2 },
    { "[{\"a\":[1,2]},[3,4],5 , null]", 4 },
};
enum { ARRAYS = sizeof arrays / sizeof *arrays };

START_TEST(elements_are_counted)
{
    struct span array = { arrays[_i].array, strlen(arrays[_i].array) };
    ck_assert_uint_eq(jscan_array_count(array), arrays[_i].count);
}
END_TEST

static const struct {
    const char *value;
    bool ok;
    int64_t number;
} integers[] = {
    { "0", true, 0 },
    { "-0", true, 0 },
    { "42", true, 42 },
    { "-42", true, -42 },
    { "9007199254740993", true, INT64_C(9007199254740993) },
    { "9223372036854775807", true, INT64_MAX },
    { "-9223372036854775808", true, INT64_MIN },
    { "9223372036854775808", false, 0 },
    { "-9223372036854775809", false, 0 },
    { "123456789012345678901234567890", false, 0 },
    { "1.0", false, 0 },
    { "1e3", false, 0 },
    { "1e999", false, 0 },
    { "\"5\"", false, 0 },
    { "true", false, 0 },
    { "null", false, 0 },
    { "[1]", false, 0 },
};
enum { INTEGERS = sizeof integers / sizeof *integers };

START_TEST(integers_are_exact)
{
    char text[64];
    struct jfield f = { .key = "a" };
    struct jscan_error e;
    int64_t number = 77;
    snprintf(text, sizeof text, "{\"a\":%s}", integers[_i].value);
    ck_assert_int_eq(jscan_object((struct span){ text, strlen(text) }, &f, 1, &e), STATUS_OK);
    ck_assert(jscan_int(&f, &number) == integers[_i].ok);
    ck_assert_int_eq(number, integers[_i].ok ? integers[_i].number : 77);
}
END_TEST

static const struct {
    const char *value, *text; /* NULL: refused */
} strings[] = {
    { "\"\"", "" },
    { "\"plain\"", "plain" },
    { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
    { "\"\\u0041\\u00E9\\u6c34\"", "A\xc3\xa9\xe6\xb0\xb4" },
    { "\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80" },
    { "\"\\uDBFF\\uDFFF\"", "\xf4\x8f\xbf\xbf" },
    { "\"\xe6\xb0\xb4\"", "\xe6\xb0\xb4" },
    { "\"1234567890123456789012345678901\"", "1234567890123456789012345678901" },
    { "\"12345678901234567890123456789012\"", NULL },
    { "\"1234567890123456789012345678901\\n\"", NULL },
    { "\"12345678901234567890123456789\\u6c34\"", NULL },
    { "5", NULL },
    { "null", NULL },
};
enum { STRINGS = sizeof strings / sizeof *strings };

START_TEST(strings_are_unescaped)
{
    char text[128], buf[32];
    struct jfield f = { .key = "a" };
    struct jscan_error e;
    snprintf(text, sizeof text, "{\"a\":%s}", strings[_i].value);
    ck_assert_int_eq(jscan_object((struct span){ text, strlen(text) }, &f, 1, &e), STATUS_OK);
    ck_assert(jscan_string(&f, buf, sizeof buf) == (strings[_i].text != NULL));
    if (strings[_i].text)
        ck_assert_str_eq(buf, strings[_i].text);
}
END_TEST

Suite *jfields_suite(void)
{
    Suite *s = suite_create("jfields");
    TCase *t = tcase_create("jfields");
    tcase_add_test(t, values_are_remembered_where_they_lie);
    tcase_add_loop_test(t, elements_are_counted, 0, ARRAYS);
    tcase_add_loop_test(t, integers_are_exact, 0, INTEGERS);
    tcase_add_loop_test(t, strings_are_unescaped, 0, STRINGS);
    suite_add_tcase(s, t);
    return s;
}
