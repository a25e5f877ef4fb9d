/* tests/torture/test_bodies.c -- bodies as a backend gets them: each allocation fails once. */
#include "base/cleanup.h"
#include "conf/catalog.h"
#include "gateway/ask.h"
#include "gateway/form.h"
#include "gateway/rewrite.h"
#include "tests/helpers/fault.h"
#include <check.h>
#include "gen/torture_suites.h"

static bool write_form(void)
{
    static const char body[] =
        "--b\r\nContent-Disposition: form-data; name=file; filename=a.wav\r\nContent-Type: audio/wav\r\n"
        "\r\nRIFF\r\n--b\r\nContent-Disposition: form-data; name=language\r\n\r\nde\r\n--b--\r\n";
    static struct form f;
    struct ask ask = { .n = 0 };
    struct ask_error e;
    AUTO(buf_free) struct buf out;
    buf_init(&out, 1 << 16);
    enum status status = ask_form((struct span){ body, sizeof body - 1 }, SPAN("b"),
                                  CAP_TRANSCRIPTION, &f, &ask, &e);
    return status == STATUS_OK && form_write(&f, "a model", &out);
}

static bool rewrite(void)
{
    static const char *keys[] = { "temperature", NULL };
    static const struct catalog_recipe recipe = { .system_json = { "{\"role\":\"system\"}", 17 },
                                                  .params_json = { "\"temperature\":1", 15 },
                                                  .param_keys = keys };
    struct span body = SPAN("{\"messages\":[{}],\"stream\":true}"), out;
    struct ask ask = { .n = 0 };
    struct ask_error e;
    AUTO(free_ptr) char *memory = NULL;
    if (ask_read(body, CAP_CHAT, &ask, &e) != STATUS_OK)
        return false;
    const struct rewrite how = { "m", &recipe, 16, true };
    return rewrite_body(body, &ask, &how, &memory, &out) == STATUS_OK;
}

static const struct {
    const char *name;
    bool (*run)(void);
} operations[] = {
    { "form", write_form },
    { "rewrite", rewrite },
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

START_TEST(fails_cleanly_exactly_when_an_allocation_did)
{
    unsigned rounds = 0;
    for (unsigned nth = 0; fault_next(&nth); rounds++) {
        bool ok = operations[_i].run();
        fault_arm(0);
        ck_assert_msg(ok == !fault_fired(), "%s, allocation %u", operations[_i].name, nth);
    }
    ck_assert_uint_gt(rounds, 1);
}
END_TEST

Suite *bodies_suite(void)
{
    Suite *s = suite_create("bodies");
    TCase *t = tcase_create("memory");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, fails_cleanly_exactly_when_an_allocation_did, 0, OPERATIONS);
    suite_add_tcase(s, t);
    return s;
}
