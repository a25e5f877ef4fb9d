/* tests/unit/test_bpe.c -- rank files that are wrong, slices, limits, text that is no UTF-8.
 * That the tokens are right is tested against tiktoken: tests/flow/test_bpe_oracle.py. */
#include "base/bpe.h"
#include "base/cleanup.h"
#include "base/utf8.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* All bytes by their value but `without`, then the lines given. */
static void write_file(struct buf *b, int without, const char *more)
{
    buf_init(b, 1 << 16);
    for (int c = 0; c < 256; c++)
        if (c != without)
            ck_assert(buf_printf(b, "%c%c== %d\n", digits[c >> 2], digits[(c & 3) << 4], c));
    ck_assert(buf_text(b, more));
}

static enum status make(int without, const char *more, struct bpe **ret,
                        char err[static BPE_ERROR_BYTES])
{
    AUTO(buf_free) struct buf file;
    write_file(&file, without, more);
    return bpe_new(buf_span(&file), BPE_CL100K, NULL, ret, err);
}

static const struct {
    const char *label, *more, *err;
    int without;
} bad[] = {
    { "a byte is missing", "", "there is no token for the byte 0x80 alone", 0x80 },
    { "no rank", "YWI=\n", "line 257: expected a token in base64, a space and its rank", -1 },
    { "an empty rank", "YWI= \n", "line 257: expected a token", -1 },
    { "a rank with a sign", "YWI= -1\n", "line 257: expected a token", -1 },
    { "a rank with a space", "YWI= 1 \n", "line 257: expected a token", -1 },
    { "a rank too large", "YWI= 4194304\n", "line 257: expected a token", -1 },
    { "a rank that overflows", "YWI= 99999999999999999999\n", "line 257: expected a token", -1 },
    { "no token", " 300\n", "line 257: expected a token", -1 },
    { "not base64", "YW!= 300\n", "line 257: this is no token in base64", -1 },
    { "three digits", "YWI 300\n", "line 257: this is no token in base64", -1 },
    { "bits left over", "YWJ= 300\n", "line 257: this is no token in base64", -1 },
    { "padding inside", "YQ==YWI= 300\n", "line 257: this is no token in base64", -1 },
    { "padding alone", "==== 300\n", "line 257: this is no token in base64", -1 },
    { "a token twice", "YWI= 300\n\nYWI= 301\n", "line 259: this token has stood before", -1 },
    { "a rank twice", "YWI= 300\nYWJj 300\n", "line 258: this rank has stood before", -1 },
    { "the rank of a byte", "YWI= 97\n", "line 257: this rank has stood before", -1 },
};

START_TEST(test_bad_files)
{
    struct bpe *b = NULL;
    char err[BPE_ERROR_BYTES];
    ck_assert_int_eq(make(bad[_i].without, bad[_i].more, &b, err), STATUS_BAD_FIELD);
    ck_assert_ptr_null(b);
    ck_assert_msg(!strncmp(err, bad[_i].err, strlen(bad[_i].err)), "%s: %s", bad[_i].label, err);
}
END_TEST

START_TEST(test_empty_file)
{
    struct bpe *b = NULL;
    char err[BPE_ERROR_BYTES];
    ck_assert_int_eq(bpe_new(SPAN(""), BPE_R50K, NULL, &b, err), STATUS_BAD_FIELD);
    ck_assert_str_eq(err, "there is no token for the byte 0x00 alone");
}
END_TEST

static const struct {
    const char *own, *err;
} bad_patterns[] = {
    { "(", "is not a regular expression: missing closing parenthesis at byte 1" },
    { "a*", "can match nothing at all; a word has at least a byte" },
    { "\\C", "is not a regular expression: using \\C is disabled" },
    { "", "can match nothing at all; a word has at least a byte" },
};

START_TEST(test_bad_patterns)
{
    char err[BPE_ERROR_BYTES];
    ck_assert_int_eq(bpe_check_pattern(bad_patterns[_i].own, err), STATUS_BAD_FIELD);
    ck_assert_msg(!strncmp(err, bad_patterns[_i].err, strlen(bad_patterns[_i].err)), "%s", err);
}
END_TEST

/* ---- counting ---- */

static struct bpe
    *encoder; /* ab, abc, bc, two spaces; lines end as Windows has them, or not at all */

static void set_up(void)
{
    char err[BPE_ERROR_BYTES];
    ck_assert_int_eq(
        make(-1, "YWI= 300\r\nYmM= 256\r\n\r\nYWJj 301\nYWE= 302\nICA= 400000", &encoder, err),
        STATUS_OK);
}

static void tear_down(void)
{
    bpe_free(encoder);
}

/* UINT64_MAX: it is not counted. */
static uint64_t count(const struct bpe *b, struct span text, size_t slice, unsigned *ret_steps)
{
    struct bpe_run *r = bpe_run_new(b);
    enum bpe_step step = BPE_MORE;
    ck_assert_ptr_nonnull(r);
    bpe_run_text(r, text);
    for (*ret_steps = 0; step == BPE_MORE; ++*ret_steps)
        step = bpe_run_step(r, slice);
    uint64_t tokens = step == BPE_DONE ? bpe_run_tokens(r) : UINT64_MAX;
    bpe_run_free(r);
    return tokens;
}

