/* tests/unit/test_own_book.c -- an organization's book in a file, and the catalogs that come of books. */
#include "base/cleanup.h"
#include "base/digest.h"
#include "conf/book.h"
#include "gateway/pricing.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gen/unit_suites.h"

static const char models[] =
    "listen: 127.0.0.1:1\nseller_name: A\nprice_book: p\n"
    "backends:\n  w: {transport: shm, address: /run/w.sock}\n"
    "models:\n  base/a:\n    capabilities: [chat]\n    routes: [{backend: w, model: a}]\n"
    "    price: {input_uncached_tokens: 1/1M, input_cached_tokens: 0.1/1M, output_text_tokens: 2/1M}\n"
    "  base/i:\n    capabilities: [images]\n    routes: [{backend: w, model: i}]\n"
    "    price: {images: [{unit: 0.04}, {unit: 0.08, size: big}]}\n"
    "  industry/f/b:\n    parent: base/a\n";

static struct conf *conf;
static char err[CONF_ERROR_BYTES];

static void setup(void)
{
    ck_assert_msg(conf_parse("t.yaml", models, sizeof models - 1, &conf, err) == STATUS_OK, "%s",
                  err);
}

static void teardown(void)
{
    conf_free(conf);
}

static enum status read_own(const char *text, struct catalog **ret)
{
    char book[1000];
    int len = snprintf(book, sizeof book, "price_book: own\n%s", text);
    *err = '\0';
    return book_read_own("own.yaml", (struct span){ book, (size_t)len }, conf->catalog, ret, err);
}

/* What costs in the list just what its like does follows it; input_cached_tokens does not. */
static const struct {
    const char *book, *text;
} good[] = {
    { "models: {base/i: {images: 0.03}}", "base/i images 300000000/1\n" },
    { "models: {base/a: {input_cached_tokens: 0}}", "base/a input_cached_tokens 0/1\n" },
    { "models: {base/a: {output_text_tokens: 1, output_audio_tokens: 5}}",
      "base/a output_audio_tokens 50000000000/1\nbase/a output_image_tokens 10000000000/1\n"
      "base/a output_reasoning_tokens 10000000000/1\nbase/a output_text_tokens 10000000000/1\n" },
    { "currency: USD\nmodels: {base/i: {images: {volume: [{up_to: 9, unit: 2}, {unit: 1}]}}}",
      "base/i images volume 9:20000000000/1,*:10000000000/1\n" },
};

START_TEST(test_good)
{
    struct catalog *c = NULL;
    ck_assert_msg(read_own(good[_i].book, &c) == STATUS_OK, "%s", err);
    ck_assert_str_eq(strchr(c->price_text, '\n') + 1, good[_i].text);
    catalog_unref(c);
}
END_TEST

static const struct {
    const char *book, *why;
} bad[] = {
    { "models: {base/x: {images: 1}}", "unknown model 'base/x'" },
    { "models: {base/a: {imges: 1}}", "unknown meter 'imges'" },
    { "models: {base/a: {images: 1}}", "the list has no price of 'images' for this model" },
    { "models: {base/a: {requests: 1}}", "the list has no price of 'requests' for this model" },
    { "models: {base/i: {images: {unit: 1, list: 2}}}", "'list' has no effect" },
    { "models: {base/i: {images: {unit: 1, size: big}}}", "size" },
    { "models: {base/a: {output_text_tokens: {graduated: [{up_to: 5, unit: 2}, {unit: 1}]}}}",
      "'output_reasoning_tokens' is not told what to cost" },
    { "models: {}", "has no price" },
    { "models: 5", "models" },
    { "currency: EUR\nmodels: {base/i: {images: 1}}",
      "'EUR' is not the currency of contracts, USD" },
};

START_TEST(test_bad)
{
    struct catalog *c = NULL;
    ck_assert_int_eq(read_own(bad[_i].book, &c), STATUS_BAD_FIELD);
    ck_assert_ptr_null(c);
    ck_assert_msg(strstr(err, bad[_i].why), "%s", err);
}
END_TEST

/* ---- catalogs ------------------------------------------------------------------------------ */

static const struct catalog_model *model(const struct catalog *c, const char *id)
{
    static const struct catalog_scope everywhere = { .whole = true };
    return catalog_find(c, &everywhere, (struct span){ id, strlen(id) });
}

