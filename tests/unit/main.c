/* tests/unit/main.c -- runs every suite in this folder; each test is its own process.
 *
 * CK_RUN_SUITE and CK_RUN_CASE choose, CK_FORK=no stays in one process for a debugger.
 */
#include "tests/helpers/badfs.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "gen/unit_suites.h"

int main(void)
{
    setenv("CK_DEFAULT_TIMEOUT", "60", 0);   /* seconds; check's own are 4 */
    setenv("CK_TIMEOUT_MULTIPLIER", "5", 0); /* a busy machine must not fail what only hangs may */
    badfs_install();                         /* under every layer, so before any */
    SRunner *r = srunner_create(NULL);
#define X(name) srunner_add_suite(r, name##_suite());
    UNIT_SUITES(X)
#undef X
    srunner_run_all(r, CK_NORMAL);
    int run = srunner_ntests_run(r), failed = srunner_ntests_failed(r);
    srunner_free(r);
    printf("%d passed, %d failed\n", run - failed, failed);
    return failed || run == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
