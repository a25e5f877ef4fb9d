/* tests/torture/test_standing.c -- a reload without memory: the old standings stay, nothing is lost. */
#include "conf/catalog.h"
#include "gateway/standing.h"
#include "tests/helpers/fault.h"
#include <check.h>
#include "gen/torture_suites.h"

START_TEST(test_enroll)
{
    const struct catalog_backend before[] = { { .name = "a", .concurrency = 1 } };
    const struct catalog_backend after[] = { { .name = "a", .concurrency = 2 },
                                             { .name = "b", .concurrency = 1, .index = 1 } };
    const struct catalog first = { .backends = before, .backend_count = 1 };
    const struct catalog second = { .backends = after, .backend_count = 2 };
    for (unsigned nth = 0; fault_next(&nth);) {
        struct roster ro;
        roster_init(&ro);
        struct standing **one = roster_enroll(&ro, &first);
        struct standing **two = one ? roster_enroll(&ro, &second) : NULL;
        fault_arm(0);
        ck_assert((two == NULL) == fault_fired());
        ck_assert(!one || roster_say(&ro, "a", WORD_DRAINED));
        roster_dismiss(&ro, one, 1);
        roster_dismiss(&ro, two, 2);
        ck_assert_ptr_null(ro.first);
    }
}
END_TEST

Suite *standing_suite(void)
{
    Suite *s = suite_create("standing");
    TCase *t = tcase_create("standing");
    tcase_add_test(t, test_enroll);
    suite_add_tcase(s, t);
    return s;
}