START_TEST(test_layered)
{
    struct catalog *own = NULL, *c = NULL;
    ck_assert_int_eq(read_own("models: {base/a: {output_text_tokens: 1/1M}}", &own), STATUS_OK);
    const struct own_book book = { own->price_book, own->price_text, own->price_sha256 };
    ck_assert_int_eq(pricing_layered(conf->catalog, &book, &c), STATUS_OK);
    const struct catalog_model *a = model(c, "base/a"), *b = model(c, "industry/f/b");
    struct price_item plain;
    const struct price_item *item = model_prices(a, METER_OUTPUT_TEXT, &plain).at;
    ck_assert_int_eq(item->price.atoms, 10000000000);
    ck_assert_int_eq(item->list.atoms, 20000000000);
    ck_assert_int_eq(model_prices(a, METER_INPUT_CACHED, &plain).at->price.atoms, 1000000000);
    ck_assert_int_eq(b->price[METER_OUTPUT_TEXT].atoms, 20000000000); /* it is not named */
    ck_assert_ptr_eq(b->parent, a);
    ck_assert_ptr_eq(model(c, "base/i")->sheet, model(conf->catalog, "base/i")->sheet);
    catalog_unref(own);
    catalog_unref(c);
}
END_TEST

#define LIST(price)                                                       \
    "currency USD book l\nbase/a requests 1/1\nbase/i images " price "\n" \
    "industry/f/b requests 1/1\n"

/* The list at 10 and 30; of one organization a book at 20 that lies on both and ends at 40. */
static struct publication_term list_terms[] = {
    { .from_us = 10, .version = 1, .book = "l", .text = LIST("5/1") },
    { .from_us = 30, .version = 2, .book = "l", .text = LIST("6/1") },
};
static struct publication_term own_terms[] = {
    { .from_us = 20, .version = 4, .book = "o", .text = LIST("unit 3/1 list=5/1") },
    { .from_us = 30, .version = 5, .book = "o", .text = LIST("unit 3/1 list=6/1") },
    { .from_us = 40, .version = 2 },
};
static struct publication_own owners[] = {
    { { BOOK_CONTRACT, 3 }, { own_terms, 3, 3 } },
    { { BOOK_CONTRACT, 7 }, { own_terms, 1, 1 } },
    { { BOOK_RESALE, 3 }, { own_terms + 1, 1, 1 } },
};
static const struct {
    struct book_owner owner;
    int64_t us, version;
    bool own;
} moments[] = {
    { { BOOK_CONTRACT, 3 }, 0, 1, false },   { { BOOK_CONTRACT, 3 }, 19, 1, false },
    { { BOOK_CONTRACT, 3 }, 20, 4, true },   { { BOOK_CONTRACT, 3 }, 29, 4, true },
    { { BOOK_CONTRACT, 3 }, 30, 5, true },   { { BOOK_CONTRACT, 3 }, 40, 2, false },
    { { BOOK_CONTRACT, 7 }, 1000, 4, true }, { { BOOK_CONTRACT, 1 }, 25, 1, false },
    { { BOOK_CONTRACT, 5 }, 25, 1, false },  { { BOOK_CONTRACT, 9 }, 35, 2, false },
    { { BOOK_RESALE, 3 }, 29, 1, false },    { { BOOK_RESALE, 3 }, 31, 5, true },
    { { BOOK_LIST, 0 }, 31, 2, false },
};

START_TEST(test_which_when)
{
    const struct publication_terms t = { { list_terms, 2, 2 }, owners, 3 };
    struct pricing *p = NULL;
    ck_assert_int_eq(pricing_new(conf->catalog, &t, &p), STATUS_OK);
    int64_t us = moments[_i].us;
    const struct catalog *own = pricing_own_at(p, us, moments[_i].owner);
    ck_assert(!own == !moments[_i].own);
    ck_assert_int_eq(pricing_at(p, us, moments[_i].owner)->price_version, moments[_i].version);
    pricing_free(p);
}
END_TEST

START_TEST(test_what_does_not_fit)
{
    char text[2000] = "currency USD book o\n";
    struct catalog *c = NULL;
    const uint8_t sha256[DIGEST_BYTES] = { 0 };
    for (unsigned m = 0; m < METER_COUNT; m++) { /* two lines of each on a bill */
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "base/i %s included 1\nbase/i %s 1/1\n",
                 meter_name((enum meter)m), meter_name((enum meter)m));
    }
    const struct own_book book = { "o", text, sha256 };
    ck_assert_int_eq(pricing_layered(conf->catalog, &book, &c), STATUS_CONFLICT);
}
END_TEST

Suite *own_book_suite(void)
{
    Suite *s = suite_create("own_book");
    TCase *file = tcase_create("file"), *catalogs = tcase_create("catalogs");
    tcase_add_checked_fixture(file, setup, teardown);
    tcase_add_loop_test(file, test_good, 0, (int)(sizeof good / sizeof *good));
    tcase_add_loop_test(file, test_bad, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_checked_fixture(catalogs, setup, teardown);
    tcase_add_test(catalogs, test_layered);
    tcase_add_loop_test(catalogs, test_which_when, 0, (int)(sizeof moments / sizeof *moments));
    tcase_add_test(catalogs, test_what_does_not_fit);
    suite_add_tcase(s, file);
    suite_add_tcase(s, catalogs);
    return s;
}
