/* tests/unit/test_arena.c -- limits, alignment and content of request memory. */
#include "base/arena.h"
#include "base/cleanup.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <stdint.h>

enum { LIMIT = 1 << 20 };

static const size_t sizes[] = { 0, 1, 15, 16, 17, 100, 2047, 2048, 2049, 8191, 8192, 8193, 100000 };
enum { SIZES = sizeof sizes / sizeof *sizes };

START_TEST(every_size_is_zeroed_aligned_and_its_own)
{
    AUTO(arena_free_ptr) struct arena *a = arena_new(LIMIT);
    for (int round = 0; round < 5; round++) {
        unsigned char *p = arena_alloc(a, sizes[_i]);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < sizes[_i]; i++)
            ck_assert_uint_eq(p[i], 0);
        memset(p, 0xee, sizes[_i]); /* would be seen by the next allocation if they overlapped */
    }
}
END_TEST

START_TEST(the_limit_is_hard)
{
    AUTO(arena_free_ptr) struct arena *a = arena_new(1000);
    ck_assert_ptr_null(arena_alloc(a, 1001));
    ck_assert_ptr_null(arena_alloc(a, SIZE_MAX));
    ck_assert_ptr_null(arena_alloc(a, SIZE_MAX - 8));
    ck_assert_ptr_null(arena_memdup(a, "x", SIZE_MAX));
    ck_assert_ptr_nonnull(arena_alloc(a, 900));
    ck_assert_ptr_null(arena_alloc(a, 100));
    size_t used = arena_used(a);
    ck_assert_ptr_nonnull(arena_alloc(a, 10)); /* a refusal costs nothing */
    ck_assert_uint_gt(arena_used(a), used);
    ck_assert_uint_le(arena_used(a), 1000);
}
END_TEST

START_TEST(many_small_ones_end_at_the_limit)
{
    AUTO(arena_free_ptr) struct arena *a = arena_new(LIMIT);
    size_t count = 0;
    while (arena_alloc(a, 16))
        count++;
    ck_assert_uint_eq(count, LIMIT / 16);
}
END_TEST

START_TEST(empty_allocations_are_counted)
{
    AUTO(arena_free_ptr) struct arena *a = arena_new(160);
    size_t count = 0;
    while (arena_alloc(a, 0))
        count++;
    ck_assert_uint_eq(count, 10);
}
END_TEST

START_TEST(copies_end_with_a_nul)
{
    AUTO(arena_free_ptr) struct arena *a = arena_new(LIMIT);
    ck_assert_str_eq(arena_strdup(a, "hello"), "hello");
    ck_assert_str_eq(arena_memdup(a, "hello", 4), "hell");
    ck_assert_str_eq(arena_memdup(a, NULL, 0), "");
    ck_assert_str_eq(arena_printf(a, "%s-%d", "x", 7), "x-7");
    ck_assert_uint_eq(strlen(arena_printf(a, "%20000d", 1)), 20000);
}
END_TEST

START_TEST(printf_respects_the_limit)
{
    AUTO(arena_free_ptr) struct arena *a = arena_new(64);
    ck_assert_ptr_null(arena_printf(a, "%64d", 1));
    ck_assert_str_eq(arena_printf(a, "%d", 1), "1");
}
END_TEST

START_TEST(freeing_nothing_is_fine)
{
    arena_free(NULL);
}
END_TEST

Suite *arena_suite(void)
{
    Suite *s = suite_create("arena");
    TCase *t = tcase_create("arena");
    tcase_add_loop_test(t, every_size_is_zeroed_aligned_and_its_own, 0, SIZES);
    tcase_add_test(t, the_limit_is_hard);
    tcase_add_test(t, many_small_ones_end_at_the_limit);
    tcase_add_test(t, empty_allocations_are_counted);
    tcase_add_test(t, copies_end_with_a_nul);
    tcase_add_test(t, printf_respects_the_limit);
    tcase_add_test(t, freeing_nothing_is_fine);
    suite_add_tcase(s, t);
    return s;
}
