/* tests/unit/test_buf.c -- growth up to the maximum, and nothing lost on failure. */
#include "base/buf.h"
#include "base/cleanup.h"
#include <check.h>
#include "gen/unit_suites.h"

static const struct {
    size_t max, part; /* parts of that size are added until one is refused */
    size_t fit;
} growths[] = {
    { 0, 1, 0 },
    { 0, 0, 0 },
    { 1, 1, 1 },
    { 100, 7, 98 },
    { 100, 100, 100 },
    { 100, 101, 0 },
    { 256, 256, 256 },
    { 257, 1, 257 },
    { 100000, 333, 99900 },
    { 80 << 20, 100000, 83800000 },
};
enum { GROWTHS = sizeof growths / sizeof *growths };

START_TEST(grows_to_its_maximum_and_no_further)
{
    static const char zeros[100000];
    AUTO(buf_free) struct buf b;
    buf_init(&b, growths[_i].max);
    while (growths[_i].part && buf_add(&b, zeros, growths[_i].part))
        ck_assert_uint_le(b.room, growths[_i].max + 1);
    ck_assert_uint_eq(b.len, growths[_i].fit);
}
END_TEST

START_TEST(a_refused_addition_changes_nothing)
{
    AUTO(buf_free) struct buf b;
    buf_init(&b, 8);
    ck_assert(buf_text(&b, "hello"));
    ck_assert(!buf_text(&b, "world"));
    ck_assert(!buf_printf(&b, "%d", 12345));
    ck_assert_str_eq(b.at, "hello");
    ck_assert(buf_printf(&b, "%d", 123));
    ck_assert_str_eq(b.at, "hello123");
    ck_assert(!buf_add(&b, "x", SIZE_MAX));
}
END_TEST

START_TEST(taking_gives_the_bytes_away)
{
    struct buf b;
    size_t len;
    buf_init(&b, 100);
    ck_assert(buf_add(&b, "a\0b", 3));
    AUTO(free_ptr) char *taken = buf_take(&b, &len);
    ck_assert_uint_eq(len, 3);
    ck_assert_mem_eq(taken, "a\0b", 4);
    ck_assert_ptr_null(b.at);
    AUTO(free_ptr) char *empty = buf_take(&b, NULL);
    ck_assert_str_eq(empty, "");
    ck_assert(buf_text(&b, "again"));
    buf_free(&b);
}
END_TEST

START_TEST(clearing_keeps_the_memory)
{
    AUTO(buf_free) struct buf b;
    buf_init(&b, 1000);
    buf_clear(&b);
    ck_assert(buf_text(&b, "some text"));
    size_t room = b.room;
    buf_clear(&b);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_uint_eq(b.room, room);
    ck_assert_str_eq(b.at, "");
    ck_assert(span_is((struct span){ b.at, b.len }, ""));
}
END_TEST

Suite *buf_suite(void)
{
    Suite *s = suite_create("buf");
    TCase *t = tcase_create("buf");
    tcase_add_loop_test(t, grows_to_its_maximum_and_no_further, 0, GROWTHS);
    tcase_add_test(t, a_refused_addition_changes_nothing);
    tcase_add_test(t, taking_gives_the_bytes_away);
    tcase_add_test(t, clearing_keeps_the_memory);
    suite_add_tcase(s, t);
    return s;
}
