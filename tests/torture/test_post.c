/* tests/torture/test_post.c -- a post while each allocation of ours fails in turn: it is not begun, or
 * it is done once; and those that are given up leave nothing behind. */
#include "backends/http_post.h"
#include "conf/egress.h"
#include "gen/torture_suites.h"
#include "tests/helpers/fault.h"
#include <check.h>

static unsigned done;
static bool refused;

static void on_done(struct http_post *p)
{
    (void)p;
    done++;
}

static struct http_post post_to_nobody(void)
{
    static const char *const headers[] = { "content-type: application/json", "webhook-id: x",
                                           NULL };
    static const struct cidr none;
    static const struct egress nowhere = { .allowed = &none };
    return (struct http_post){ .url = "http://127.0.0.1:9/x",
                               .egress = &nowhere,
                               .timeout_ms = 60000,
                               .headers = headers,
                               .body = SPAN("{}"),
                               .done = on_done };
}

/* False: there was no memory. */
static bool post_once(void)
{
    struct http_poster *p = http_poster_new();
    struct http_post kept = post_to_nobody(), given_up = post_to_nobody();
    bool begun = p && http_poster_begin(p, &kept);
    if (begun && http_poster_begin(p, &given_up))
        http_poster_cancel(p, &given_up);
    else
        begun = begun && !fault_fired();
    for (done = 0; kept.transfer && !done;)
        http_poster_wait(p, 1000);
    refused = kept.error[0] != '\0'; /* egress has no address for it */
    http_poster_free(p);
    return begun;
}

START_TEST(test_a_post)
{
    for (unsigned nth = 0; fault_next(&nth);) {
        bool ok = post_once();
        fault_arm(0);
        ck_assert(ok == !fault_fired());
        ck_assert(!ok || (done == 1 && refused));
    }
}
END_TEST

Suite *post_suite(void)
{
    Suite *s = suite_create("post");
    TCase *t = tcase_create("post");
    tcase_add_test(t, test_a_post);
    suite_add_tcase(s, t);
    return s;
}
