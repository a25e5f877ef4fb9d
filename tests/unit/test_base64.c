/* tests/unit/test_base64.c -- RFC 4648's own texts, and what is no base64. */
#include "base/base64.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <string.h>

static const struct {
    const char *bytes, *text;
} pairs[] = {
    { "f", "Zg==" },        { "fo", "Zm8=" },           { "foo", "Zm9v" },
    { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },    { "foobar", "Zm9vYmFy" },
    { "\xff\xfe", "//4=" }, { "\xfb\xef\xbe", "++++" },
};

START_TEST(there_and_back)
{
    char text[16], bytes[16];
    size_t len = strlen(pairs[_i].bytes);
    base64_encode((const uint8_t *)pairs[_i].bytes, len, text);
    ck_assert_str_eq(text, pairs[_i].text);
    ck_assert_uint_eq(strlen(text) + 1, BASE64_TEXT_BYTES(len));
    ck_assert_uint_eq(base64_decode((struct span){ text, strlen(text) }, bytes), len);
    ck_assert_mem_eq(bytes, pairs[_i].bytes, len);
}
END_TEST

static const char *const wrong[] = { "",     "Z",        "Zg",    "Zg=",  "Zh==", "Zm9=",
                                     "Z===", "Zg==Zg==", "Zm 9v", "Zm9-", "====" };

START_TEST(refused)
{
    char bytes[16];
    ck_assert_uint_eq(base64_decode((struct span){ wrong[_i], strlen(wrong[_i]) }, bytes), 0);
}
END_TEST

Suite *base64_suite(void)
{
    Suite *s = suite_create("base64");
    TCase *t = tcase_create("base64");
    tcase_add_loop_test(t, there_and_back, 0, sizeof pairs / sizeof *pairs);
    tcase_add_loop_test(t, refused, 0, sizeof wrong / sizeof *wrong);
    suite_add_tcase(s, t);
    return s;
}
