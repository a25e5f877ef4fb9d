/* tests/torture/test_conf.c -- a configuration with one of everything, with each allocation
 * failing in turn: NO_MEMORY, nothing published, nothing leaked. */
#include "conf/catalog.h"
#include "conf/conf.h"
#include "tests/helpers/fault.h"
#include <check.h>
#include "gen/torture_suites.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char with_secret[] = /* "%s" is the path of one */
    "listen: 127.0.0.1:1\nseller_name: A\nprice_book: p\n"
    "backends:\n  w: {transport: shm, address: /run/w.sock}\n"
    "  h: {transport: http, address: 'http://127.0.0.1:1/v1', concurrency: 3, headers: {x-a: b}}\n"
    "  t: {transport: http, address: 'http://127.0.0.1:1', dialect: oip2}\n"
    "alerts:\n  thresholds: [9, 10]\n  webhooks:\n"
    "    x: {url: 'http://h/x', secret_file: %s, types: [budget.threshold_reached]}\n"
    "    y: {url: 'https://h/y', secret_file: %s, organizations: [a, b]}\n"
    "models:\n  base/a:\n    description: d\n    owned_by: o\n    capabilities: [chat]\n"
    "    routes: [{backend: w, model: a, cost_max: 1}, {backend: h, model: b, priority: 2}]\n"
    "    price: {input_uncached_tokens: 1/1M, output_text_tokens: 2}\n"
    "  base/t:\n    capabilities: [infer]\n    routes: [{backend: t, model: t}]\n"
    "    price:\n      requests: {flat: 1, per: period}\n      tensor_elements:\n"
    "        - {included: 5}\n        - {graduated: [{up_to: 9, unit: 2}, {unit: 1}], list: 3}\n"
    "      compute_ms: [{unit: 1}, {unit: 2, time: UTC Mon-Fri 01:00-04:00}]\n"
    "    tensor:\n      inputs: [{name: i, datatype: FP32, shape: [-1]}]\n"
    "      outputs: [{name: o, datatype: FP32, shape: [1]}]\n"
    "  industry/f/b:\n    parent: base/a\n    life: deprecated\n    life_note: n\n"
    "    recipe: {system: s, params: {temperature: 1, stop: x}}\n";

static char text[4096], secret_path[32];

static void make_secret(void)
{
    static const char secret[] = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    snprintf(secret_path, sizeof secret_path, "/tmp/maas-secret-XXXXXX");
    int fd = mkstemp(secret_path);
    ck_assert(fd >= 0 && write(fd, secret, sizeof secret - 1) == (ssize_t)sizeof secret - 1);
    close(fd);
    snprintf(text, sizeof text, with_secret, secret_path, secret_path);
}

static void remove_secret(void)
{
    unlink(secret_path);
}

START_TEST(test_parse)
{
    for (unsigned nth = 0; fault_next(&nth);) {
        struct conf *c = NULL;
        char err[CONF_ERROR_BYTES] = "";
        enum status status = conf_parse("t.yaml", text, strlen(text), &c, err);
        fault_arm(0);
        ck_assert_int_eq(status, fault_fired() ? STATUS_NO_MEMORY : STATUS_OK);
        ck_assert((c != NULL) == (status == STATUS_OK));
        ck_assert_msg((err[0] != '\0') == (c == NULL), "%s", err);
        conf_free(c);
    }
}
END_TEST

START_TEST(test_load)
{
    for (unsigned nth = 0; fault_next(&nth);) {
        struct conf *c = NULL;
        char err[CONF_ERROR_BYTES] = "";
        enum status status = conf_load("conf/maasgate.yaml.example", &c, err);
        fault_arm(0);
        ck_assert_int_eq(status, fault_fired() ? STATUS_NO_MEMORY : STATUS_OK);
        conf_free(c);
    }
}
END_TEST

START_TEST(test_print)
{
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES];
    ck_assert_int_eq(conf_parse("t.yaml", text, strlen(text), &c, err), STATUS_OK);
    for (unsigned nth = 0; fault_next(&nth);) {
        static char shown[1 << 16];
        FILE *out = fmemopen(shown, sizeof shown, "w");
        conf_print(c, out);
        fault_arm(0);
        fclose(out);
        ck_assert(!strncmp(shown, "# there is not enough memory", 28) == fault_fired());
    }
    conf_free(c);
}
END_TEST

Suite *conf_suite(void)
{
    Suite *s = suite_create("conf");
    TCase *t = tcase_create("torture");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, make_secret, remove_secret);
    tcase_add_test(t, test_parse);
    tcase_add_test(t, test_load);
    tcase_add_test(t, test_print);
    suite_add_tcase(s, t);
    return s;
}
