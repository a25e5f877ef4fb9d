/* tests/unit/test_status.c -- every row of the table is complete and consistent. */
#include "base/status.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <ctype.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(a_row_is_complete)
{
    const struct status_info *row = status_info((enum status)_i);
    bool ok = _i == STATUS_OK;
    ck_assert(row->http >= 400 ? !ok && row->http < 600 : ok && row->http == 200);
    ck_assert(ok || *row->type);
    ck_assert(*row->code && *row->text && *row->name);
    for (const char *c = row->code; *c; c++)
        ck_assert_msg(islower((unsigned char)*c) || *c == '_', "%s", row->code);
    ck_assert_msg(row->text[strlen(row->text) - 1] != '.', "%s", row->text);
}
END_TEST

START_TEST(names_are_unique)
{
    for (int i = 0; i < _i; i++)
        ck_assert_str_ne(status_info((enum status)i)->name, status_info((enum status)_i)->name);
}
END_TEST

/* A client that repeats what it did wrong gains nothing; the reverse is left to its SDK. */
START_TEST(client_errors_are_not_retried)
{
    const struct status_info *row = status_info((enum status)_i);
    bool may_pass_later = row->http == 408 || row->http == 429 || row->http == 499 ||
                          _i == STATUS_IDEMPOTENCY_RUNS; /* what it repeats will have ended */
    if (row->http >= 400 && row->http < 500 && !may_pass_later)
        ck_assert_int_eq(row->retry, RETRY_NO);
}
END_TEST

START_TEST(a_number_that_is_no_row_dies)
{
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO); /* the assertion's sentence is not for the report */
        status_info((enum status)STATUS_COUNT);
        _exit(0);
    }
    int how = 0;
    ck_assert_int_eq(waitpid(child, &how, 0), child);
    ck_assert(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
}
END_TEST

Suite *status_suite(void)
{
    Suite *s = suite_create("status");
    TCase *t = tcase_create("status");
    tcase_add_loop_test(t, a_row_is_complete, 0, STATUS_COUNT);
    tcase_add_loop_test(t, names_are_unique, 0, STATUS_COUNT);
    tcase_add_loop_test(t, client_errors_are_not_retried, 0, STATUS_COUNT);
    tcase_add_test(t, a_number_that_is_no_row_dies);
    suite_add_tcase(s, t);
    return s;
}