static const struct {
    const char *text;
    uint64_t tokens;
} counts[] = {
    { "", 0 },
    { "a", 1 },
    { "ab", 1 },
    { "abc", 1 },
    { "abcd", 2 }, /* abc d, not a bc d */
    { "aabc", 2 },
    { "aaabc", 2 },
    { "bcbc", 2 },
    { "ab ab", 3 },
    { "\xE4\xBD\xA0", 3 },
    { "<|endoftext|>", 13 },
};

START_TEST(test_count)
{
    unsigned steps;
    struct span text = { counts[_i].text, strlen(counts[_i].text) };
    for (size_t slice = 1; slice < 20; slice++)
        ck_assert_uint_eq(count(encoder, text, slice, &steps), counts[_i].tokens);
}
END_TEST

START_TEST(test_a_run_counts_several_texts)
{
    struct bpe_run *r = bpe_run_new(encoder);
    for (int i = 0; i < 3; i++) {
        bpe_run_text(r, SPAN("ab"));
        ck_assert_int_eq(bpe_run_step(r, 100), BPE_DONE);
    }
    ck_assert_uint_eq(bpe_run_tokens(r), 3);
    bpe_run_free(r);
}
END_TEST

/* Slices are slices: a word or so, whatever the length of the text. */
START_TEST(test_slices)
{
    enum { WORDS = 10000 };
    char *text = malloc(3 * WORDS);
    unsigned steps;
    for (int i = 0; i < WORDS; i++)
        memcpy(text + 3 * i, "ab ", 3);
    const struct span all = { text, 3 * WORDS };
    uint64_t tokens = count(encoder, all, SIZE_MAX, &steps);
    ck_assert_uint_eq(steps, 1);
    ck_assert_uint_eq(count(encoder, all, 300, &steps), tokens);
    ck_assert_uint_ge(steps, 99);
    free(text);
}
END_TEST

START_TEST(test_a_word_of_a_megabyte)
{
    char *text = malloc(BPE_WORD_BYTES_MAX + 1);
    unsigned steps;
    memset(text, 'a', BPE_WORD_BYTES_MAX + 1);
    ck_assert_uint_eq(count(encoder, (struct span){ text, BPE_WORD_BYTES_MAX }, 1, &steps),
                      BPE_WORD_BYTES_MAX / 2);
    ck_assert_uint_eq(count(encoder, (struct span){ text, BPE_WORD_BYTES_MAX + 1 }, 1, &steps),
                      UINT64_MAX);
    free(text);
}
END_TEST

/* ---- text that is no UTF-8 ---- */

static const struct {
    const char *from, *to;
} repairs[] = {
    /* as Python's bytes.decode("utf-8", "replace") */
    { "plain", "plain" },
    { "\xC3\xA9", "\xC3\xA9" },
    { "\xFF", "\xEF\xBF\xBD" },
    { "a\x80z", "a\xEF\xBF\xBDz" },
    { "\xE4\xBD", "\xEF\xBF\xBD" },
    { "\xE4\xBDz", "\xEF\xBF\xBDz" },
    { "\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD" },
    { "\xE0\x9F\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
    { "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
    { "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80" },
    { "\xF0\x9F\x98", "\xEF\xBF\xBD" },
    { "\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
    { "\xF0\x9F\xC3\xA9", "\xEF\xBF\xBD\xC3\xA9" },
};

START_TEST(test_repair)
{
    AUTO(buf_free) struct buf b;
    const struct span from = { repairs[_i].from, strlen(repairs[_i].from) };
    buf_init(&b, 1000);
    ck_assert(utf8_repair(from, &b));
    ck_assert_str_eq(b.at, repairs[_i].to);
    ck_assert(utf8_valid(buf_span(&b)));
    ck_assert(utf8_valid(from) == !strcmp(repairs[_i].from, repairs[_i].to));
}
END_TEST

#define ROWS(table) ((int)(sizeof table / sizeof *table))

Suite *bpe_suite(void);
Suite *bpe_suite(void)
{
    Suite *s = suite_create("bpe");
    TCase *files = tcase_create("files"), *texts = tcase_create("texts");
    tcase_add_loop_test(files, test_bad_files, 0, ROWS(bad));
    tcase_add_loop_test(files, test_bad_patterns, 0, ROWS(bad_patterns));
    tcase_add_test(files, test_empty_file);
    tcase_add_loop_test(files, test_repair, 0, ROWS(repairs));
    suite_add_tcase(s, files);
    tcase_add_checked_fixture(texts, set_up, tear_down);
    tcase_add_loop_test(texts, test_count, 0, ROWS(counts));
    tcase_add_test(texts, test_a_run_counts_several_texts);
    tcase_add_test(texts, test_slices);
    tcase_add_test(texts, test_a_word_of_a_megabyte);
    suite_add_tcase(s, texts);
    return s;
}
