/* tests/unit/test_http_proof.c -- the HTTP library that is linked leaves the socket of a waiting
 * connection alone: gateway/direct.c writes to it. */
#include "gateway/http.h"
#include "gen/unit_suites.h"

START_TEST(test_the_linked_library_passes)
{
    ck_assert(http_proof());
}
END_TEST

Suite *http_proof_suite(void)
{
    Suite *s = suite_create("http_proof");
    TCase *t = tcase_create("proof");
    tcase_add_test(t, test_the_linked_library_passes);
    suite_add_tcase(s, t);
    return s;
}
