/* tests/unit/test_base32.c -- digits in and out. */
#include "base/base32.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <string.h>

static const struct {
    const char *bytes;
    size_t len;
    const char *text;
} encodings[] = {
    { "", 0, "" },
    { "\0", 1, "00" },
    { "\xff", 1, "zw" },
    { "f", 1, "cr" },
    { "fo", 2, "csqg" },
    { "foo", 3, "csqpy" },
    { "foob", 4, "csqpyrg" },
    { "fooba", 5, "csqpyrk1" },
    { "foobar", 6, "csqpyrk1e8" },
    { "\xff\xff\xff\xff\xff", 5, "zzzzzzzz" },
};
enum { ENCODINGS = sizeof encodings / sizeof *encodings };

START_TEST(bytes_to_text)
{
    char text[32];
    base32_encode(encodings[_i].bytes, encodings[_i].len, text);
    ck_assert_str_eq(text, encodings[_i].text);
    ck_assert_uint_eq(strlen(text) + 1, BASE32_TEXT_BYTES(encodings[_i].len));
}
END_TEST

static const struct {
    uint64_t value;
    const char *text;
} numbers[] = {
    { 0, "0000000000000" },
    { 1, "0000000000001" },
    { 31, "000000000000z" },
    { 32, "0000000000010" },
    { INT64_MAX, "7zzzzzzzzzzzz" },
    { UINT64_MAX, "fzzzzzzzzzzzz" },
    { UINT64_C(0x123456789abcdef0), "14d2pf2dbsqqg" },
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

START_TEST(numbers_both_ways)
{
    char text[BASE32_U64_DIGITS + 1];
    uint64_t back;
    ck_assert_str_eq(base32_u64(numbers[_i].value, text), numbers[_i].text);
    ck_assert(base32_read_u64(text, &back));
    ck_assert(back == numbers[_i].value);
}
END_TEST

static const char *const refused[] = {
    "",
    "000000000000",  /* one too few */
    "g000000000000", /* a 65th bit */
    "zzzzzzzzzzzzz",
    "000000000000Z", /* upper case */
    "000000000000i", /* letters that look like digits */
    "000000000000l",
    "000000000000o",
    "000000000000u",
    "000000-000000",
    "00000000000\xc3\xa9",
};
enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(anything_else_is_refused)
{
    uint64_t value = 5;
    ck_assert(!base32_read_u64(refused[_i], &value));
    ck_assert(value == 5);
}
END_TEST

Suite *base32_suite(void)
{
    Suite *s = suite_create("base32");
    TCase *t = tcase_create("base32");
    tcase_add_loop_test(t, bytes_to_text, 0, ENCODINGS);
    tcase_add_loop_test(t, numbers_both_ways, 0, NUMBERS);
    tcase_add_loop_test(t, anything_else_is_refused, 0, REFUSED);
    suite_add_tcase(s, t);
    return s;
}
