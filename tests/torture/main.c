/* tests/torture/main.c -- operations that are run while their 1st allocation fails, then the
 * 2nd, and so on until none is left; see tests/helpers/fault.h.
 *
 * CK_RUN_SUITE and CK_RUN_CASE choose, CK_FORK=no stays in one process for a debugger.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "gen/torture_suites.h"

int main(void)
{
    setenv("CK_DEFAULT_TIMEOUT", "60", 0);   /* seconds; check's own are 4 */
    setenv("CK_TIMEOUT_MULTIPLIER", "5", 0); /* a busy machine must not fail what only hangs may */
    SRunner *r = srunner_create(NULL);
#define X(name) srunner_add_suite(r, name##_suite());
    TORTURE_SUITES(X)
#undef X
    srunner_run_all(r, CK_NORMAL);
    int run = srunner_ntests_run(r), failed = srunner_ntests_failed(r);
    srunner_free(r);
    printf("%d passed, %d failed\n", run - failed, failed);
    return failed || run == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
