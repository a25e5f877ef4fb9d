/* tests/unit/test_rid.c -- ids grow, whatever the clock does. */
#include "base/rid.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <string.h>

#define EPOCH_US INT64_C(1704067200000000)

struct fake {
    int64_t wall_us;
    uint64_t seed;
};

static int64_t fake_wall(void *arg)
{
    return ((struct fake *)arg)->wall_us;
}

static void fake_random(void *arg, void *bytes, size_t len)
{
    struct fake *f = arg;
    memset(bytes, 0, len);
    memcpy(bytes, &f->seed, len < sizeof f->seed ? len : sizeof f->seed);
}

static struct env fake_env(struct fake *f)
{
    return (struct env){ .wall_us = fake_wall, .random = fake_random, .arg = f };
}

static int64_t ms_of(rid_t r)
{
    return r >> 22;
}

static unsigned thread_of(rid_t r)
{
    return (unsigned)(r >> 16 & 63);
}

/* The clock stands, creeps, leaps and goes back by turns, by a seed for each loop. */
START_TEST(ids_grow_whatever_the_clock_does)
{
    struct fake f = { EPOCH_US + INT64_C(80000000000000), (uint64_t)_i };
    struct env env = fake_env(&f);
    struct rid_source s;
    uint64_t x = (uint64_t)_i + 1;
    rid_t last = 0;
    bool ok = true;
    rid_source_init(&s, 5, &env, 0);
    for (int i = 0; ok && i < 300000; i++) {
        rid_t r = rid_next(&s, &env);
        ok = r > last && thread_of(r) == 5;
        last = r;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        if (x % 64 == 0)
            f.wall_us += (int64_t)(x >> 40) % 40001 - 20000; /* up to 20 ms either way */
    }
    ck_assert(ok);
}
END_TEST

START_TEST(a_full_millisecond_borrows_from_the_next)
{
    struct fake f = { EPOCH_US + 1000000, 1 };
    struct env env = fake_env(&f);
    struct rid_source s;
    rid_source_init(&s, 0, &env, 0);
    rid_t first = rid_next(&s, &env), r = first;
    int count = 1;
    while (ms_of(r) == ms_of(first)) {
        r = rid_next(&s, &env);
        count++;
    }
    ck_assert_int_eq(ms_of(first), 1000);
    ck_assert_int_eq(ms_of(r), 1001);
    ck_assert_int_gt(count, 32768); /* the random start leaves at least half */
    f.wall_us += 5000;
    ck_assert_int_eq(ms_of(rid_next(&s, &env)), 1005); /* and time catches up */
}
END_TEST

START_TEST(ids_stay_above_the_floor)
{
    struct fake f = { EPOCH_US + 1000000, 1 };
    struct env env = fake_env(&f);
    struct rid_source a, b;
    rid_source_init(&a, 63, &env, 0);
    rid_t floor = rid_next(&a, &env);
    f.wall_us = EPOCH_US; /* the machine comes back with a wrong clock */
    rid_source_init(&b, 0, &env, floor);
    ck_assert(rid_next(&b, &env) > floor);
    f.wall_us = 0;
    rid_source_init(&b, 0, &env, 0);
    ck_assert(rid_next(&b, &env) > 0);
}
END_TEST

START_TEST(threads_never_meet)
{
    struct fake f = { EPOCH_US + 1000000, 1 };
    struct env env = fake_env(&f);
    struct rid_source a, b;
    rid_source_init(&a, 0, &env, 0);
    rid_source_init(&b, 1, &env, 0);
    for (int i = 0; i < 1000; i++)
        ck_assert(thread_of(rid_next(&a, &env)) != thread_of(rid_next(&b, &env)));
}
END_TEST

START_TEST(text_and_back)
{
    char text[RID_TEXT_BYTES];
    rid_t ids[] = { 1, 31, 32, INT64_C(0x0123456789abcdef), INT64_MAX }, back;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        ck_assert_uint_eq(strlen(rid_text(ids[i], text)), RID_TEXT_BYTES - 1);
        ck_assert(rid_parse(text, &back));
        ck_assert_int_eq(back, ids[i]);
    }
    ck_assert_str_eq(rid_text(INT64_MAX, text), "req_7zzzzzzzzzzzz");
}
END_TEST

static const char *const refused[] = {
    "",
    "req_",
    "req_0000000000000", /* zero is no id */
    "req_8000000000000", /* past 63 bits */
    "req_fzzzzzzzzzzzz",
    "req_zzzzzzzzzzzzz",
    "req_000000000001",
    "req_00000000000010",
    "req_0000000000001 ",
    " req_000000000001",
    "REQ_0000000000001",
    "req_000000000000A",
    "req_00000000000o1",
    "rex_0000000000001",
    "0000000000001",
    "req_0000000\00000001",
};
enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(anything_else_is_refused)
{
    rid_t r = 9;
    ck_assert_msg(!rid_parse(refused[_i], &r), "%s", refused[_i]);
    ck_assert_int_eq(r, 9);
}
END_TEST

Suite *rid_suite(void)
{
    Suite *s = suite_create("rid");
    TCase *t = tcase_create("rid");
    tcase_add_loop_test(t, ids_grow_whatever_the_clock_does, 0, 8);
    tcase_add_test(t, a_full_millisecond_borrows_from_the_next);
    tcase_add_test(t, ids_stay_above_the_floor);
    tcase_add_test(t, threads_never_meet);
    tcase_add_test(t, text_and_back);
    tcase_add_loop_test(t, anything_else_is_refused, 0, REFUSED);
    suite_add_tcase(s, t);
    return s;
}
